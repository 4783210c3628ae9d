"""What a service manager gives and gets: sd_notify, inherited sockets, the
end after too many replacements."""
import os
import re
import signal
import socket
import sys
import time

import pytest

from lib import peers, proc
from lib.wait import LIMIT

ONE = 'listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }\n'
TWO = ONE + 'listen 127.0.0.1 82 { remote: 127.0.0.1 8080; }\n'


class Manager:
    """Listens as systemd does; its address is a path or an abstract name."""

    def __init__(self, box, name):
        self.sock = box.keep(socket.socket(socket.AF_UNIX,
                                           socket.SOCK_DGRAM))
        self.sock.bind('\0' + name[1:] if name[0] == '@' else name)
        self.sock.settimeout(LIMIT)
        self.env = {**os.environ, 'NOTIFY_SOCKET': name}
        if name[0] == '/':
            os.chmod(name, 0o666)

    def hear(self):
        text = self.sock.recv(1024).decode()
        return dict(line.split('=', 1) for line in text.splitlines())

    def silent(self):
        self.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.sock.recv(1024)
        self.sock.settimeout(LIMIT)
        return True


@pytest.mark.parametrize('kind', ['path', 'abstract'])
def test_notify(box, kind):
    name = str(box.tmp / 'notify') if kind == 'path' else '@sallyport-test'
    manager = Manager(box, name)
    box.server(peers.echo)
    daemon = box.start(config=ONE, env=manager.env)
    assert manager.hear()['READY'] == '1'
    assert box.served()
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.reload(TWO)
    told = manager.hear()
    assert told['RELOADING'] == '1'
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before <= int(told['MONOTONIC_USEC']) <= now
    assert manager.hear()['READY'] == '1'
    assert box.served(port=82)
    daemon.stop()
    assert manager.hear()['STOPPING'] == '1'
    assert manager.silent()


def test_notify_refused_reload(box):
    """It is over all the same, and what ran runs on."""
    manager = Manager(box, str(box.tmp / 'notify'))
    box.server(peers.echo)
    daemon = box.start(config=ONE, env=manager.env)
    daemon.deaths_expected = True
    assert 'READY' in manager.hear()
    for text in ('rubbish', None):
        if text is None:
            os.unlink(daemon.conf)
        else:
            daemon.write(text)
        daemon.kill(signal.SIGHUP)
        assert 'RELOADING' in manager.hear()
        assert 'READY' in manager.hear()
        assert box.served()


def test_notify_drain(box):
    manager = Manager(box, str(box.tmp / 'notify'))
    server = box.listen()
    daemon = box.start(config=ONE, env=manager.env)
    assert 'READY' in manager.hear()
    client, other = box.pair(server)
    daemon.kill(signal.SIGQUIT)
    assert 'STOPPING' in manager.hear()
    client.sendall(b'still here')
    assert peers.read_some(other, 10) == b'still here'
    client.close()
    other.close()
    assert daemon.wait_exit() == 0


def test_nobody_listens(box):
    """The manager has gone: no reason to stop."""
    manager = Manager(box, str(box.tmp / 'notify'))
    box.server(peers.echo)
    daemon = box.start(config=ONE, env=manager.env)
    manager.sock.close()
    daemon.reload(TWO)
    assert box.served(port=82)


@pytest.mark.parametrize('name, message', [
    ('relative', 'expected a path or an abstract name'),
    ('/nowhere/at/all', 'No such file or directory'),
    ('/' + 'x' * 200, 'expected a path or an abstract name'),
])
def test_bad_notify_socket(box, name, message):
    done = box.run('-D', '-c', box.write(ONE),
                   env={**os.environ, 'NOTIFY_SOCKET': name})
    assert done.returncode == 1
    assert f'NOTIFY_SOCKET={name}' in done.stderr and message in done.stderr


# --- socket activation ---

# What the manager does between fork and exec.
GIVE = """
import fcntl, os, sys
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100)
       for fd in sys.argv[1].split()]
os.closerange(3, 100)
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
os.environ['LISTEN_PID'] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


def inherit(box, socks, config, count=None, **more):
    """Sallyport with these sockets at descriptor 3 and behind."""
    count = len(socks) if count is None else count
    more['env'] = {**os.environ, 'LISTEN_FDS': str(count)}
    fds = [sock.fileno() for sock in socks]
    command = box.command
    box.command = lambda *args, **kw: [
        sys.executable, '-c', GIVE, ' '.join(map(str, fds)),
        *command(*args, **kw)]
    try:
        return box.start(config=config, pass_fds=fds, **more)
    finally:
        box.command = command


def bound(box, host='127.0.0.1', port=81, family=socket.AF_INET):
    sock = box.keep(socket.socket(family))
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((host, port))
    sock.listen(64)
    return sock


def inode(sock):
    return os.readlink(f'/proc/self/fd/{sock.fileno()}')


def relay_fds(daemon, gen):
    return [{os.readlink(f'/proc/{p.pid}/fd/{fd}')
             for fd in os.listdir(f'/proc/{p.pid}/fd')}
            for p in daemon.processes('relay', gen)]


def test_inherited(box):
    """Every worker of every generation uses the socket that was given."""
    box.server(peers.echo)
    four = bound(box)
    six = bound(box, '::1', 83, socket.AF_INET6)
    config = TWO + 'listen ::1 83 { remote: 127.0.0.1 8080; }\n'
    daemon = inherit(box, [four, six], config)
    assert not daemon.find('matches no')
    for gen in 1, 2:
        assert box.served() and box.served(port=82)
        assert box.served('::1', port=83)
        for have in relay_fds(daemon, gen):
            assert inode(four) in have and inode(six) in have
        if gen == 1:
            daemon.reload()
    daemon.stop()
    # the manager still has them: nobody was refused, and the next one goes on
    box.connect()


def test_unmatched(box):
    box.server(peers.echo)
    four, other = bound(box), bound(box, port=99)
    daemon = inherit(box, [four, other], ONE)
    daemon.wait(r"inherited socket 4 \(LISTEN_FDS\) matches no `listen'",
                level='warning')
    assert not daemon.find('inherited socket 3')
    assert box.served()
    # kept: a reload may ask for it
    daemon.reload(ONE + 'listen 127.0.0.1 99 { remote: 127.0.0.1 8080; }\n')
    assert len(daemon.find('matches no')) == 1
    assert box.served(port=99)


def test_meant_for_another(box):
    """$LISTEN_PID is somebody else's: nothing is taken."""
    box.server(peers.echo)
    four = bound(box, port=99)
    done = box.start(config=ONE, env={**os.environ, 'LISTEN_FDS': '1',
                                      'LISTEN_PID': '1'})
    assert not done.find('inherited')
    assert box.served()
    assert inode(four) not in [
        os.readlink(f'/proc/{done.pid}/fd/{fd}')
        for fd in os.listdir(f'/proc/{done.pid}/fd')]


@pytest.mark.parametrize('kind', ['connected', 'datagram', 'file', 'missing'])
def test_wrong_descriptor(box, kind):
    if kind == 'connected':
        server = bound(box, port=99)
        sock = box.connect(port=99)
        assert server
    elif kind == 'datagram':
        sock = box.keep(socket.socket(type=socket.SOCK_DGRAM))
    elif kind == 'file':
        sock = open(box.write(ONE), 'rb')   # pylint: disable=R1732
    else:
        sock = None
    daemon = inherit(box, [sock] if sock else [], ONE, count=1, ready=False)
    assert daemon.wait_exit() == 1
    assert any(re.search(r'inherited descriptor 3 \(LISTEN_FDS\): expected a '
                         'listening stream socket', line)
               for line in daemon.errors), daemon.text()
    if kind == 'file':
        sock.close()


def test_dual_stack(box):
    """It would take IPv4's clients too, which `listen ::' does not mean."""
    sock = box.keep(socket.socket(socket.AF_INET6))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(('::', 81))
    sock.listen(64)
    daemon = inherit(box, [sock], 'listen :: 81 { remote: 127.0.0.1 1; }',
                     ready=False)
    assert daemon.wait_exit() == 1
    assert any('BindIPv6Only=ipv6-only' in line for line in daemon.errors)


@pytest.mark.parametrize('count', ['x', '-1', '31', '1 '])
def test_bad_count(box, count):
    daemon = inherit(box, [], ONE, count=count, ready=False)
    assert daemon.wait_exit() == 1
    assert any(f'LISTEN_FDS={count}: expected a number up to 30' in line
               for line in daemon.errors), daemon.text()


# --- replacements ---

def test_gives_up(box):
    """After five replacements in a minute the next death is the end."""
    box.server(peers.echo)
    daemon = box.start(config=ONE)
    daemon.deaths_expected = True
    for number in range(1, 7):
        daemon.running(number)
        since = daemon.mark()
        victim = daemon.processes('dialer', number)[0]
        assert proc.alive(victim.pid)
        os.kill(victim.pid, signal.SIGKILL)
        if number < 6:
            daemon.wait('a process has died: starting a new generation', since)
    daemon.wait('a process has died: 5 replacements in a minute, giving up',
                level='error')
    assert daemon.wait_exit() == 1
