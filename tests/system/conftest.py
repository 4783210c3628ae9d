"""The tree as installed, and for each test a box: a network namespace, a
directory, and what was started in them.

As root, sallyport runs as root with -u and -C.  If pytest is not run as
root, or the build has sanitizers (which refuse root), it runs as an ordinary
user; tests that make no sense then are left out, and their names printed."""
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile

import pytest

from lib import memcg, net, peers, proc
from lib.daemon import Daemon
from lib.wait import LIMIT, until

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('SALLYPORT_BUILD', TOP / 'build'))
ROOT = os.geteuid() == 0
SANITIZED = b'__asan_init' in (BUILD / 'sbin/sallyport').read_bytes()
# a TRAP build names the forbidden call itself, and exits
TRAPPED = b'filter denies' in (BUILD / 'libexec/sallyport/relay').read_bytes()
PRIVILEGED = ROOT and not SANITIZED
NOBODY = pwd.getpwnam('nobody')
AS_NOBODY = ['setpriv', '--reuid', str(NOBODY.pw_uid), '--regid',
             str(NOBODY.pw_gid), '--clear-groups'] if ROOT else []
left_out = []


def pytest_configure(config):
    config.addinivalue_line('markers', 'root: sallyport is run as root')
    config.addinivalue_line('markers', 'superuser: pytest is run as root')
    config.addinivalue_line('markers', 'sandbox: needs the sandbox')
    config.addinivalue_line('markers', 'memcg: needs groups with a limit of '
                            'memory')
    if not ROOT:
        net.own_user_namespace()
    net.become_reaper()


def pytest_collection_modifyitems(config, items):
    def fits(item):
        needs = {'root': PRIVILEGED, 'superuser': ROOT,
                 'sandbox': not SANITIZED,
                 'memcg': ROOT and memcg.LIMIT is not None}
        return all(there or item.get_closest_marker(name) is None
                   for name, there in needs.items())

    left_out[:] = [item for item in items if not fits(item)]
    if left_out:
        items[:] = [item for item in items if fits(item)]
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter):
    for item in left_out:
        terminalreporter.write_line(
            'left out, as root, the sandbox or groups with a limit of memory '
            f'are missing: {item.nodeid}')


class Tree:
    """What make install has made."""

    def __init__(self, top):
        self.top, self.build, self.source = top, BUILD, TOP
        self.command = str(top / 'usr/sbin/sallyport')
        self.libexec = top / 'usr/libexec/sallyport'


@pytest.fixture(scope='session')
def tree():
    top = pathlib.Path(tempfile.mkdtemp(prefix='sallyport-tree.'))
    top.chmod(0o755)
    # what was built is tested; nothing is built anew here
    subprocess.run(['make', '-s', '-o', 'all', 'install', 'install-compat',
                    f'B={BUILD}', f'DESTDIR={top}', 'PREFIX=/usr'], cwd=TOP,
                   check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL)
    yield Tree(top)
    subprocess.run(['chmod', '-R', 'u+w', top], check=True)
    shutil.rmtree(top)


class Box:
    privileged = PRIVILEGED

    def __init__(self, tree):
        self.tree, self.net = tree, net.Net()
        if not PRIVILEGED:
            # then low ports are no privilege, and the same tests can run
            self.net.sysctl('ipv4.ip_unprivileged_port_start', 0)
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix='sallyport-test.'))
        self.tmp.chmod(0o755)
        self.jail = self.tmp / 'jail'
        self.jail.mkdir(mode=0o755)
        if ROOT and not PRIVILEGED:
            os.chown(self.tmp, NOBODY.pw_uid, NOBODY.pw_gid)
        self.conf = self.tmp / 'sallyport.conf'
        self.files = {}         # bind mounts for sallyport
        self.daemons, self.servers, self.sockets = [], [], []
        self.programs = []

    # --- sallyport ---

    def prefix(self, root=None):
        if PRIVILEGED and root is not False:
            return []
        return AS_NOBODY

    def command(self, *args, root=None, drop=True):
        drops = PRIVILEGED and root is not False and drop
        return [*self.prefix(root), self.tree.command,
                *(['-u', 'nobody', '-C', str(self.jail)] if drops else []),
                *map(str, args)]

    def write(self, text):
        """The configuration file; sallyport's user owns it."""
        data = text if isinstance(text, bytes) else text.encode()
        self.conf.write_bytes(data)
        self.conf.chmod(0o644)
        if not PRIVILEGED and ROOT:
            os.chown(self.conf, NOBODY.pw_uid, NOBODY.pw_gid)
        return self.conf

    def hosts(self, text):
        path = self.tmp / 'hosts'
        path.write_text(text)
        self.files['/etc/hosts'] = path

    def resolv_conf(self, text):
        path = self.tmp / 'resolv.conf'
        path.write_text(text)
        self.files['/etc/resolv.conf'] = path

    def start(self, *args, config=None, ready=True, workers=2, root=None,
              drop=True, log='stdout:5', **more):
        """In the foreground, and when it is ready."""
        if config is not None:
            args = ('-c', self.write(config), *args)
        command = self.command(
            '-D', '--workers', workers, '--log-format', 'json', '-L', log,
            *args, root=root, drop=drop)
        daemon = Daemon(command, files=self.files, conf=self.conf, **more)
        self.daemons.append(daemon)
        return daemon.running() if ready else daemon

    def forward(self, *args, **more):
        """127.0.0.1:81 to 127.0.0.1:8080"""
        return self.start('-l', '127.0.0.1', '-p', 81, '-r', '127.0.0.1',
                          '-o', 8080, *args, **more)

    def run(self, *args, root=None, drop=True, **more):
        """Runs it to its end."""
        more.setdefault('stdin', subprocess.DEVNULL)
        if self.files:
            files = dict(self.files)
            more['preexec_fn'] = lambda: net.bind_files(files)
        return subprocess.run(
            self.command(*args, root=root, drop=drop), check=False,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=LIMIT, **more)

    def check(self, text, *args):
        """--check of this configuration: (status, its messages)"""
        done = self.run('--check', '-c', self.write(text), *args)
        return done.returncode, done.stderr

    # --- peers ---

    def keep(self, sock):
        self.sockets.append(sock)
        return sock

    def listen(self, *args, **more):
        return self.keep(peers.listen(*args, **more))

    def connect(self, *args, **more):
        return self.keep(peers.connect(*args, **more))

    def accept(self, listener):
        return self.keep(peers.accept(listener))

    def pair(self, listener, *args, **more):
        """Both ends of a new session."""
        client = self.connect(*args, **more)
        return client, self.accept(listener)

    def served(self, *args, **more):
        """Is a new client served, by an echo server?  It leaves again."""
        with peers.connect(*args, **more) as client:
            return peers.ask(client)

    def server(self, handler, *args, **more):
        server = peers.Server(handler, *args, **more)
        self.servers.append(server)
        return server

    def program(self, *words, user=None, **more):
        """A real server, ended with the test."""
        more.setdefault('stdin', subprocess.DEVNULL)
        more.setdefault('stdout', subprocess.DEVNULL)
        more.setdefault('stderr', subprocess.STDOUT)
        popen = subprocess.Popen([*(AS_NOBODY if user else []),
                                  *map(str, words)], **more)
        self.programs.append(popen)
        return popen

    def await_port(self, port, host='127.0.0.1'):
        """Until a server that was just started listens."""
        def answers():
            try:
                peers.connect(host, port).close()
            except ConnectionRefusedError:
                return False
            return True
        until(answers, f'{host} {port}')

    # --- the end ---

    def orphans(self):
        return [p for p in proc.children(os.getpid())
                if p.title.startswith('sallyport: ')]

    def close(self):
        errors = []
        for sock in self.sockets:
            sock.close()
        for step in [d.finish for d in self.daemons] + \
                [s.stop for s in self.servers]:
            try:
                step()
            except Exception as error:  # all of them, then the first one
                errors.append(error)
        for popen in self.programs:
            popen.terminate()
            try:
                popen.wait(LIMIT)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
        for orphan in self.orphans():
            errors.append(AssertionError(f'still there: {orphan}'))
            os.kill(orphan.pid, 9)
            os.waitpid(orphan.pid, 0)
        self.net.leave()
        subprocess.run(['chmod', '-R', 'u+rwX', self.tmp], check=False)
        shutil.rmtree(self.tmp, ignore_errors=True)
        if errors:
            raise errors[0]


@pytest.fixture
def box(tree):
    made = Box(tree)
    try:
        yield made
    finally:
        made.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What sallyport said belongs to a failure."""
    outcome = yield
    report = outcome.get_result()
    made = getattr(item, 'funcargs', {}).get('box')
    if report.failed and made is not None:
        for daemon in made.daemons:
            report.sections.append(('sallyport', daemon.text()))
