"""Started by an ordinary user: all but chroot, change of user and low
ports."""
import ctypes
import os

import pytest

from lib import net, peers, proc

SYS_LANDLOCK_CREATE_RULESET = 444
HIGH = ('-l', '127.0.0.1', '-p', 1081, '-r', '127.0.0.1', '-o', 8080)


@pytest.fixture
def daemon(box):
    box.server(peers.echo)
    return box.start(*HIGH, root=False)


def test_forwards(box, daemon):
    data = peers.noise(1 << 20)
    with peers.connect(port=1081) as client:
        assert peers.ask(client, data[:100000])
    assert daemon.session()['reason'] == 'client-eof'
    assert daemon.reload() == 2
    assert box.served(port=1081)


@pytest.mark.sandbox
def test_sandbox(box, daemon):
    """Filters, no_new_privs, no capabilities, in every child."""
    uid = os.stat(f'/proc/{daemon.pid}').st_uid
    parent = proc.Process(daemon.pid)
    uids = parent.status('Uid')
    assert '0' not in uids and uid is not None
    assert parent.status('Seccomp') == ['2']
    children = daemon.processes()
    assert len(children) == 5
    for child in children:
        assert child.status('Uid') == uids
        assert child.status('NoNewPrivs') == ['1']
        assert child.status('Seccomp') == ['2']
        assert int(child.status('Seccomp_filters')[0]) >= 2
        for kind in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb'):
            assert int(child.status(kind)[0], 16) == 0


@pytest.mark.sandbox
def test_what_is_missing_is_said(box, daemon):
    """Once, by name; Landlock only where the kernel has none."""
    line = daemon.wait('sandbox without: ', role='relay')
    assert 'jail' in line['msg'] and 'user' in line['msg']
    abi = net.libc.syscall(SYS_LANDLOCK_CREATE_RULESET, None,
                           ctypes.c_size_t(0), 1)
    assert ('Landlock' in line['msg']) == (abi < 6)


def test_low_port(box):
    """Refused by the system, and said so."""
    box.net.sysctl('ipv4.ip_unprivileged_port_start', 1024)
    done = box.run('-l', '127.0.0.1', '-p', 1023, '-r', '127.0.0.1', '-o',
                   8080, '-L', f'file:3,{user_dir(box)}/log', root=False)
    assert done.returncode == 1
    assert '127.0.0.1:1023: Permission denied' in done.stderr


def user_dir(box):
    path = box.tmp / 'user'
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    return path


@pytest.mark.parametrize('words, option', [
    (['-u', 'nobody'], '-u'), (['-C', '/'], '-C'),
    (['--username=daemon'], '-u'), (['--chroot=/'], '-C')])
def test_options_for_root(box, words, option):
    done = box.run(*words, *HIGH, root=False)
    line, = done.stderr.splitlines()
    assert done.returncode == 1
    assert option in line and 'root' in line


def test_own_configuration_file(box):
    """One's own, or root's; nobody else's."""
    path = box.write('listen 127.0.0.1 1081 { remote: 127.0.0.1 8080; }')
    daemon = box.start('-c', path, root=False)
    daemon.stop()
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        box.start('-c', path, root=False).stop()
        os.chown(path, 1, 1)
        done = box.run('-D', '-c', path, '-L', 'stderr:3', root=False)
        assert done.returncode == 1 and str(path) in done.stderr


def test_names(box):
    box.server(peers.echo)
    daemon = box.start('-l', 'localhost', '-t', 4, '-p', 1081, '-r',
                       'localhost', '-R', 4, '-o', 8080, root=False)
    daemon.wait('localhost is 127.0.0.1')
    assert box.served(port=1081)


def test_daemon(box):
    directory = user_dir(box)
    done = box.run(*HIGH, '-P', directory / 'pid', '-L',
                   f'file:5,{directory}/log', root=False)
    assert done.returncode == 0, done.stderr
    box.server(peers.echo)
    assert box.served(port=1081)
    pid = int((directory / 'pid').read_text())
    os.kill(pid, 15)
    assert os.waitpid(pid, 0)[1] == 0
