"""Limits of descriptors, of sessions, of time."""
import re
import resource
import select
import signal
import socket
import subprocess
import time

import pytest

from lib import peers
from lib.wait import LIMIT, until

HIGH = ('-l', '127.0.0.1', '-p', 1081, '-r', '127.0.0.1', '-o', 8080)


def nofile(number):
    """For preexec: a limit that an ordinary user can't raise again."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                      (number, number))


# --- descriptors ---

@pytest.mark.parametrize('limit', [20, 64, 511])
def test_too_few_descriptors(box, limit):
    """Not even for the parent: a clear error, whatever the limit."""
    done = box.run(*HIGH, '-L', 'stderr:5', root=False,
                   preexec_fn=nofile(limit))
    assert done.returncode == 1
    assert f'RLIMIT_NOFILE) is {limit}, expected at least' in done.stderr


@pytest.mark.parametrize('workers, number, fits', [
    (1, 100000, False), (4, 100000, False), (1, 240, True), (4, 900, True)])
def test_budget(box, workers, number, fits):
    """What can't fit is said at start, with numbers."""
    daemon = box.start(*HIGH, '--max-connections', number, workers=workers,
                       root=False, ready=False, preexec=nofile(512))
    if fits:
        daemon.running()
        return
    daemon.deaths_expected = True
    assert daemon.wait_exit() == 1
    assert daemon.find(
        rf'--max-connections {number} needs \d+ descriptors per relay, the '
        r'limit \(RLIMIT_NOFILE\) is 512', level='error'), daemon.text()


def test_as_many_as_fit(box):
    """Without --max-connections it is what the limit allows, and said."""
    daemon = box.start(*HIGH, workers=1, root=False, preexec=nofile(512))
    line = daemon.wait('at most .* sessions per relay: .* the limit')
    number = int(re.search(r'\d+', line['msg'])[0])
    assert 200 < number < 256
    box.server(peers.echo)
    clients = [box.connect(port=1081) for _ in range(number + 10)]
    assert all(map(peers.ask, clients[:number]))
    daemon.wait('clients of .* wait|limit of .* sessions')
    for client in clients[:number]:
        client.close()
    assert all(map(peers.ask, clients[number:]))


def busy(process, seconds=1.0):
    """CPU time that it takes in this time."""
    before = process.cpu()
    time.sleep(seconds)         # that nothing happens can't be awaited
    return process.cpu() - before


def set_nofile(box, process, limit):
    """The limit of a process that runs already, as its own user may."""
    subprocess.run([*box.prefix(root=False), 'prlimit', '--pid',
                    str(process.pid), f'--nofile={limit}:'], check=True)


def test_no_descriptor_left(box):
    """Accepting pauses, without spinning, and goes on when it can."""
    daemon = box.start(*HIGH, workers=1, root=False)
    box.server(peers.echo)
    relay, = daemon.processes('relay')
    first = box.connect(port=1081)
    assert peers.ask(first)
    set_nofile(box, relay, 16)
    clients = [box.keep(socket.socket()) for _ in range(40)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex(('127.0.0.1', 1081))
    daemon.wait('descriptor|be accepted now|wait', level='warning')
    assert busy(relay) < 0.3
    assert peers.ask(first)             # who is there is served
    told = daemon.find('descriptor|be accepted now|wait', level='warning')
    assert len(told) <= 5, told
    # some were accepted before that was known, and their servers lost
    lost = [client for client in clients if is_cut(client)]
    assert len(lost) < 20
    if lost:
        daemon.session(reason='limit', count=len(lost))
    waiting = [client for client in clients if client not in lost]
    served = [client for client in waiting if quick(client)]
    rest = [client for client in waiting if client not in served]
    assert rest, 'the limit was none'
    for client in [first, *served]:     # these make room
        client.close()
    until(lambda: any(map(quick, rest)), 'the next one is served')
    assert daemon.reload() == 2         # with limits as before
    assert all(map(answered, rest))
    assert box.served(port=1081)


def is_cut(client):
    return bool(select.select([client], [], [], 0)[0])


def quick(client):
    """Is it served now?  Who isn't will be asked again."""
    client.settimeout(0.05)
    try:
        return peers.ask(client)
    except TimeoutError:
        return False


def answered(client):
    client.settimeout(LIMIT)
    return peers.ask(client)


# --- sessions ---

def test_max_connections(box):
    """Further clients wait; nobody is turned away; nothing spins."""
    daemon = box.forward('--max-connections', 3, workers=1)
    box.server(peers.echo)
    clients = [box.connect() for _ in range(3)]
    assert all(map(peers.ask, clients))
    late = [box.connect() for _ in range(5)]
    daemon.wait('clients of 127.0.0.1:81 wait|limit of 3 sessions',
                level='warning')
    relay, = daemon.processes('relay')
    assert busy(relay) < 0.3
    for client in clients + late[:-3]:
        client.close()
    for client in late[-3:]:
        assert peers.ask(client)


def test_max_connections_of_a_stanza(box):
    """It does not concern the others."""
    daemon = box.start(config='''
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; max-connections: 2; }
        listen 127.0.0.1 82 { remote: 127.0.0.1 8080; }''', workers=1)
    box.server(peers.echo)
    clients = [box.connect() for _ in range(2)]
    assert all(map(peers.ask, clients))
    late = box.connect()
    daemon.wait('127.0.0.1:81 wait: it has its limit of 2 sessions')
    others = [box.connect(port=82) for _ in range(20)]
    assert all(map(peers.ask, others))
    clients[0].close()
    assert peers.ask(late)


def test_max_connections_is_divided(box):
    """Among the workers; all together can have no more."""
    daemon = box.forward('--max-connections', 4, workers=2)
    box.server(peers.echo)
    clients = [box.connect() for _ in range(30)]
    daemon.wait('wait: .* has its limit of 2 sessions')
    while clients:
        served = [client for client in clients if quick(client)]
        assert len(served) <= 4
        for client in served:
            clients.remove(client)
            client.close()


def test_slots_are_used_again(box):
    daemon = box.forward('--max-connections', 2, workers=1)
    box.server(peers.echo)
    for _ in range(300):
        assert box.served()
    daemon.session(count=300)


# --- time ---

def test_idle_timeout(box):
    daemon = box.start(config='''timeout: 200ms;
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }''')
    client, server = box.pair(box.listen())
    client.sendall(b'x')
    assert peers.read_all(server) == b'x'       # an orderly end
    assert peers.read_all(client) == b''
    line = daemon.session()
    assert line['reason'] == 'idle' and line['duration_ms'] >= 200


@pytest.mark.parametrize('way', ['up', 'down'])
def test_traffic_keeps_it_alive(box, way):
    """Bytes in one direction are enough."""
    daemon = box.start(config='''timeout: 2s;
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }''')
    client, server = box.pair(box.listen())
    one, other = (client, server) if way == 'up' else (server, client)
    for _ in range(12):
        one.sendall(b'x')
        assert peers.read_some(other, 1) == b'x'
        time.sleep(0.25)        # a clock is what is tested
    assert not daemon.find('^session$')


def test_half_close_timeout(box):
    daemon = box.start(config='''half-close-timeout: 200ms;
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }''')
    client, server = box.pair(box.listen())
    client.sendall(b'x')
    client.shutdown(socket.SHUT_WR)
    assert peers.read_all(server) == b'x'
    assert peers.read_all(client) == b''
    line = daemon.session()
    assert line['reason'] == 'half-close-timeout'
    assert line['duration_ms'] >= 200


def test_no_timeout_before_half_close(box):
    daemon = box.start(config='''half-close-timeout: 100ms;
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }
        listen 127.0.0.1 82 { remote: 127.0.0.1 8080; timeout: 500ms; }''')
    listener = box.listen()
    client, server = box.pair(listener)
    box.pair(listener, port=82)
    daemon.session(reason='idle')       # half a second has passed
    client.sendall(b'x')
    assert peers.read_some(server, 1) == b'x'


def test_cut_streams_are_reset(box):
    """Bytes that could not be delivered: no orderly end for that."""
    daemon = box.start(config='''timeout: 300ms;
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }''')
    client, server = box.pair(box.listen(), rcvbuf=4096)
    server.setblocking(False)
    block = bytes(65536)
    end = time.monotonic() + LIMIT
    try:
        while time.monotonic() < end:
            try:
                server.send(block)
            except BlockingIOError:
                if daemon.find('^session$'):
                    break
                time.sleep(0.01)
    except ConnectionError:
        pass
    assert daemon.session()['reason'] == 'idle'
    assert peers.is_reset(client)


def test_many_timers(box):
    """Many sessions end by their time-outs, all of them."""
    daemon = box.start(config='''timeout: 700ms;
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }''', workers=1)
    box.server(peers.echo)
    clients = [box.connect() for _ in range(500)]
    for client in clients:
        assert peers.read_all(client) == b''
    daemon.kill(signal.SIGUSR1)
    line = daemon.wait('^listener$')
    assert line['accepted'] == 500 and line['sessions'] == 0
