"""Forwarding: byte for byte, each way on its own."""
import os
import re
import signal
import socket
import subprocess
import threading

import ctypes
import pytest

from lib import peers
from lib.wait import LIMIT, until

FAMILIES = {4: '127.0.0.1', 6: '::1'}


def talk(sock, data):
    """Sends data, ends that direction, returns what comes back."""
    def send():
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    got = peers.read_all(sock)
    sender.join(LIMIT)
    return got


@pytest.mark.parametrize('inside', [4, 6])
@pytest.mark.parametrize('outside', [4, 6])
def test_bytes_between_families(box, outside, inside):
    daemon = box.start('-l', FAMILIES[outside], '-p', 81,
                       '-r', FAMILIES[inside], '-o', 8080)
    listener = box.listen(FAMILIES[inside], 8080)
    up, down = peers.noise(3 << 20, 1), peers.noise(5 << 20, 2)
    client, server = box.pair(listener, FAMILIES[outside], 81)
    got = {}
    threads = [threading.Thread(target=lambda n=n, s=s, d=d:
                                got.update({n: talk(s, d)}), daemon=True)
               for n, s, d in (('server', server, down),
                               ('client', client, up))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert got['server'] == up and got['client'] == down
    line = daemon.session()
    assert (line['to_server'], line['to_client']) == (len(up), len(down))


def test_large_echo(box):
    daemon = box.forward()
    box.server(peers.echo)
    data = peers.noise(64 << 20)
    client = box.connect()
    assert peers.digest(talk(client, data)) == peers.digest(data)
    assert daemon.session()['reason'] == 'client-eof'


def test_single_bytes(box):
    """Each byte gets through though no more follows."""
    box.forward()
    box.server(peers.echo)
    client = box.connect()
    for byte in range(256):
        assert peers.ask(client, bytes([byte]))


@pytest.mark.parametrize('first', ['client', 'server'])
def test_half_close(box, first):
    """One direction ends; the other one goes on as long as it likes."""
    daemon = box.forward()
    listener = box.listen()
    client, server = box.pair(listener)
    one, other = (client, server) if first == 'client' else (server, client)
    one.sendall(b'last words')
    one.shutdown(socket.SHUT_WR)
    assert peers.read_all(other) == b'last words'
    for _ in range(3):
        other.sendall(b'more')
        assert peers.read_some(one, 4) == b'more'
    assert not daemon.find('^session$')
    other.shutdown(socket.SHUT_WR)
    assert peers.read_all(one) == b''
    assert daemon.session()['reason'] == first + '-eof'


def test_half_close_before_connected(box):
    """A client that has said all it has to say still gets its answer."""
    box.start('-l', '127.0.0.1', '-p', 81, '-r', '127.0.0.1', '-o', 8080)
    listener = box.listen()
    client = box.connect()
    client.sendall(b'question')
    client.shutdown(socket.SHUT_WR)
    server = box.accept(listener)
    assert peers.read_all(server) == b'question'
    server.sendall(b'answer')
    server.close()
    assert peers.read_all(client) == b'answer'


@pytest.mark.parametrize('first', ['client', 'server'])
def test_reset(box, first):
    """A cut stream must not look like a whole one."""
    daemon = box.forward()
    listener = box.listen()
    client, server = box.pair(listener)
    one, other = (client, server) if first == 'client' else (server, client)
    one.sendall(b'x')
    assert peers.read_some(other, 1) == b'x'
    peers.reset(one)
    assert peers.is_reset(other)
    assert daemon.session()['reason'] == first + '-reset'


@pytest.mark.parametrize('first', ['client', 'server'])
def test_reset_after_half_close(box, first):
    daemon = box.forward()
    listener = box.listen()
    client, server = box.pair(listener)
    one, other = (client, server) if first == 'client' else (server, client)
    other.shutdown(socket.SHUT_WR)
    assert peers.read_all(one) == b''
    peers.reset(one)
    assert peers.is_reset(other)
    assert daemon.session()['reason'] == first + '-reset'


def listening():
    """(address, port, v6only or None) of all that listens here."""
    out = subprocess.run(['ss', '-Hltne'], stdout=subprocess.PIPE, text=True,
                         check=True).stdout
    found = []
    for line in out.splitlines():
        host, _, port = line.split()[3].rpartition(':')
        only = re.search(r'v6only:(\d)', line)
        found.append((host, int(port), only and only[1] == '1'))
    return found


def test_any_address(box):
    """`*' is a socket for IPv4 and one for IPv6, and for each worker."""
    daemon = box.start(config='listen * 81 { remote: 127.0.0.1 8080; };',
                       workers=2)
    assert sorted(listening()) == \
        2 * [('0.0.0.0', 81, None)] + 2 * [('[::]', 81, True)]
    box.server(peers.echo)
    for host in ('127.0.0.1', '127.1.2.3', '::1'):
        assert peers.ask(box.connect(host))
    assert [daemon.wait('^listening on', count=n)['msg'].split()[2]
            for n in (1, 2)] == ['0.0.0.0:81', '[::]:81']


@pytest.mark.parametrize('family, address', [('4', '0.0.0.0'),
                                             ('ipv6', '[::]')])
def test_any_address_of_one_family(box, family, address):
    box.start('-t', family, '-p', 81, '-r', '127.0.0.1', '-o', 8080,
              workers=1)
    assert [(host, port) for host, port, _ in listening()] == [(address, 81)]


libc = ctypes.CDLL(None, use_errno=True)
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438


def copies_of_sockets(process):
    """The very sockets of another process."""
    pidfd = libc.syscall(SYS_PIDFD_OPEN, process.pid, 0)
    assert pidfd >= 0
    for fd, what in process.fds().items():
        if what.startswith('socket:'):
            copy = libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)
            assert copy >= 0, os.strerror(ctypes.get_errno())
            yield socket.socket(fileno=copy)
    os.close(pidfd)


@pytest.mark.root
@pytest.mark.parametrize('idle', ['no', '90s'])
def test_socket_options(box, idle):
    """NODELAY on both sides; keep-alive as the configuration says."""
    daemon = box.start(config=f'''listen 127.0.0.1 81 {{
        remote: 127.0.0.1 8080; keepalive: {idle}; }}''')
    client, server = box.pair(box.listen())
    client.sendall(b'x')
    assert peers.read_some(server, 1) == b'x'
    ends = set()
    for relay in daemon.processes('relay'):
        for sock in copies_of_sockets(relay):
            with sock:
                if sock.family != socket.AF_INET or sock.getsockopt(
                        socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    continue
                assert sock.getsockopt(socket.IPPROTO_TCP,
                                       socket.TCP_NODELAY)
                alive = sock.getsockopt(socket.SOL_SOCKET,
                                        socket.SO_KEEPALIVE)
                assert bool(alive) == (idle != 'no')
                if alive:
                    assert sock.getsockopt(socket.IPPROTO_TCP,
                                           socket.TCP_KEEPIDLE) == 90
                ends.add(sock.getpeername())
    assert ends == {client.getsockname(), server.getsockname()}


@pytest.mark.parametrize('slow', ['client', 'server'])
def test_backpressure(box, slow):
    """Who doesn't read stops who sends; nothing piles up in between."""
    for name in ('tcp_rmem', 'tcp_wmem'):
        box.net.sysctl('ipv4.' + name, '4096 65536 131072')
    daemon = box.forward(workers=1)
    client, server = box.pair(box.listen())
    fast, lazy = (server, client) if slow == 'client' else (client, server)
    relay, = daemon.processes('relay')
    before = relay.rss()
    data = memoryview(peers.noise(16 << 20))
    fast.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < len(data):
            sent += fast.send(data[sent:sent + 65536])
    assert sent < 4 << 20, 'nobody stopped the sender'
    assert relay.rss() - before < 4 << 20
    fast.shutdown(socket.SHUT_WR)
    assert peers.read_all(lazy) == data[:sent]


def test_one_slow_client_holds_up_nobody(box):
    box.forward(workers=1)
    box.server(lambda sock: sock.sendall(bytes(32 << 20)))
    lazy = box.connect(rcvbuf=4096)
    assert peers.read_some(lazy, 1)
    for _ in range(3):
        assert len(peers.read_all(box.connect())) == 32 << 20


def test_many_sessions(box):
    """All open at once, all answered, all different."""
    daemon = box.forward()
    box.server(peers.echo)
    clients = [box.connect() for _ in range(500)]
    for round_ in range(3):
        for i, client in enumerate(clients):
            client.sendall(b'%d.%d.' % (round_, i))
        for i, client in enumerate(clients):
            text = b'%d.%d.' % (round_, i)
            assert peers.read_some(client, len(text)) == text
    for client in clients:
        client.close()
    # lines may be lost under load, and are counted; the numbers are not
    def left():
        since = daemon.mark()
        daemon.kill(signal.SIGUSR1)
        lines = [daemon.wait('^listener$', since, n) for n in (1, 2)]
        assert sum(e['accepted'] for e in lines) == 500
        return sum(e['sessions'] for e in lines)

    until(lambda: left() == 0, 'the end of all sessions')


def test_last_words(box):
    """A server answers and closes with the upload unread: the kernel resets
    that connection, and still the client gets the whole answer."""
    answer = b'413 too large\r\n' + peers.noise(30000)

    def refuse(sock):
        sock.recv(10)
        sock.sendall(answer)

    box.server(refuse, port=8081)
    box.start(config='listen 127.0.0.1 82 { remote: 127.0.0.1 8081; }')
    whole = 0
    for _ in range(50):
        with box.connect(port=82) as client:
            got = b''
            try:
                for _ in range(40):
                    client.sendall(20000 * b'b')
            except ConnectionError:
                pass
            try:
                while part := client.recv(65536):
                    got += part
            except ConnectionError:
                pass
            whole += got == answer
    assert whole == 50
