"""A newer sallyport is installed over the running one: real builds with
another version, and with another protocol version, by `make install'."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading

import pytest

from conftest import BUILD, TOP, Box, Tree
from lib import inotify, peers, proc
from lib.wait import until

pytestmark = pytest.mark.sandbox        # a sanitizer's build would differ

NEWER, PROTOCOL = '9.9.9', '77'
CONFIG = 'listen 127.0.0.1 81 { remote: localhost 8080; }\n'
CHILDREN = ('dialer', 'logger', 'relay', 'resolver')
REFUSED = (rf'^this program \({NEWER}\) has protocol version {PROTOCOL}, the '
           r'one that started it \d+: restart needed$')


def build(where, *words):
    # not what `make check' itself was called with, nor its job server
    env = {k: v for k, v in os.environ.items()
           if k not in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS')}
    subprocess.run(['make', '-s', '-j2', f'B={where}', f'VERSION={NEWER}',
                    *words, 'all'], cwd=TOP, check=True, env=env,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return where


@pytest.fixture(scope='module')
def builds():
    """Two more: one that fits, one that speaks another protocol."""
    top = pathlib.Path(tempfile.mkdtemp(prefix='sallyport-builds.'))
    try:
        yield (build(top / 'newer'),
               build(top / 'foreign',
                     f'EXTRA_DEFS=-DWIRE_VERSION={PROTOCOL}'))
    finally:
        shutil.rmtree(top)


@pytest.fixture
def newer(builds):
    return builds[0]


@pytest.fixture
def foreign(builds):
    return builds[1]


class OwnTree(Tree):
    """One that a test may change."""

    def install(self, built=BUILD):
        subprocess.run(['make', '-s', '-o', 'all', 'install', f'B={built}',
                        f'DESTDIR={self.top}', 'PREFIX=/usr'], cwd=TOP,
                       check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)

    def replace(self, built, *names):
        """Only some of the programs under libexec."""
        for name in names:
            new = self.libexec / (name + '.new')
            shutil.copy(built / 'libexec/sallyport' / name, new)
            new.rename(self.libexec / name)

    def version(self):
        done = subprocess.run([self.command, '-v'], check=True,
                              stdout=subprocess.PIPE, text=True)
        return done.stdout.split()[1]


@pytest.fixture
def own():
    top = pathlib.Path(tempfile.mkdtemp(prefix='sallyport-own.'))
    top.chmod(0o755)
    made = OwnTree(top)
    try:
        made.install()
        yield made
    finally:
        subprocess.run(['chmod', '-R', 'u+w', top], check=True)
        shutil.rmtree(top)


@pytest.fixture
def box(own):
    made = Box(own)
    made.server(peers.echo)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def daemon(box):
    return box.start(config=CONFIG)


def versions(daemon, **which):
    return {p.version for p in daemon.processes(**which)}


def refused(daemon, message):
    """A reload that fails, with this in the log; nothing else changes."""
    daemon.deaths_expected = True       # of the newcomers
    before = {p.pid for p in daemon.processes()}
    since = daemon.mark()
    daemon.reload_refused(None, message)
    daemon.wait(r'^generation \d+ was not started: ', since)
    until(lambda: {p.pid for p in daemon.processes()} == before,
          'the processes that were there before')


def test_upgrade(box, own, daemon, newer):
    """New programs run, old ones drain, no session notices."""
    old = own.version()
    assert old != NEWER and versions(daemon) == {old}
    client = box.connect()
    assert peers.ask(client)
    own.install(newer)
    assert own.version() == NEWER
    assert peers.ask(client) and box.served()
    assert daemon.reload() == 2
    assert versions(daemon, gen=2) == {NEWER}
    assert versions(daemon, gen=1) == {old}
    assert versions(daemon, role='logger') == {old}
    assert f', v{old}' in proc.cmdline(daemon.pid)
    assert box.served() and peers.ask(client, peers.noise(100000))
    client.close()
    daemon.wait_gone(1)
    assert box.served()


def test_the_parent_is_new_after_a_restart(box, own, daemon, foreign):
    own.install(foreign)
    assert daemon.stop() == 0
    again = box.start(config=CONFIG)
    assert versions(again) == {NEWER}
    assert f', v{NEWER}' in proc.cmdline(again.pid)
    assert box.served()


def test_other_protocol(box, own, daemon, newer, foreign):
    """Restart needed; until then all goes on with the old programs."""
    client = box.connect()
    assert peers.ask(client)
    own.install(foreign)
    refused(daemon, REFUSED)
    refused(daemon, REFUSED)
    assert peers.ask(client) and box.served()
    own.install(newer)          # one that fits: a reload works again
    daemon.reload()
    assert peers.ask(client) and box.served()


@pytest.mark.parametrize('names', [
    ('relay',), ('dialer',), ('resolver',), ('relay', 'dialer'),
    ('dialer', 'resolver')], ids='-'.join)
def test_half_an_upgrade(box, own, daemon, foreign, names):
    """Programs of two protocols never come together."""
    own.replace(foreign, *names)
    refused(daemon, REFUSED)
    assert box.served()
    own.install()
    assert daemon.reload() > 2
    assert box.served()


@pytest.mark.parametrize('name', CHILDREN)
def test_half_an_upgrade_that_fits(box, own, daemon, newer, name):
    own.replace(newer, name)
    daemon.reload()
    daemon.deaths_expected = True
    logger, = daemon.processes('logger')
    os.kill(logger.pid, signal.SIGKILL)
    until(lambda: [p for p in daemon.processes('logger')
                   if p.pid != logger.pid], 'another logger')
    assert versions(daemon, role=name,
                    gen=0 if name == 'logger' else 2) == {NEWER}
    assert box.served()
    daemon.reload()
    assert box.served()


def test_a_logger_that_does_not_fit(box, own, daemon, foreign):
    """Without a logger all goes on; a right one is taken when it is there."""
    own.replace(foreign, 'logger')
    names, tries = inotify.Names(own.libexec, inotify.OPEN), []
    daemon.deaths_expected = True
    logger, = daemon.processes('logger')
    os.kill(logger.pid, signal.SIGKILL)
    # the second one is started when the first has given up
    until(lambda: tries.extend(names.events().get('logger', [])) or
          len(tries) > 1, 'a second start of the logger')
    names.close()
    assert box.served()
    own.install()
    until(lambda: daemon.processes('logger'), 'another logger')
    since = daemon.mark()
    assert box.served()
    daemon.session(since)


def test_a_crash_after_the_upgrade(box, own, daemon, foreign):
    """The replacement does not fit either, and is tried again."""
    client = box.connect()
    assert peers.ask(client)
    own.install(foreign)
    daemon.deaths_expected = True
    resolver, = daemon.processes('resolver')
    os.kill(resolver.pid, signal.SIGKILL)
    daemon.wait(REFUSED)
    assert peers.ask(client)
    own.install()
    daemon.wait(r'^generation \d+ is running$', count=2)
    assert peers.ask(client) and box.served()


def spoil_text(path):
    path.unlink()
    path.write_text('not a program\n')
    path.chmod(0o755)


SPOILT = [(lambda path: path.unlink(), 'No such file'),
          (lambda path: path.chmod(0o644), 'Permission denied'),
          (spoil_text, 'Exec format error')]


@pytest.mark.parametrize('spoil, message', SPOILT,
                         ids=['missing', 'mode', 'rubbish'])
@pytest.mark.parametrize('name', ['dialer', 'relay', 'resolver'])
def test_no_program(box, own, daemon, name, spoil, message):
    """What runs needs no file any more."""
    client = box.connect()
    assert peers.ask(client)
    spoil(own.libexec / name)
    refused(daemon, f'^cannot execute {own.libexec}/{name}: {message}')
    assert peers.ask(client) and box.served()
    own.install()
    daemon.reload()
    assert peers.ask(client) and box.served()


def test_uninstalled_while_it_runs(box, own, daemon):
    client = box.connect()
    assert peers.ask(client)
    subprocess.run(['make', '-s', 'uninstall', f'DESTDIR={own.top}',
                    'PREFIX=/usr'], cwd=TOP, check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert not own.libexec.exists()
    refused(daemon, 'cannot execute .*: No such file')
    assert peers.ask(client) and box.served()


def test_install_replaces_names_at_once(own):
    """Never is a program missing, or there in part."""
    seen = {}
    for folder in (own.libexec, pathlib.Path(own.command).parent):
        names = inotify.Names(folder)
        own.install()
        seen.update(names.events())
        names.close()
    for name in (*CHILDREN, 'parent', 'sallyport'):
        assert seen.pop(name) == [inotify.MOVED_TO]
        # written under another name, which is gone then
        assert seen.pop(name + '.new')[-1] == inotify.MOVED_FROM
    assert not [name for name in seen if name != 'empty'], seen


def test_install_under_a_storm_of_reloads(box, own, daemon, newer):
    """None of them fails, and no connection is lost."""
    client = box.connect()
    assert peers.ask(client)
    done, failures = threading.Event(), []

    def install():
        try:
            for _ in range(8):
                own.install(newer)
                own.install()
            own.install(newer)
        except subprocess.CalledProcessError as error:
            failures.append(error)
        done.set()

    worker = threading.Thread(target=install)
    worker.start()
    while not done.is_set():
        daemon.reload()
        assert box.served()
    worker.join()
    assert not failures
    assert not daemon.find('was not started|cannot execute')
    assert peers.ask(client)
    assert versions(daemon, gen=daemon.reload()) == {NEWER}
