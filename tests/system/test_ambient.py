"""Started by another user than root who has the capabilities that it takes:
all is as if root had started it, but that the parent is that user."""
import os
import pwd
import shutil
import signal
import socket
import stat
import struct
import subprocess

import pytest

from conftest import NOBODY
from lib import peers, proc
from lib.wait import LIMIT, until

pytestmark = [pytest.mark.root, pytest.mark.sandbox]
PARENT, GROUP = 4242, 4243      # nobody has these numbers
ALL = {'kill': 5, 'setgid': 6, 'setuid': 7, 'setpcap': 8,
       'net_bind_service': 10, 'sys_chroot': 18}
FOR_A_DROP = [name for name in ALL if name != 'net_bind_service']
SETS = ('CapEff', 'CapPrm', 'CapBnd', 'CapInh', 'CapAmb')
CONFIG = '''listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }
listen 127.0.0.1 82 { remote: localhost 8080; remote-resolv: ipv4; }
'''
ONE_MORE = CONFIG + 'listen 127.0.0.1 83 { remote: 127.0.0.1 8080; }\n'


def mask(names):
    return sum(1 << ALL[name] for name in names)


def setpriv(names, *more, user=PARENT):
    """With these capabilities, also through exec, and no others."""
    words = ''.join(f',+{name}' for name in names)
    return ['setpriv', '--reuid', str(user), '--regid', str(GROUP),
            '--clear-groups', '--inh-caps=-all' + words,
            '--ambient-caps=-all' + words, *more]


@pytest.fixture(params=[[], ['--no-new-privs']],
                ids=['new_privs', 'no_new_privs'])
def ambient(request, box):
    bounds = '--bounding-set=-all' + ''.join(f',+{name}' for name in ALL)
    box.prefix = lambda root=None: setpriv(ALL, bounds, *request.param)
    return box


@pytest.fixture
def some(box):
    """Starts with the capabilities that a test chooses."""
    def choose(*names, more=(), **kwargs):
        box.prefix = lambda root=None: setpriv(names, *more, **kwargs)
        return box
    return choose


@pytest.fixture
def own(box):
    """A directory of the parent's user."""
    path = box.tmp / 'own'
    path.mkdir(mode=0o755)
    os.chown(path, PARENT, GROUP)
    return path


def started(box, **more):
    box.server(peers.echo)
    daemon = box.start(config=CONFIG, **more)
    daemon.wait('^localhost is 127.0.0.1')
    return daemon


def sets(process):
    return {kind: int(process.status(kind)[0], 16) for kind in SETS}


# --- as if root had started it ---

def test_processes(ambient):
    """As /proc shows them."""
    daemon = started(ambient)
    parent = proc.Process(daemon.pid)
    assert parent.status('Uid') == 4 * [str(PARENT)]
    assert parent.status('Gid') == 4 * [str(GROUP)]
    assert sets(parent) == dict.fromkeys(SETS, mask(ALL))
    for process in [parent, *daemon.processes()]:
        assert process.status('NoNewPrivs') == ['1']
        assert process.status('Seccomp') == ['2']
        # not dumpable: no debugger of the same user
        assert os.stat(process.path('environ')).st_uid == 0
    children = daemon.processes()
    assert {c.role for c in children} == {'dialer', 'logger', 'relay',
                                          'resolver'}
    for child in children:
        assert child.status('Uid') == 4 * [str(NOBODY.pw_uid)]
        assert child.status('Gid') == 4 * [str(NOBODY.pw_gid)]
        assert child.status('Groups') == []
        assert sets(child) == dict.fromkeys(SETS, 0), child
        jailed = child.role != 'resolver'
        assert os.path.samefile(child.path('root'),
                                ambient.jail if jailed else '/')
    assert not daemon.find('sandbox without: .*jail')


def test_reload_adds_a_low_port(ambient):
    daemon = started(ambient)
    client = ambient.connect()
    assert peers.ask(client)
    daemon.reload(ONE_MORE)
    for port in (81, 82, 83):
        assert ambient.served(port=port)
    assert peers.ask(client)
    children = daemon.processes(gen=2)
    assert children
    for child in children:
        assert child.status('Uid') == 4 * [str(NOBODY.pw_uid)]


def test_death(ambient):
    daemon = started(ambient)
    daemon.deaths_expected = True
    os.kill(daemon.processes('dialer')[0].pid, signal.SIGKILL)
    daemon.running(2)
    assert ambient.served() and ambient.served(port=82)
    logger, = daemon.processes('logger')
    os.kill(logger.pid, signal.SIGKILL)
    until(lambda: [p for p in daemon.processes('logger')
                   if p.pid != logger.pid], 'a new logger')


def test_who_does_not_end_is_ended(ambient):
    """Children of another user, stopped: only SIGKILL reaches them."""
    daemon = started(ambient)
    children = daemon.processes()
    for child in children:
        if child.role != 'logger':
            os.kill(child.pid, signal.SIGSTOP)
    assert daemon.stop() == 0
    assert not [c for c in children if proc.alive(c.pid)]


def test_default_user_and_jail(ambient):
    done = ambient.run('--print-sandbox', drop=False)
    assert done.returncode == 0, done.stderr
    try:
        user = pwd.getpwnam('_sallyport').pw_uid
    except KeyError:
        user = NOBODY.pw_uid
    assert f'user      {user}:' in done.stdout
    assert f'jail      {ambient.tree.libexec}/empty' in done.stdout
    assert 'no privileges' not in done.stdout


def test_check(ambient):
    assert ambient.check(CONFIG) == (0, '')
    status, said = ambient.check('listen')
    assert status == 1 and ':1:' in said


# --- what belongs to the parent's user ---

def test_log_file(ambient, own):
    """Opened again after it was renamed."""
    daemon = ambient.start('-L', f'file:4,{own}/log', config=CONFIG)
    os.rename(own / 'log', own / 'log.1')
    daemon.reload()
    until(lambda: 'generation 2 is running' in (own / 'log').read_text(),
          'the new file')
    assert (own / 'log').stat().st_uid == PARENT
    assert 'generation 2 is running' not in (own / 'log.1').read_text()
    assert not daemon.find('cannot open')


def test_pid_file(ambient, own):
    """As a daemon; and removed in the end."""
    ambient.server(peers.echo)
    pidfile = own / 'pid'
    words = ('-c', ambient.write(CONFIG), '-P', pidfile)
    done = ambient.run(*words, '-L', f'file:4,{own}/log')
    assert done.returncode == 0, done.stderr
    assert ambient.served()
    pid = int(pidfile.read_text())
    assert pidfile.stat().st_uid == PARENT
    done = ambient.run(*words)
    assert done.returncode == 1 and f'pid {pid}' in done.stderr
    os.kill(pid, signal.SIGTERM)
    until(lambda: os.waitpid(pid, os.WNOHANG) == (pid, 0), 'its end')
    assert not pidfile.exists()


def test_socket_dir(ambient, own):
    """Of the parent's user; without CAP_CHOWN."""
    daemon = ambient.start('--socket-dir', own, config=CONFIG)
    assert sets(proc.Process(daemon.pid))['CapEff'] == mask(ALL)
    daemon.stop()
    done = ambient.run('-c', ambient.conf, '--socket-dir', ambient.jail)
    assert done.returncode == 1
    assert f'--socket-dir: {ambient.jail}: expected' in done.stderr


def sockets(*more):
    return ('listen unix:socket { remote: 127.0.0.1 8080; '
            f'socket-mode: 0666; {" ".join(more)} }}\n')


def ask_unix(box, path):
    sock = box.keep(socket.socket(socket.AF_UNIX))
    sock.settimeout(LIMIT)
    sock.connect(str(path))
    return peers.ask(sock)


def test_unix_socket(ambient, own):
    """Its owner is the parent's user; another one takes CAP_CHOWN."""
    ambient.server(peers.echo)
    daemon = ambient.start('--socket-dir', own, config=sockets())
    for _ in range(2):
        info = (own / 'socket').stat()
        assert (info.st_uid, info.st_gid) == (PARENT, GROUP)
        assert stat.S_IMODE(info.st_mode) == 0o666
        assert ask_unix(ambient, own / 'socket')
        daemon.reload()
    daemon.deaths_expected = True       # of those who are refused
    daemon.reload_refused(
        sockets() + sockets('socket-owner: 1:1;').replace('socket', 'other',
                                                          1),
        'unix:.*/other: Operation not permitted')
    assert ask_unix(ambient, own / 'socket')
    daemon.stop()
    assert not list(own.iterdir())


def test_unix_socket_of_others(some, own):
    box = some(*ALL, 'chown')
    box.server(peers.echo)
    daemon = box.start('--socket-dir', own, ready=False,
                       config=sockets('socket-owner: 1:1;'))
    daemon.deaths_expected = True
    daemon.wait('cannot listen on unix:.*: Operation not permitted')
    assert daemon.wait_exit() == 1
    assert not list(own.iterdir())


def test_chown_is_for_root(some, own):
    """Who shares this uid could have files of others given away."""
    box = some(*ALL, 'chown')
    box.write(CONFIG)
    for words in ((), ('--socket-dir', own)):
        daemon = box.start('-c', box.conf, *words)
        assert set(sets(proc.Process(daemon.pid)).values()) == {mask(ALL)}
        daemon.stop()


def test_configuration_of_others(ambient):
    """Root's, or one's own."""
    daemon = started(ambient)
    for owner, good in ((PARENT, True), (NOBODY.pw_uid, False), (0, True)):
        os.chown(ambient.conf, owner, 0)
        if good:
            daemon.reload()
        else:
            daemon.reload_refused(None, "expected a file of root's")


# --- more, or less, than is needed ---

def test_what_is_not_needed_is_dropped(some):
    box = some(*ALL, 'dac_override', 'sys_admin', 'net_admin')
    daemon = started(box)
    assert sets(proc.Process(daemon.pid)) == dict.fromkeys(SETS, mask(ALL))


def test_without_low_ports(some):
    """All else needs no NET_BIND_SERVICE."""
    box = some(*FOR_A_DROP)
    daemon = box.start(
        config='listen 127.0.0.1 1081 { remote: 127.0.0.1 8080; }')
    assert sets(proc.Process(daemon.pid))['CapEff'] == mask(FOR_A_DROP)
    box.server(peers.echo)
    assert box.served(port=1081)


@pytest.mark.parametrize('missing', FOR_A_DROP)
def test_one_is_missing(some, missing):
    box = some(*(name for name in ALL if name != missing))
    done = box.run('-c', box.write(CONFIG))
    line, = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.endswith(f': cap_{missing}')


def test_all_but_one_are_missing(some):
    done = some('setuid').run('-p', 81, drop=False)
    line, = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.endswith(': cap_setgid cap_sys_chroot cap_kill cap_setpcap')


def test_root_lacks_one(box):
    """In a container, say."""
    box.prefix = lambda root=None: ['setpriv', '--bounding-set',
                                    '-sys_chroot']
    done = box.run('-c', box.write(CONFIG))
    line, = done.stderr.splitlines()
    assert done.returncode == 1 and line.endswith(': cap_sys_chroot')


def test_root_without_power(box):
    """By the secure bits; what it has are ambient capabilities."""
    words = ''.join(f',+{name}' for name in ALL)
    box.prefix = lambda root=None: [
        'setpriv', '--securebits=+noroot,+noroot_locked',
        '--inh-caps=-all' + words, '--ambient-caps=-all' + words]
    daemon = started(box)
    parent = proc.Process(daemon.pid)
    assert parent.status('Uid') == 4 * ['0']
    assert sets(parent) == dict.fromkeys(SETS, mask(ALL))
    for child in daemon.processes():
        assert sets(child) == dict.fromkeys(SETS, 0)
    daemon.reload(ONE_MORE)
    assert box.served(port=83)


def test_parents_user_is_not_for_children(some):
    box = some(*ALL)
    done = box.run('-u', f'{PARENT}:{GROUP}', '-C', box.jail, '-c',
                   box.write(CONFIG), drop=False)
    line, = done.stderr.splitlines()
    assert done.returncode == 1
    assert f'option -u: {PARENT}: ' in line and 'another user' in line


# --- an ordinary user who may open low ports ---

def is_ordinary(box, daemon):
    box.server(peers.echo)
    assert box.served()
    daemon.reload(ONE_MORE)
    daemon.wait_gone(1)
    assert box.served(port=83)
    parent = proc.Process(daemon.pid)
    for kind in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb'):
        assert sets(parent)[kind] == mask(['net_bind_service'])
    daemon.wait('sandbox without: jail')
    for child in daemon.processes():
        assert child.status('Uid') == parent.status('Uid')
        assert not any(sets(child)[kind] for kind in (
            'CapEff', 'CapPrm', 'CapInh', 'CapAmb'))
    return True


def test_low_ports_only(some):
    box = some('net_bind_service')
    daemon = box.start(config=CONFIG, drop=False)
    assert is_ordinary(box, daemon)


def test_others_are_dropped(some):
    """None of them is for a change of user."""
    box = some('net_bind_service', 'sys_admin', 'chown')
    daemon = box.start(config=CONFIG, drop=False)
    assert is_ordinary(box, daemon)


def file_capabilities(box, names):
    """sallyport, installed once more, with a file that has them."""
    shutil.copytree(box.tree.top, box.tmp / 'tree')
    command = box.tmp / 'tree/usr/sbin/sallyport'
    os.setxattr(command, 'security.capability', struct.pack(
        '<5I', 0x02000001, mask(names), 0, 0, 0))
    box.prefix = lambda root=None: setpriv([])
    return [*box.prefix(), str(command)]


def test_file_capabilities_for_low_ports(box):
    command = file_capabilities(box, ['net_bind_service'])
    box.command = lambda *args, **more: [*command, *map(str, args)]
    daemon = box.start(config=CONFIG)
    assert is_ordinary(box, daemon)


def test_file_capabilities_for_a_drop(box):
    """Whoever may execute it would choose the user: refused."""
    command = file_capabilities(box, ALL)
    done = subprocess.run([*command, '-p', '81'], check=False, text=True,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert 'ambient' in done.stderr
    assert all(f' cap_{name}' in done.stderr for name in FOR_A_DROP)
