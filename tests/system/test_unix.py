"""Unix sockets on either side: forwarding, half-close, resets, full queues,
credentials; the sockets as files: owner, mode, name, reload, removal."""
import glob
import grp
import os
import pwd
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time

import pytest

from lib import peers, proc
from lib.wait import LIMIT, until

NOBODY = pwd.getpwnam('nobody')
COMMAND_LINE = ('-l', 'unix:front', '-r', '127.0.0.1', '-o', 8080)


class Place:
    """A --socket-dir, and a directory for servers' sockets."""

    def __init__(self, box):
        self.box = box
        self.dir = self.directory('run')
        self.back = str(self.directory('back') / 'server')
        self.front = str(self.dir / 'front')
        self.options = ('--socket-dir', self.dir)

    def directory(self, name, mode=0o755):
        path = self.box.tmp / name
        path.mkdir()
        path.chmod(mode)
        if not self.box.privileged and os.geteuid() == 0:
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
        return path

    def start(self, config=None, *args, **more):
        return self.box.start(*self.options, *args, config=config, **more)

    def clear(self):
        """A server's socket is left behind when it has gone."""
        if os.path.exists(self.back):
            os.unlink(self.back)


@pytest.fixture
def place(box):
    return Place(box)


def inode(path):
    return os.stat(path).st_ino


def mode_of(path):
    info = os.lstat(path)
    assert stat.S_ISSOCK(info.st_mode)
    return stat.S_IMODE(info.st_mode)


def listen_on(place, kind):
    """The stanza's head, and where to connect to."""
    return ('unix:front', (place.front,)) if kind == 'unix' else \
        ('127.0.0.1 81', ('127.0.0.1', 81))


def remote_at(place, kind):
    """The remote, and where to listen."""
    return (f'unix:{place.back}', (place.back,)) if kind == 'unix' else \
        ('127.0.0.1 8080', ('127.0.0.1', 8080))


class Way:
    """From a listener of one kind to a remote of one kind."""

    def __init__(self, place, front, back, **more):
        head, self.front = listen_on(place, front)
        remote, self.back = remote_at(place, back)
        self.kinds, self.box = (front, back), place.box
        self.config = (f'listen {head} {{ remote: {remote}; '
                       'connect-timeout: 5s; }')
        self.daemon = place.start(self.config, **more)

    def listen(self, **more):
        return self.box.listen(*self.back, **more)

    def connect(self):
        return self.box.connect(*self.front)

    def pair(self, listener):
        return self.box.pair(listener, *self.front)

    def server(self, handler):
        return self.box.server(handler, *self.back)


@pytest.fixture(params=['tcp-unix', 'unix-tcp', 'unix-unix'])
def way(request, place):
    return Way(place, *request.param.split('-'))


# --- forwarding ---

def test_forwards(way, place):
    way.server(peers.echo)
    with way.connect() as client:
        assert peers.ask(client)
    line = way.daemon.session(reason='client-eof')
    assert line['to_server'] == line['to_client'] == 4
    front, back = way.kinds
    assert line['listener'] == (f'unix:{place.front}' if front == 'unix'
                                else '127.0.0.1:81')
    assert line['remote'] == (f'unix:{place.back}' if back == 'unix'
                              else '127.0.0.1:8080')
    assert line['client'].startswith('unix' if front == 'unix'
                                     else '127.0.0.1:')
    assert ('pid' in line) == (front == 'unix')


def transfer(sender, receiver, data):
    """What the receiver has got when the sender has ended."""
    def send():
        sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    got = peers.read_all(receiver)
    thread.join(LIMIT)
    return got


def test_bulk_both_ways(way):
    """Byte for byte, both directions at once."""
    up, down = peers.noise(24 << 20, 1), peers.noise(24 << 20, 2)
    client, server = way.pair(way.listen())
    result = []
    other = threading.Thread(
        target=lambda: result.append(transfer(server, client, down)))
    other.start()
    assert peers.digest(transfer(client, server, up)) == peers.digest(up)
    other.join(LIMIT)
    assert peers.digest(result[0]) == peers.digest(down)
    line = way.daemon.session()
    assert line['to_server'] == len(up) and line['to_client'] == len(down)
    assert line['reason'] in ('client-eof', 'server-eof')


def test_slow_reader(way):
    """Backpressure: what isn't taken is not read, and nothing is lost."""
    data = peers.noise(16 << 20)
    client, server = way.pair(way.listen())
    sent = []

    def send():
        client.sendall(data)
        sent.append(True)
        client.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    got = peers.read_some(server, 1000)
    assert not sent, '16 MiB were buffered'
    for size in (1, 7, 65536, 100000):
        got += peers.read_some(server, size)
    got += peers.read_all(server)
    thread.join(LIMIT)
    assert peers.digest(got) == peers.digest(data)


def test_tiny_pieces(way):
    client, server = way.pair(way.listen())
    for n in range(300):
        piece = b'%d.' % n
        client.sendall(piece)
        assert peers.read_some(server, len(piece)) == piece
        server.sendall(piece)
        assert peers.read_some(client, len(piece)) == piece


def test_many_sessions(way):
    """More clients at once than one queue has, on all workers."""
    way.server(peers.echo)
    clients = [way.connect() for _ in range(300)]
    assert all(map(peers.ask, clients))
    for client in clients:
        client.close()
    assert peers.ask(way.connect())


# --- half-close, reset ---

def test_half_close_by_client(way):
    client, server = way.pair(way.listen())
    client.sendall(b'question')
    client.shutdown(socket.SHUT_WR)
    assert peers.read_all(server) == b'question'
    server.sendall(b'answer')
    assert peers.read_some(client, 6) == b'answer'
    server.sendall(b'!')
    server.close()
    assert peers.read_all(client) == b'!'
    assert way.daemon.session()['reason'] == 'client-eof'


def test_half_close_by_server(way):
    client, server = way.pair(way.listen())
    server.sendall(b'greeting')
    server.shutdown(socket.SHUT_WR)
    assert peers.read_all(client) == b'greeting'
    client.sendall(b'still there')
    assert peers.read_some(server, 11) == b'still there'
    client.close()
    assert peers.read_all(server) == b''
    assert way.daemon.session()['reason'] == 'server-eof'


def test_server_hangs_up_at_once(way):
    """What it has said is there, however soon it has closed."""
    text = peers.noise(50000)

    def handler(sock):
        sock.sendall(text)

    way.server(handler)
    for _ in range(100):
        with way.connect() as client:
            assert peers.read_all(client) == text


def test_client_hangs_up_at_once(way):
    """Send and forget: the server gets all of it."""
    data, got = peers.noise(60000), []
    listener = way.listen()
    for _ in range(20):
        with way.connect() as client:
            client.sendall(data)
    for _ in range(20):
        with peers.accept(listener) as server:
            got.append(peers.read_all(server))
    assert got == [data] * 20


def close_unread(sock):
    """A unix socket's way to reset: by closing with something unread, which
    is here, and so no more in the relay."""
    assert sock.recv(1, socket.MSG_PEEK)
    if sock.family == socket.AF_UNIX:
        sock.close()
    else:
        peers.reset(sock)


def test_server_resets(way):
    """A client of TCP hears it; a unix socket can say no more than end."""
    client, server = way.pair(way.listen())
    client.sendall(b'unread')
    close_unread(server)
    assert peers.is_reset(client) == (way.kinds[0] == 'tcp')
    assert way.daemon.session()['reason'] == 'server-reset'


def test_client_resets(way):
    client, server = way.pair(way.listen())
    server.sendall(b'unread')
    close_unread(client)
    assert peers.is_reset(server) == (way.kinds[1] == 'tcp')
    assert way.daemon.session()['reason'] == 'client-reset'


def test_early_answer(way):
    """A server that answers and closes without having read all."""
    def handler(sock):
        peers.read_some(sock, 10)
        sock.sendall(b'no, thanks')

    way.server(handler)
    for _ in range(20):
        with way.connect() as client:
            got = b''
            try:
                client.sendall(peers.noise(3 << 20))
            except ConnectionError:
                pass
            try:
                while part := client.recv(65536):
                    got += part
            except ConnectionError:
                pass
            assert got == b'no, thanks'


def test_no_spin(place):
    """A client that is gone altogether costs nothing, as long as the server
    stays."""
    way = Way(place, 'unix', 'unix', workers=1)
    client, server = way.pair(way.listen())
    client.sendall(b'x')
    client.close()
    assert peers.read_all(server) == b'x'
    relay, = way.daemon.processes('relay')
    before = relay.cpu()
    time.sleep(1)           # that nothing happens can't be awaited
    assert relay.cpu() - before < 0.1
    server.sendall(b'nobody hears this')
    assert way.daemon.session()['reason'] == 'client-reset'


def test_idle_session_ends(place):
    way = Way(place, 'unix', 'unix')
    way.daemon.reload(way.config.replace('connect-timeout: 5s',
                                         'timeout: 200ms'))
    way.daemon.wait_gone(1)     # until then it may take clients, too
    client, server = way.pair(way.listen())
    assert peers.read_all(client) == b'' and peers.read_all(server) == b''
    assert way.daemon.session()['reason'] == 'idle'


# --- what a peer can attach to its bytes ---

@pytest.mark.parametrize('side', [0, 1])
def test_attached_descriptors(place, side):
    """They go nowhere, and hold up nothing."""
    way = Way(place, 'unix', 'unix', workers=1)
    pair = way.pair(way.listen())
    sender, receiver = pair[side], pair[1 - side]
    with open('/dev/null', 'rb') as null:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                   struct.pack('i', null.fileno()))]
        for n in range(200):
            # in one read, if the descriptors didn't end it
            parts = [b'a%d' % n, b'b' * 1000, b'c']
            sender.sendall(parts[0])
            sender.sendmsg([parts[1]], rights)
            sender.sendall(parts[2])
            whole = b''.join(parts)
            assert peers.read_some(receiver, len(whole)) == whole
            receiver.sendall(b'ok')
            assert sender.recvmsg(2, 1000)[:2] == (b'ok', [])
    if place.box.privileged:
        relay, = way.daemon.processes('relay')
        until(lambda: '/dev/null' not in
              [what for fd, what in relay.fds().items() if fd > 2],
              'no descriptor stays')


def test_urgent_data(place):
    """An urgent byte cuts reads short; what is behind it is not lost."""
    way = Way(place, 'unix', 'unix')
    client, server = way.pair(way.listen())
    try:
        client.send(b'x', socket.MSG_OOB)
    except OSError:
        pytest.skip('this kernel has no urgent data on unix sockets')
    for n in range(100):
        client.sendall(b'before')
        client.send(b'!', socket.MSG_OOB)
        client.sendall(b'behind%d' % n)
        end, got = b'behind%d' % n, b''
        while not got.endswith(end):
            part = server.recv(1000)
            assert part
            got += part


# --- connecting to remotes ---

def fill(path):
    """A server whose queue is full, and the clients in it."""
    listener = peers.listen(path, backlog=0)
    waiting = []
    while True:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        try:
            sock.connect(path)
        except BlockingIOError:
            sock.close()
            return listener, waiting
        waiting.append(sock)


def test_full_queue(box, place):
    """It is tried again, without haste, until there is room."""
    listener, waiting = fill(place.back)
    for sock in [listener, *waiting]:
        box.keep(sock)
    daemon = box.start('-l', '127.0.0.1', '-p', 81, '-r',
                       f'unix:{place.back}', workers=1)
    clients = [box.connect() for _ in range(200)]
    for client in clients:
        client.sendall(b'x')
    time.sleep(0.5)         # it is in no haste any more
    dialer, = daemon.processes('dialer')
    before = dialer.cpu()
    time.sleep(1)           # that nothing happens can't be awaited
    assert dialer.cpu() - before < 0.1
    for sock in waiting:
        sock.close()
    served = 0
    while served < len(clients):
        server = box.accept(listener)
        data = server.recv(1)
        if data:            # else one of those that have left
            served += 1
            server.sendall(b'y')
    for client in clients:
        assert client.recv(1) == b'y'


def test_full_queue_time_limit(box, place):
    """Each try has connect-timeout; then comes the next remote."""
    listener, waiting = fill(place.back)
    for sock in [listener, *waiting]:
        box.keep(sock)
    remote = f'remote: unix:{place.back};'
    daemon = box.start(config='connect-timeout: 300ms; listen 127.0.0.1 81 '
                       f'{{ {remote} {remote} remote: 127.0.0.1 8080; }}')
    with box.listen() as tcp:
        client, server = box.pair(tcp)
        server.sendall(b'next')
        assert peers.read_some(client, 4) == b'next'
        client.close()
        server.close()
        line = daemon.session()
        assert line['remote'] == '127.0.0.1:8080'
        assert line['connect_ms'] >= 600
    daemon.reload('connect-timeout: 200ms; listen 127.0.0.1 81 '
                  f'{{ {remote} }}')
    daemon.wait_gone(1)
    assert peers.cut_off()
    line = daemon.session(reason='connect-timeout', level='warning')
    assert line['remote'] == f'unix:{place.back}'


def test_client_leaves_a_full_queue(box, place):
    """The dialer gives up with a client that has reset its connection."""
    listener, waiting = fill(place.back)
    for sock in [listener, *waiting]:
        box.keep(sock)
    daemon = box.start('-l', '127.0.0.1', '-p', 81, '-r',
                       f'unix:{place.back}', workers=1)
    client = box.connect()
    peers.reset(client)
    daemon.session(reason='client-reset')
    for sock in waiting:
        sock.close()
    with box.connect() as client:
        client.sendall(b'next')
        # before it those that have left, and at most one last try
        ended = 0
        while not (data := box.accept(listener).recv(4)):
            ended += 1
        assert data == b'next' and ended <= len(waiting) + 1


@pytest.mark.parametrize('what, reason, error', [
    ('nothing', 'connect-failed', 'No such file'),
    ('stale', 'connect-refused', None),
    ('file', 'connect-refused', None),
    ('closed', 'connect-failed', 'Permission denied'),
    ('datagram', 'connect-failed', 'wrong type')])
def test_no_server(box, place, what, reason, error):
    if what in ('stale', 'closed'):
        listener = box.listen(place.back)
        if what == 'stale':
            listener.close()
        else:
            os.chmod(place.back, 0)
            if os.geteuid() == 0 and not box.privileged:
                os.chown(place.back, 0, 0)
            elif os.geteuid() != 0:
                pytest.skip('the owner may always')
    elif what == 'file':
        with open(place.back, 'w', encoding='ascii'):
            os.chmod(place.back, 0o666)
    elif what == 'datagram':
        box.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)).bind(
            place.back)
        os.chmod(place.back, 0o666)
    daemon = box.start('-l', '127.0.0.1', '-p', 81, '-r',
                       f'unix:{place.back}')
    assert peers.cut_off()
    line = daemon.session(reason=reason, level='warning')
    assert line['remote'] == f'unix:{place.back}'
    assert error is None or error in line['error']


def test_remotes_in_order(box, place):
    """Unix sockets and others, freely mixed."""
    daemon = box.start(config=f'''listen 127.0.0.1 81 {{
        remote: 127.0.0.1 8081; remote: unix:{place.back};
        remote: 127.0.0.1 8080; }}''')

    def reached():
        with peers.connect() as client:
            return peers.read_all(client)

    box.server(peers.says(b'third'))
    assert reached() == b'third'
    box.server(peers.says(b'second'), place.back)
    assert reached() == b'second'
    box.server(peers.says(b'first'), port=8081)
    assert reached() == b'first'
    assert [daemon.session(count=n)['remote'] for n in (1, 2, 3)] == [
        '127.0.0.1:8080', f'unix:{place.back}', '127.0.0.1:8081']


def test_source_is_for_others(box, place):
    """`source' with a unix remote: a warning, and both can be reached."""
    box.server(peers.says(b'unix'), place.back)
    config = f'''listen 127.0.0.1 81 {{ source: 127.0.0.7;
        remote: 127.0.0.1 8080; remote: unix:{place.back}; }}'''
    daemon = box.start(config=config)
    daemon.wait("'source' has no effect on the unix socket", level='warning')
    with peers.connect() as client:
        assert peers.read_all(client) == b'unix'
    client, server = box.pair(box.listen())
    assert server.getpeername()[0] == '127.0.0.7'


def test_server_restarts(box, place):
    """With a new socket, which is found: nothing holds on to the old one."""
    box.start('-l', '127.0.0.1', '-p', 81, '-r', f'unix:{place.back}')
    for text in (b'one', b'two', b'three'):
        server = peers.Server(peers.says(text), place.back)
        with peers.connect() as client:
            assert peers.read_all(client) == text
        server.stop()
        place.clear()


@pytest.mark.root
def test_who_is_in_the_jail(box, place):
    """Only a dialer with unix remotes sees the file system; it opens none."""
    tcp = 'listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }'
    daemon = place.start(tcp)

    def roots():
        return {os.path.samefile(p.path('root'), box.jail)
                for p in daemon.processes('dialer')}

    assert roots() == {True}
    daemon.reload(f'{tcp} listen 127.0.0.1 82 {{ remote: unix:/x; }}')
    daemon.wait_gone(1)
    assert roots() == {False}
    for process in daemon.processes('dialer'):
        assert process.status('Uid') == 4 * [str(NOBODY.pw_uid)]
        assert process.status('Groups') == []
        assert process.status('NoNewPrivs') == ['1']
        assert process.status('Seccomp_filters') == ['2']
        for kind in ('CapEff', 'CapPrm', 'CapBnd', 'CapInh', 'CapAmb'):
            assert int(process.status(kind)[0], 16) == 0
    for process in daemon.processes('relay'):
        assert os.path.samefile(process.path('root'), box.jail)
    daemon.reload(f'{tcp} listen unix:front {{ remote: 127.0.0.1 1; }}')
    daemon.wait_gone(2)
    assert roots() == {True}


# --- who the client is ---

def client_as(user, path):
    """A client of another user, that waits for the end of its input."""
    return subprocess.Popen(
        [*user, sys.executable, '-c',
         'import socket, sys; s = socket.socket(socket.AF_UNIX); '
         's.connect(sys.argv[1]); s.sendall(b"x"); sys.stdin.read()', path],
        stdin=subprocess.PIPE)


def test_credentials(box, place):
    """In the session's line and in the report, as numbers."""
    box.server(peers.echo)
    daemon = place.start(None, *COMMAND_LINE)
    client = box.connect(place.front)
    assert peers.ask(client)
    daemon.kill(signal.SIGUSR2)
    line = daemon.wait('^active session$')
    mine = {'client': 'unix', 'listener': f'unix:{place.front}',
            'pid': os.getpid(), 'uid': os.getuid(), 'gid': os.getgid()}
    if os.geteuid() == 0:       # else seen from another namespace
        assert mine.items() <= line.items()
    client.close()
    line = daemon.session()
    if os.geteuid() == 0:
        assert mine.items() <= line.items()
    assert line['pid'] == os.getpid()


@pytest.mark.superuser
def test_credentials_of_others(box, place):
    """Of who has connected, even if it has gone since."""
    box.server(peers.echo)
    daemon = place.start(
        'listen unix:front { remote: 127.0.0.1 8080; socket-mode: 0666; }',
        '--log-format', 'text', log=f'file:4,{place.directory("log", 0o777)}'
        '/text', ready=False)
    path = box.tmp / 'log' / 'text'
    until(lambda: path.exists() and 'is running' in path.read_text(), 'start')
    popen = client_as(['setpriv', '--reuid', '12345', '--regid', '54321',
                       '--clear-groups'], place.front)
    popen.communicate()
    line = until(lambda: re.search(r'session client=unix .*',
                                   path.read_text()), 'the line')[0]
    assert line.startswith(
        f'session client=unix pid={popen.pid} uid=12345 gid=54321 '
        f'listener=unix:{place.front} remote=127.0.0.1:8080 to_server=1 ')
    daemon.lines.append({'msg': 'the log is elsewhere', 'time': 0})


def test_listener_report(box, place):
    daemon = place.start(
        f'listen unix:front {{ remote: unix:{place.back}; name: x; }}',
        workers=1)
    assert daemon.wait('^listening on: ')['msg'] == (
        f'listening on: unix:{place.front} (remote: unix:{place.back})')
    daemon.kill(signal.SIGUSR1)
    line = daemon.wait('^listener$')
    assert line['address'] == f'unix:{place.front}'
    assert line['remote'] == f'unix:{place.back}'
    assert line['state'] == 'accepting'


# --- the sockets as files ---

def test_default_mode(box, place):
    """For the owner only."""
    place.start(None, *COMMAND_LINE)
    assert mode_of(place.front) == 0o600
    uid = 0 if box.privileged else NOBODY.pw_uid if os.geteuid() == 0 else \
        os.getuid()
    assert os.stat(place.front).st_uid == uid
    assert os.listdir(place.dir) == ['front']


@pytest.mark.root
@pytest.mark.parametrize('owner, uid, gid', [
    ('1234:5678', 1234, 5678), ('1234', 1234, 0), (':5678', 0, 5678),
    ('daemon:adm', pwd.getpwnam('daemon').pw_uid,
     grp.getgrnam('adm').gr_gid), ('nobody', NOBODY.pw_uid, 0), ('*', 0, 0)])
def test_owner(box, place, owner, uid, gid):
    place.start(f'listen unix:front {{ remote: 127.0.0.1 8080; '
                f'socket-mode: 0620; socket-owner: {owner}; }}')
    info = os.stat(place.front)
    assert (info.st_uid, info.st_gid) == (uid, gid)
    assert mode_of(place.front) == 0o620


@pytest.mark.root
def test_who_may_connect(box, place):
    """As mode and owner say."""
    box.server(peers.echo)
    place.start('listen unix:front { remote: 127.0.0.1 8080; '
                'socket-mode: 0660; socket-owner: :5678; }')

    def status(group):
        popen = client_as(['setpriv', '--reuid', '1234', '--regid', group,
                           '--clear-groups'], place.front)
        popen.stderr = None
        popen.communicate()
        return popen.returncode

    assert status('5678') == 0
    assert status('5679') != 0


def stanza(name='front', *statements):
    return (f'listen unix:{name} {{ remote: 127.0.0.1 8080; ' +
            ''.join(f'{s}; ' for s in statements) + '}\n')


def test_reload_keeps_the_socket(box, place):
    """The same file and the same sessions; a new mode is a new mode."""
    box.server(peers.echo)
    daemon = place.start(stanza())
    before = inode(place.front)
    client = box.connect(place.front)
    assert peers.ask(client)
    for mode in (0o666, 0o622, 0o600):
        daemon.reload(stanza('front', f'socket-mode: {mode:o}') +
                      stanza('other'))
        assert inode(place.front) == before
        assert mode_of(place.front) == mode
        assert peers.ask(client)
        assert box.served(place.front)
        assert box.served(str(place.dir / 'other'))
    # the old generation goes with its session
    daemon.reload(stanza())
    assert os.listdir(place.dir) == ['front']
    assert peers.ask(client) and box.served(place.front)
    client.close()
    daemon.wait_gone(1)
    assert inode(place.front) == before and box.served(place.front)


@pytest.mark.root
def test_reload_changes_the_owner(box, place):
    daemon = place.start(stanza('front', 'socket-owner: 1234:1',
                                'socket-mode: 0600'))
    before = inode(place.front)
    daemon.reload(stanza('front', 'socket-owner: 4321:2',
                         'socket-mode: 0640'))
    info = os.stat(place.front)
    assert (info.st_uid, info.st_gid) == (4321, 2)
    assert (mode_of(place.front), info.st_ino) == (0o640, before)


def test_reload_loses_no_client(box, place):
    """Clients keep coming, one after the other, while it reloads."""
    box.server(peers.echo)
    daemon = place.start(stanza())
    stop, failures, count = threading.Event(), [], [0]

    def run():
        while not stop.is_set():
            try:
                assert box.served(place.front)
                count[0] += 1
            except (OSError, AssertionError) as error:
                failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        daemon.reload()
    stop.set()
    for thread in threads:
        thread.join(LIMIT)
    assert not failures and count[0] > 50


def test_refused_reload_changes_nothing(box, place):
    box.server(peers.echo)
    daemon = place.start(stanza())
    daemon.deaths_expected = True
    before = inode(place.front)
    daemon.reload_refused(stanza('front', 'socket-mode: 8'), 'socket-mode')
    box.keep(peers.listen(port=9999))
    daemon.reload_refused(
        stanza('front', 'socket-mode: 0666') + stanza('new') +
        'listen 127.0.0.1 9999 { remote: ::1 1; }', 'in use')
    until(lambda: os.listdir(place.dir) == ['front'], 'the new one has gone')
    assert inode(place.front) == before and mode_of(place.front) == 0o600
    assert box.served(place.front)


@pytest.mark.parametrize('sig', [signal.SIGTERM, signal.SIGINT,
                                 signal.SIGQUIT])
def test_removed_at_the_end(place, sig):
    daemon = place.start(stanza() + stanza('other'))
    assert sorted(os.listdir(place.dir)) == ['front', 'other']
    assert daemon.stop(sig) == 0
    assert os.listdir(place.dir) == []


def test_stale_socket(box, place):
    """What a daemon left that was killed is replaced."""
    box.server(peers.echo)
    first = place.start(stanza('front', 'socket-mode: 0600'))
    first.deaths_expected = True
    first.kill(signal.SIGKILL)
    first.wait_exit()
    until(lambda: not box.orphans(), 'its children have gone')
    before = os.stat(place.front)
    place.start(stanza())
    assert box.served(place.front)
    after = os.stat(place.front)
    assert (before.st_ino, before.st_ctime_ns) != (after.st_ino,
                                                   after.st_ctime_ns)


@pytest.mark.root
def test_stale_socket_of_another_owner(box, place):
    """Root without DAC_OVERRIDE may not connect to it as it is."""
    with peers.listen(place.front):
        os.chown(place.front, 1234, 5678)
        os.chmod(place.front, 0o600)
    box.server(peers.echo)
    place.start(stanza())
    assert box.served(place.front)


def fails(place, config, message):
    """It doesn't start, and says why."""
    daemon = place.start(config, ready=False)
    daemon.deaths_expected = True
    assert daemon.wait_exit() == 1
    line = daemon.wait(message, level='error')
    assert f'cannot listen on unix:{place.front}: ' in line['msg']


@pytest.mark.parametrize('owner', [None, 1234])
def test_somebody_elses_socket(box, place, owner):
    """One that is in use stays as it is."""
    if owner is not None and not box.privileged:
        pytest.skip('needs another user')
    listener = box.listen(place.front)
    if owner is not None:
        os.chown(place.front, owner, owner)
        os.chmod(place.front, 0o600)
    before = os.stat(place.front)
    # only root can make sure of a socket that is another user's
    fails(place, stanza(), 'in use' if box.privileged or os.geteuid() != 0
          else 'Operation not permitted')
    after = os.stat(place.front)
    assert (before.st_ino, before.st_uid, before.st_gid, before.st_mode) == (
        after.st_ino, after.st_uid, after.st_gid, after.st_mode)
    client = box.connect(place.front)
    until(lambda: box.accept(listener), 'it is still served')
    client.close()


def test_second_instance(box, place):
    box.server(peers.echo)
    place.start(stanza())
    before = inode(place.front)
    fails(place, stanza(), 'in use')
    assert inode(place.front) == before and box.served(place.front)


@pytest.mark.parametrize('kind', ['file', 'directory', 'link', 'dangling'])
def test_no_socket_in_the_way(box, place, kind):
    """What is no socket is left alone."""
    target = box.tmp / 'target'
    if kind == 'directory':
        os.mkdir(place.front)
    elif kind == 'file':
        (place.dir / 'front').write_text('precious')
    else:
        if kind == 'link':
            target.write_text('precious')
        os.symlink(target, place.front)
    before = os.lstat(place.front)
    fails(place, stanza(), 'File exists')
    after = os.lstat(place.front)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert kind != 'link' or target.read_text() == 'precious'
    assert kind != 'dangling' or not target.exists()


def test_on_error_skip(box, place):
    (place.dir / 'front').write_text('')
    box.server(peers.echo)
    daemon = place.start(stanza('front', 'on-error: skip') + stanza('other'))
    daemon.wait(r'cannot listen on unix:.*/front: .* \(skipped\)',
                level='warning')
    assert box.served(str(place.dir / 'other'))


def test_many_directories(box, place):
    """Each name in its own; a name alone is in the first."""
    dirs = [place.directory(f'dir{n}') for n in range(3)]
    box.server(peers.echo)
    box.start(*[word for path in (place.dir, *dirs)
                for word in ('--socket-dir', f'{path}/')],
              config=stanza() + ''.join(stanza(f'{path}/front')
                                        for path in dirs))
    for path in (place.dir, *dirs):
        assert box.served(str(path / 'front'))


def test_many_sockets(box, place):
    """Each of them has the name that it was given."""
    box.server(peers.echo)
    names = [f's{n}' for n in range(200)] + ['x' * 31]
    daemon = place.start(''.join(map(stanza, names)))
    assert sorted(os.listdir(place.dir)) == sorted(names)
    for name in (names[0], names[150], names[-1]):
        with peers.connect(str(place.dir / name)) as client:
            assert peers.ask(client)
        daemon.session(listener=f'unix:{place.dir}/{name}')


def test_limit_of_sessions(box, place):
    """At its limit, clients wait in the queue."""
    box.server(peers.echo)
    daemon = place.start(stanza('front', 'max-connections: 2'), workers=1)
    clients = [box.connect(place.front) for _ in range(4)]
    assert peers.ask(clients[0]) and peers.ask(clients[1])
    line = daemon.wait('clients of .* wait')
    assert f'clients of unix:{place.front} wait' in line['msg']
    clients[0].close()
    clients[1].close()
    assert peers.ask(clients[2]) and peers.ask(clients[3])


# --- what is refused ---

@pytest.mark.parametrize('name', [
    '', '.', '..', '.sallyport.new', 'a/b', '../a', 'x' * 32, '/etc/front',
    '/run/../etc/x'])
def test_bad_names(box, place, name):
    status, text = box.check(stanza(name), *place.options)
    assert status == 1
    assert f"1:8: 'unix:{name}' " in text


def test_check_needs_the_directory(box, place):
    """The daemon would refuse it, and so does --check."""
    status, text = box.check(stanza())
    assert status == 1 and 'expected the option --socket-dir' in text
    assert box.check(stanza(), *place.options) == (0, '')
    assert os.listdir(place.dir) == []
    path = stanza(f'{place.dir}/front')
    assert box.check(path, *place.options) == (0, '')
    status, text = box.check(path, '--socket-dir', box.tmp / 'back')
    assert status == 1 and 'is in no --socket-dir' in text


def test_print_config(box, place):
    """What is printed reads as the same."""
    done = box.run('--print-config', *place.options, '-c', box.write(
        f'''listen unix:front {{ remote: "unix:{place.back} {{x}}";
        remote: ::1 80; socket-mode: 640; socket-owner: root:0; }}'''))
    assert done.returncode == 0 and done.stderr == ''
    assert f'listen unix:{place.front}\n' in done.stdout
    assert '\tsocket-mode: 0640;\n\tsocket-owner: 0:0;\n' in done.stdout
    assert f'\tremote: "unix:{place.back} {{x}}";\n' in done.stdout
    again = box.run('--print-config', *place.options, '-c',
                    box.write(done.stdout))
    assert again.stdout == done.stdout and again.stderr == ''


@pytest.mark.parametrize('kind, why', [
    ('missing', 'No such file'), ('link', 'expected a path without links'),
    ('file', 'expected a directory'), ('world', 'not writable'),
    ('group', 'not writable'), ('sticky', 'not writable'),
    ('other', 'expected a directory'), ('long', 'at most 64 bytes'),
    ('many', 'at most 4'), ('above', 'others can write to')])
def test_bad_directories(box, place, kind, why):
    path = box.tmp / 'bad'
    modes = {'world': 0o757, 'group': 0o775, 'sticky': 0o1777}
    args = []
    if kind in modes:
        place.directory('bad', modes[kind])
    elif kind == 'other':
        place.directory('bad')
        if os.geteuid() != 0:
            path = '/'
        else:
            os.chown(path, 1234, 1234)
    elif kind == 'link':
        path.symlink_to(place.dir)
    elif kind == 'file':
        path.write_text('')
    elif kind == 'above':
        place.directory('bad')
        path = place.directory('bad/below')
        path.parent.chmod(0o757)
    elif kind == 'long':
        path = '/tmp/' + 'x' * 60
    elif kind == 'many':
        path, args = place.dir, 4 * ['--socket-dir', place.dir]
    done = box.run(*args, '--socket-dir', path, '-c', box.write(stanza()))
    assert done.returncode in (1, 2)
    assert '--socket-dir' in done.stderr and why in done.stderr
    assert os.listdir(place.dir) == []


# --- the command line ---

def test_command_line(box, place):
    """-l unix:NAME takes the place of -p, -r unix:/PATH that of -o."""
    box.server(peers.echo, place.back)
    daemon = place.start(None, '-l', 'unix:front', '-r', f'unix:{place.back}')
    assert box.served(place.front)
    assert daemon.reload() == 2
    assert box.served(place.front)


@pytest.mark.parametrize('words, message', [
    (['-l', 'unix:a', '-p', '80', '-r', 'unix:/a'],
     'option -p/--local-port: a unix socket has no port'),
    (['-l', 'unix:a', '-r', 'unix:/a', '-o', '80'],
     'option -o/--remote-port: a unix socket has no port'),
    (['-l', 'unix:a', '-r', 'x'], 'option -o/--remote-port: missing'),
    (['-l', 'unix:a'], 'option -r/--remote-addr: missing'),
    (['-l', 'unix:../a', '-r', 'unix:/a'],
     "option -l/--local-addr: 'unix:../a' names no socket")])
def test_command_line_errors(box, place, words, message):
    done = box.run('--check', *place.options, *words)
    assert done.returncode == 1 and message in done.stderr


def test_command_line_of_tcpproxy(box, place):
    """Without -p, and no unix socket, it is the file that counts."""
    box.write(stanza())
    done = box.run('--check', *place.options, '-c', box.conf, '-l', '::1')
    assert done.returncode == 0
    assert 'option -l is ignored without -p' in done.stderr
    done = box.run('--check', *place.options, '-c', box.conf, '-l', 'unix:a',
                   '-l', '::1')
    assert 'option -l is ignored without -p' in done.stderr
    done = box.run('--check', *place.options, '-c', box.conf, '-l', 'unix:a',
                   '-r', 'unix:/a')
    assert done.returncode == 0 and 'will ignore config file' in done.stderr


# --- without root ---

def test_without_root(box, place):
    """In a directory of one's own; the owner stays who one is."""
    path = place.dir
    if os.geteuid() == 0:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    box.server(peers.echo, place.back)
    daemon = place.start(None, '-l', 'unix:front', '-r',
                         f'unix:{place.back}', root=False)
    before = inode(place.front)
    assert mode_of(place.front) == 0o600
    assert box.served(place.front)
    assert daemon.reload() == 2
    assert inode(place.front) == before and box.served(place.front)
    assert daemon.stop() == 0
    assert os.listdir(path) == []


def test_without_root_no_other_owner(box, place):
    if os.geteuid() == 0:
        os.chown(place.dir, NOBODY.pw_uid, NOBODY.pw_gid)
    daemon = place.start(stanza('front', 'socket-owner: 1234'), root=False,
                         ready=False)
    daemon.deaths_expected = True
    assert daemon.wait_exit() == 1
    daemon.wait('cannot listen on unix:.*: Operation not permitted')
    assert os.listdir(place.dir) == []


# --- real programs ---

def run(*words, **more):
    return subprocess.run([*map(str, words)], check=True, timeout=LIMIT,
                          stdout=subprocess.PIPE, **more).stdout


@pytest.fixture
def own(box):
    """A directory for servers that don't run as root."""
    path = box.tmp / 'own'
    path.mkdir()
    path.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    return path


def await_socket(path):
    def answers():
        try:
            peers.connect(str(path)).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True
    until(answers, path)


def test_nginx_and_curl(box, place, own):
    """curl --unix-socket to nginx that listens on a unix socket."""
    data = peers.noise(8 << 20)
    (own / 'file').write_bytes(data)
    (own / 'file').chmod(0o644)
    conf = box.tmp / 'nginx.conf'
    conf.write_text(f'''
        daemon off; master_process off; pid {own}/pid;
        error_log {own}/error.log;
        events {{ }}
        http {{
            access_log off; root {own};
            client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
            fastcgi_temp_path {own}/fast; uwsgi_temp_path {own}/uwsgi;
            scgi_temp_path {own}/scgi;
            server {{ listen unix:{own}/nginx; }}
        }}''')
    box.program('nginx', '-c', conf, '-e', own / 'error.log', user=True)
    await_socket(own / 'nginx')
    place.start(f'listen unix:front {{ remote: unix:{own}/nginx; }}\n'
                f'listen 127.0.0.1 80 {{ remote: unix:{own}/nginx; }}')
    curl = ('curl', '-sS', '--unix-socket', place.front)
    assert run(*curl, 'http://localhost/file') == data
    assert run('curl', '-sS', 'http://127.0.0.1/file') == data
    out = run(*curl, '-o', '/dev/null', '-w', '%{http_code} ', '-r', '0-99',
              'http://localhost/file?[1-50]')
    assert out == b'206 ' * 50


def test_nginx_in_front(box, place, own):
    """nginx hands on to sallyport, as its user; the socket is its group's."""
    group = 'nogroup' if os.geteuid() == 0 else str(os.getgid())
    statement = f'socket-mode: 0660; socket-owner: :{group};' \
        if box.privileged else ''
    place.start(f'listen unix:front {{ remote: 127.0.0.1 8080; {statement} }}')
    box.server(peers.says(b'HTTP/1.0 200 OK\r\n\r\nhello'))
    conf = box.tmp / 'nginx.conf'
    conf.write_text(f'''
        daemon off; master_process off; pid {own}/pid;
        error_log {own}/error.log;
        events {{ }}
        http {{
            access_log off;
            client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
            fastcgi_temp_path {own}/fast; uwsgi_temp_path {own}/uwsgi;
            scgi_temp_path {own}/scgi;
            server {{ listen 127.0.0.1:8088;
                      location / {{ proxy_pass http://unix:{place.front}; }} }}
        }}''')
    box.program('nginx', '-c', conf, '-e', own / 'error.log', user=True)
    box.await_port(8088)
    assert run('curl', '-sS', 'http://127.0.0.1:8088/') == b'hello'


def test_redis(box, place, own):
    box.program('redis-server', '--port', 0, '--unixsocket', own / 'redis',
                '--unixsocketperm', 777, '--save', '', '--appendonly', 'no',
                '--dir', own, user=True, cwd='/')
    await_socket(own / 'redis')
    place.start(f'listen unix:front {{ remote: unix:{own}/redis; }}')
    cli = ('redis-cli', '-s', place.front)
    assert run(*cli, 'set', 'key', 'value') == b'OK\n'
    big = peers.noise(1 << 20).hex()
    assert run(*cli, '-x', 'set', 'big', input=big.encode()) == b'OK\n'
    assert run(*cli, 'get', 'big') == big.encode() + b'\n'
    pipe = b''.join(b'INCR n\r\n' for _ in range(20000))
    assert b'errors: 0, replies: 20000' in run(*cli, '--pipe', input=pipe)


def test_postgres(box, place, own):
    """psql finds its socket by the directory and a name of its own."""
    programs = sorted(glob.glob('/usr/lib/postgresql/*/bin'))[-1]
    prefix = box.prefix(root=False)
    quick = ('-N', '-A', 'trust', '-U', 'me', '--locale=C', '-E', 'UTF8')
    run(*prefix, f'{programs}/initdb', '-D', own / 'data', *quick, cwd='/')
    box.program(f'{programs}/postgres', '-D', own / 'data', '-k', own, '-F',
                '-c', 'listen_addresses=', '-p', 5432, user=True, cwd='/')
    await_socket(own / '.s.PGSQL.5432')
    place.start(f'listen unix:.s.PGSQL.5432 {{ remote: '
                f'unix:{own}/.s.PGSQL.5432; socket-mode: 0666; }}\n'
                f'listen 127.0.0.1 543 {{ remote: '
                f'unix:{own}/.s.PGSQL.5432; }}')
    for host, port in ((place.dir, 5432), ('127.0.0.1', 543)):
        sql = ('psql', '-X', '-A', '-t', '-h', host, '-p', port, '-U', 'me',
               '-d', 'postgres', '-v', 'ON_ERROR_STOP=1')
        assert run(*sql, '-c', 'select 6 * 7') == b'42\n'
        out = run(*sql, '-c', "select repeat('x', 1000) "
                  'from generate_series(1, 3000)')
        assert out == (b'x' * 1000 + b'\n') * 3000


def test_nc(box, place):
    """Upload, download, question and answer."""
    data = peers.noise(4 << 20)

    def handler(sock):
        sock.sendall(peers.digest(peers.read_all(sock)).encode())

    box.server(handler, place.back)
    place.start(None, '-l', 'unix:front', '-r', f'unix:{place.back}')
    assert run('nc', '-N', '-U', place.front, input=data) == \
        peers.digest(data).encode()
    box.server(peers.says(data))
    place.start(None, '-l', 'unix:down', '-r', '127.0.0.1', '-o', 8080)
    assert run('nc', '-d', '-U', place.dir / 'down') == data
