"""A real sallyport in a tree of its own, where any program can be swapped
for the evil one, in a network namespace of its own."""
import os
import pathlib
import shutil
import signal
import socket
import sys
import tempfile

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / 'tests/system'))

from lib import net, peers, proc            # noqa: E402
from lib.daemon import Daemon               # noqa: E402
from lib.wait import LIMIT, until           # noqa: E402

BUILD = pathlib.Path(os.environ.get('SALLYPORT_BUILD', TOP / 'build'))
SANITIZED = b'__asan_init' in (BUILD / 'sbin/sallyport').read_bytes()
PORT, BACKEND = 81, 8080


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0 or SANITIZED:
        for item in items:
            item.add_marker(pytest.mark.skip(
                reason='needs root, and a build without sanitizers'))


def program(pid):
    try:
        return os.readlink(f'/proc/{pid}/exe')
    except OSError:
        return ''


class World:
    """The tree, the namespace, a server, and a daemon when it was started."""

    def __init__(self):
        self.net = net.Net()
        self.top = pathlib.Path(tempfile.mkdtemp(prefix='sallyport-evil.'))
        self.top.chmod(0o755)
        self.libexec = self.top / 'libexec/sallyport'
        for name in ('sbin', 'libexec'):
            shutil.copytree(BUILD / name, self.top / name)
        self.conf = self.top / 'sallyport.conf'
        self.backend = peers.listen(port=BACKEND)
        self.daemon = None
        self.listeners_at_start = None

    # --- good and evil ---

    def _swap(self, name, source):
        """Running ones keep the old file."""
        new = self.libexec / 'new'
        shutil.copy(source, new)
        os.replace(new, self.libexec / name)

    def good(self, name='relay'):
        self._swap(name, BUILD / 'libexec/sallyport' / name)

    def evil(self, step, action, who='all', name='relay', count=1, drain=0,
             roles=0):
        self._swap(name, BUILD / 'tests/evil/evil_relay')
        (self.libexec / f'{name}.evil').write_text(
            f'{step} {action} {who} {PORT} {count} {drain} {roles}\n')
        (self.libexec / f'{name}.starts').write_text('')

    def starts(self, name='relay'):
        """How often the evil one was started."""
        return (self.libexec / f'{name}.starts').stat().st_size

    # --- the daemon ---

    def start(self, *args, workers=2, ready=True, listeners=1):
        self.conf.write_text(''.join(
            f'listen 127.0.{i // 250}.{i % 250 + 1} {PORT} {{ '
            f'remote: 127.0.0.1 {BACKEND}; }};\n'
            for i in range(listeners)))
        self.daemon = Daemon(
            [str(self.top / 'sbin/sallyport'), '-D', '-u', 'nobody',
             '--workers', str(workers), '--log-format', 'json',
             '-L', 'stdout:5', '-c', str(self.conf), *args], conf=self.conf)
        self.daemon.deaths_expected = True
        if ready:
            self.daemon.running()
            self.listeners_at_start = self.listeners()
        return self.daemon

    def session(self):
        """Both ends of a new session."""
        client = peers.connect(port=PORT)
        return client, peers.accept(self.backend)

    @staticmethod
    def exchange(pair):
        client, server = pair
        for one, other in ((client, server), (server, client)):
            one.sendall(b'how are you?')
            assert peers.read_some(other, 12) == b'how are you?'

    @staticmethod
    def hang_up(pair):
        """Until both ends know."""
        for sock in pair:
            sock.shutdown(socket.SHUT_WR)
        for sock in pair:
            assert peers.read_all(sock) == b''
            sock.close()

    def serves(self):
        pair = self.session()
        self.exchange(pair)
        self.hang_up(pair)

    # --- what P has ---

    def fds(self):
        return len(os.listdir(f'/proc/{self.daemon.pid}/fd'))

    def children(self):
        return {p.pid for p in proc.children(self.daemon.pid)}

    def everybody(self):
        """All processes whose program is in the tree, P's children or not."""
        found = set()
        for pid in filter(str.isdigit, os.listdir('/proc')):
            if program(pid).startswith(f'{self.top}/'):
                found.add(int(pid))
        return found

    def listeners(self):
        """The inodes of P's sockets that listen."""
        mine = set()
        for fd in os.listdir(f'/proc/{self.daemon.pid}/fd'):
            try:
                mine.add(os.readlink(f'/proc/{self.daemon.pid}/fd/{fd}'))
            except FileNotFoundError:
                continue
        with open('/proc/thread-self/net/tcp', encoding='ascii') as file:
            rows = [line.split() for line in file][1:]
        return {row[9] for row in rows
                if row[3] == '0A' and f'socket:[{row[9]}]' in mine}

    def state(self):
        return self.fds(), self.children(), self.everybody(), self.listeners()

    def settled(self, state):
        """All is as it was then: nothing has leaked, nobody is left."""
        until(lambda: self.state() == state,
              f'{state}, is {self.state()}\n{self.daemon.text()}')

    def reloaded(self):
        """All relays come from the program that is there now, all others
        are gone."""
        def fresh():
            everybody = self.daemon.processes()
            relays = [p for p in everybody if p.role == 'relay']
            return (relays and {p.gen for p in everybody} - {0} ==
                    {relays[0].gen} and
                    {program(p.pid) for p in relays} ==
                    {str(self.libexec / 'relay')})

        since = self.daemon.mark()
        self.daemon.kill(signal.SIGHUP)
        until(fresh, f'a new generation\n{self.daemon.text()}')
        self.daemon.wait(r'^generation \d+ is running$', since)
        self.serves()

    # --- the end ---

    def close(self):
        try:
            if self.daemon is not None:
                self.daemon.finish()
                until(lambda: not self.everybody(), 'the end of all')
        finally:
            for pid in self.everybody():
                os.kill(pid, 9)
            self.backend.close()
            self.net.leave()
            shutil.rmtree(self.top)


@pytest.fixture
def world():
    made = World()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope='module')
def long_lived():
    """One daemon for many attacks on its reloads: it must survive them all,
    one after the other."""
    made = World()
    try:
        made.start()
        made.serves()
        yield made
    finally:
        made.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What sallyport said belongs to a failure."""
    outcome = yield
    report = outcome.get_result()
    for made in getattr(item, 'funcargs', {}).values():
        if report.failed and isinstance(made, World) and made.daemon:
            report.sections.append(('sallyport', '\n'.join(
                made.daemon.text().splitlines()[-40:])))
