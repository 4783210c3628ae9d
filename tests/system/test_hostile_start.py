"""Starts under odd conditions: it works all the same, or says clearly why
it doesn't."""
import os
import resource
import shutil
import signal
import subprocess
import threading

import pytest

from lib import peers, proc
from lib.wait import LIMIT, until

LISTENER = ('-l', '127.0.0.1', '-p', '81', '-r', '127.0.0.1', '-o', '8080')


class Detached:
    def __init__(self, box, *args, **more):
        self.box, self.path = box, box.tmp / 'pid'
        self.status = subprocess.run(
            box.command('-P', self.path, '-L', f'file:5,{box.tmp}/log',
                        '--workers', 2, *LISTENER, *args), check=False,
            timeout=LIMIT, **more).returncode
        self.pid = int(self.path.read_text())

    def stop(self, sig=signal.SIGTERM):
        os.kill(self.pid, sig)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.parametrize('closed', [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2),
                                    (0, 1, 2)], ids=str)
def test_closed_descriptors(box, closed):
    """What is opened later must not become a standard descriptor."""
    def close():
        for fd in closed:
            os.close(fd)

    box.server(peers.echo)
    daemon = Detached(box, preexec_fn=close)
    assert daemon.status == 0
    assert box.served()
    if box.privileged:
        for process in [proc.Process(daemon.pid), *proc.children(daemon.pid)]:
            fds = process.fds()
            assert [fds[n] for n in range(3)] == 3 * ['/dev/null']
    os.kill(daemon.pid, signal.SIGHUP)
    assert box.served()
    assert daemon.stop() == 0


@pytest.mark.parametrize('closed', [(1,), (2,), (0, 1, 2)], ids=str)
def test_closed_descriptors_and_an_error(box, closed):
    done = box.run('-p', '81', '-L', 'stderr:5', preexec_fn=lambda: [
        os.close(fd) for fd in closed] and None)
    assert done.returncode == 1


@pytest.mark.parametrize('mask', [0, 0o077, 0o777], ids=oct)
def test_umask(box, mask):
    box.server(peers.echo)
    daemon = Detached(box, umask=mask)
    assert daemon.status == 0 and box.served()
    assert (daemon.path.stat().st_mode & 0o777) == 0o644
    mode = (box.tmp / 'log').stat().st_mode & 0o777
    assert mode & 0o600 == 0o600 and mode & 0o027 == 0
    assert daemon.stop() == 0


def test_ignored_and_blocked_signals(box):
    """As from a careless parent: all are as usual here."""
    def spoil():
        for number in signal.valid_signals() - {signal.SIGKILL,
                                                signal.SIGSTOP}:
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    box.server(peers.echo)
    config = 'listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }'
    daemon = box.start(config=config, preexec=spoil)
    assert box.served()
    assert daemon.reload(config.replace('81', '82')) == 2
    assert box.served(port=82)
    daemon.wait_gone(1)
    daemon.deaths_expected = True
    os.kill(daemon.processes('dialer')[0].pid, signal.SIGKILL)
    daemon.running(3)
    assert daemon.stop() == 0


def test_limits_of_the_caller(box):
    def spoil():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        os.nice(5)

    box.server(peers.echo)
    box.forward(preexec=spoil)
    assert box.served()


def test_directory_that_is_gone(box):
    gone = box.tmp / 'gone'
    gone.mkdir()

    def spoil():
        os.chdir(gone)
        os.rmdir(gone)

    box.server(peers.echo)
    daemon = box.forward(preexec=spoil)
    assert box.served()
    assert daemon.reload() == 2
    done = box.run('-c', 'relative', preexec_fn=lambda: (
        os.mkdir(gone), os.chdir(gone), os.rmdir(gone)) and None)
    assert done.returncode == 1 and '-c' in done.stderr


def test_odd_environment(box):
    box.server(peers.echo)
    box.forward(env={'PATH': '/nonexistent', 'TZ': 'x' * 10000,
                     'LC_ALL': 'tlh_KX', 'HOME': '', 'BIG': 'y' * 100000,
                     'SECCOMP': '1', 'RES_OPTIONS': 'ndots:15'}
                if not box.prefix() else {'PATH': os.environ['PATH']})
    assert box.served()


def test_empty_environment_and_no_name(box):
    """argv[0] is nothing to rely on."""
    command = box.command('--version')
    if box.prefix():
        command = [box.tree.command, '--version']
    done = subprocess.run([''] + command[1:], executable=command[0], env={},
                          stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0 and done.stdout.startswith(b'sallyport ')


# --- jails ---

def refused(box, jail, *messages):
    done = box.run('-D', '-u', 'nobody', '-C', jail, '-L', 'stderr:5',
                   *LISTENER, drop=False)
    assert done.returncode == 1
    for message in messages:
        assert message in done.stderr, done.stderr


@pytest.mark.root
@pytest.mark.parametrize('mode', [0o775, 0o757, 0o777, 0o1777], ids=oct)
def test_writable_jail(box, mode):
    box.jail.chmod(mode)
    refused(box, box.jail, str(box.jail), 'writable')


@pytest.mark.root
def test_jail_of_somebody_else(box):
    os.chown(box.jail, 65534, 65534)
    refused(box, box.jail, str(box.jail), "root's")


@pytest.mark.root
def test_symbolic_link_as_jail(box):
    link = box.tmp / 'link'
    link.symlink_to(box.jail)
    refused(box, link, str(link))


@pytest.mark.root
def test_missing_jail(box):
    refused(box, box.tmp / 'nothing', 'nothing', 'No such file')


@pytest.mark.root
def test_file_as_jail(box):
    path = box.tmp / 'file'
    path.touch()
    refused(box, path, str(path), 'Not a directory')


@pytest.mark.root
def test_relative_jail(box):
    box.server(peers.echo)
    daemon = box.start('-u', 'nobody', '-C', 'jail', *LISTENER, drop=False,
                       preexec=lambda: os.chdir(box.tmp))
    assert box.served()
    assert os.path.samefile(daemon.processes('relay')[0].path('root'),
                            box.jail)


@pytest.mark.root
def test_jail_that_becomes_writable(box):
    """A reload then fails, and what runs goes on."""
    box.server(peers.echo)
    daemon = box.forward()
    box.jail.chmod(0o777)
    daemon.deaths_expected = True
    daemon.reload_refused(None, 'writable by group or others')
    daemon.wait('generation 2 was not started')
    assert box.served()
    box.jail.chmod(0o755)
    daemon.reload()
    assert box.served()


# --- the configuration changes while it is read ---

def test_file_changes_meanwhile(box):
    """Each reload takes one whole state of the file, or none."""
    fill = '#' * 400000 + '\n'

    def text(port):
        return (f'listen 127.0.0.1 81 {{ remote: 127.0.0.1 8080; }}\n{fill}'
                f'listen 127.0.0.1 {port} {{ remote: 127.0.0.1 8080; }}\n')

    box.server(peers.echo)
    daemon = box.start(config=text(82))
    over = threading.Event()

    def scribble():
        port = 82
        while not over.is_set():
            with open(box.conf, 'r+', encoding='ascii') as file:
                file.write(text(port))
            port = 83 if port == 82 else 82

    writer = threading.Thread(target=scribble, daemon=True)
    writer.start()
    try:
        for _ in range(30):
            since = daemon.mark()
            daemon.kill(signal.SIGHUP)
            line = daemon.wait('is running$|changed meanwhile|was not '
                               'started', since)
            # a port that has just gone is free again when its relays are
            if line['msg'].endswith('is running'):
                number = int(line['msg'].split()[1])
                until(lambda n=number: {p.gen for p in daemon.processes(
                    'relay')} == {n}, 'the old relays')
            assert box.served()
    finally:
        over.set()
        writer.join(LIMIT)
    daemon.deaths_expected = True
    daemon.reload(text(82))
    assert box.served(port=82)


def test_programs_in_a_directory_with_blanks(box):
    """The tree can stand anywhere."""
    top = box.tmp / 'a b\'c'
    shutil.copytree(box.tree.top / 'usr', top)
    top.chmod(0o755)
    box.tree = type(box.tree)(box.tree.top)
    box.tree.command = str(top / 'sbin/sallyport')
    box.server(peers.echo)
    box.forward()
    assert box.served()
