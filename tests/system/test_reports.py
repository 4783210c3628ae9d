"""Reports: what SIGUSR1 and SIGUSR2 have written to the log."""
import collections
import contextlib
import fcntl
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

import pytest

from lib import peers
from lib.wait import LIMIT, until

CROWD = pathlib.Path(__file__).with_name('lib') / 'crowd.py'
CONF = 'listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }'
WHO = ('gen', 'worker')


def report(daemon, sig, relays=2, reports=1):
    """All lines of one report, when every relay has written its last one."""
    what, end = {signal.SIGUSR1: ('^listener$', '^listeners reported$'),
                 signal.SIGUSR2: ('^active session$',
                                  '^sessions reported$')}[sig]
    since = daemon.mark()
    daemon.kill(sig)
    daemon.wait(end, since, relays * reports)
    return daemon.find(what, since), daemon.find(end, since)


def listeners(daemon, **more):
    return report(daemon, signal.SIGUSR1, **more)[0]


def sessions(daemon, **more):
    return report(daemon, signal.SIGUSR2, **more)[0]


def name(sock):
    host, port = sock.getsockname()[:2]
    return f'{host}:{port}'


def total(lines, key):
    return sum(line[key] for line in lines)


# --- listeners ---

def test_listeners(box):
    """Every listener of every worker, with all that belongs to it."""
    box.server(peers.echo)
    daemon = box.start(config='''
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; name: one; }
        listen 127.0.0.1 82 { remote: 127.0.0.1 8080;
                              remote: 127.0.0.2 8081;
                              source: 127.0.0.1; max-connections: 7; }''')
    clients = [box.connect(port=port) for port in (81, 82, 82)]
    assert all(map(peers.ask, clients))
    assert box.served(port=82)
    daemon.session()
    lines, ends = report(daemon, signal.SIGUSR1)
    assert [end['count'] for end in ends] == [2, 2]
    assert all(line['level'] == 'notice' for line in lines + ends)
    assert {tuple(line[k] for k in WHO) for line in lines} == {(1, 1), (1, 2)}
    one = [line for line in lines if line['address'] == '127.0.0.1:81']
    two = [line for line in lines if line['address'] == '127.0.0.1:82']
    assert len(one) == len(two) == 2
    for line in one:
        assert line['name'] == 'one' and 'source' not in line
        assert line['remote'] == '127.0.0.1:8080'
        assert line['state'] == 'accepting' and line['limit'] == 5000
    for line in two:
        assert line['source'] == '127.0.0.1' and 'name' not in line
        assert line['remote'] == '127.0.0.1:8080, 127.0.0.2:8081'
        assert line['state'] == 'accepting'
    assert sorted(line['limit'] for line in two) == [3, 4]
    assert (total(one, 'accepted'), total(one, 'sessions')) == (1, 1)
    assert (total(two, 'accepted'), total(two, 'sessions')) == (3, 2)
    assert total(lines, 'refused') == total(lines, 'paused') == 0


def test_listeners_as_text(box):
    """In the other format; who wants only warnings is not bothered."""
    daemon = box.start('-L', f'file:3,{box.tmp}/text',
                       '-L', f'file:2,{box.tmp}/warnings',
                       '--log-format', 'text', '--max-connections', 9,
                       config=CONF, ready=False,
                       log='stderr:2', workers=1)
    text = box.tmp / 'text'
    until(lambda: text.exists() and 'generation 1 is running' in
          text.read_text(), 'start')
    daemon.kill(signal.SIGUSR1)
    until(lambda: 'listeners reported' in text.read_text(), 'report')
    assert re.search(
        r' notice relay\[1\.1\]: listener address=127\.0\.0\.1:81 '
        r'remote=127\.0\.0\.1:8080 state=accepting sessions=0 limit=9 '
        r'accepted=0 refused=0 paused=0\n', text.read_text())
    assert re.search(r' notice relay\[1\.1\]: listeners reported count=1\n',
                     text.read_text())
    assert not (box.tmp / 'warnings').read_text()


def test_refused(box):
    """A client whose server can't be reached counts as refused."""
    daemon = box.forward(workers=1)
    for n in range(3):
        assert peers.cut_off()
        daemon.session(reason='connect-refused', count=n + 1)
    box.server(peers.echo)
    assert box.served()
    daemon.session(reason='client-eof')
    line, = listeners(daemon, relays=1)
    assert (line['accepted'], line['refused'], line['sessions']) == (4, 3, 0)


def test_state_at_the_limit(box):
    """Of the stanza, and of all."""
    box.server(peers.echo)
    daemon = box.start('--max-connections', 3, workers=1, config='''
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; max-connections: 2; }
        listen 127.0.0.1 82 { remote: 127.0.0.1 8080; }''')

    def states():
        return {line['address'][-2:]: (line['state'], line['paused'])
                for line in listeners(daemon, relays=1)}

    assert states() == {'81': ('accepting', 0), '82': ('accepting', 0)}
    clients = [box.connect() for _ in range(2)]
    assert all(map(peers.ask, clients))
    box.connect()
    daemon.wait('127.0.0.1:81 wait')
    assert states() == {'81': ('paused-limit', 1), '82': ('accepting', 0)}
    last = box.connect(port=82)
    assert peers.ask(last)
    assert states() == {'81': ('paused-limit', 1),
                        '82': ('paused-relay-limit', 0)}
    last.close()
    daemon.session()
    assert states()['82'] == ('accepting', 0)


def test_state_without_descriptors(box):
    daemon = box.start('-l', '127.0.0.1', '-p', 1081, '-r', '127.0.0.1',
                       '-o', 8080, workers=1, root=False)
    box.server(peers.echo)
    relay, = daemon.processes('relay')
    client = box.connect(port=1081)
    assert peers.ask(client)
    subprocess.run([*box.prefix(root=False), 'prlimit', '--pid',
                    str(relay.pid), '--nofile=12:'], check=True)
    for _ in range(5):
        sock = box.keep(socket.socket())
        sock.setblocking(False)
        sock.connect_ex(('127.0.0.1', 1081))
    daemon.wait('descriptor|be accepted now')
    # after a short pause it is known where the limit is
    line, = until(lambda: [line for line in listeners(daemon, relays=1)
                           if line['state'] != 'paused-shortage'], 'state')
    assert line['state'] == 'paused-descriptors' and line['paused'] >= 1
    assert peers.ask(client)


def test_draining_generations(box):
    """They are asked, too, and answer for what they still have."""
    daemon = box.start(config=CONF)
    box.server(peers.echo)
    client = box.connect()
    assert peers.ask(client)
    worker = sessions(daemon)[0]['worker']
    assert daemon.reload() == 2
    # the other old relay has nothing left and goes; until then it accepts
    until(lambda: [p.draining for p in daemon.processes('relay', 1)] ==
          [True], 'draining')
    later = box.connect()
    assert peers.ask(later)
    lines = listeners(daemon, relays=3)
    old, = (line for line in lines if line['gen'] == 1)
    assert old['state'] == 'draining' and old['worker'] == worker
    assert (old['accepted'], old['sessions']) == (1, 1)
    assert [line['state'] for line in lines if line['gen'] == 2] == \
        2 * ['accepting']
    found = {line['client']: line['gen']
             for line in sessions(daemon, relays=3)}
    assert found == {name(client): 1, name(later): 2}


# --- sessions ---

def test_session(box):
    """Each way its own bytes: to_server came from the client."""
    daemon = box.forward('--max-connections', 9, workers=1)
    client, server = box.pair(box.listen())
    client.sendall(b'x' * 1000)
    assert len(peers.read_some(server, 1000)) == 1000
    server.sendall(b'y' * 30)
    assert len(peers.read_some(client, 30)) == 30
    until(lambda: sessions(daemon, relays=1)[0]['idle_ms'] > 20, 'idleness')
    lines, (end,) = report(daemon, signal.SIGUSR2, relays=1)
    line, = lines
    assert line['level'] == 'notice'
    assert line['client'] == name(client)
    assert line['listener'] == '127.0.0.1:81'
    assert line['remote'] == '127.0.0.1:8080'
    assert (line['to_server'], line['to_client']) == (1000, 30)
    assert line['state'] == 'connected'
    assert 20 < line['idle_ms'] <= line['age_ms']
    assert (end['count'], end['ended'], end['limit']) == (1, 0, 9)
    client.sendall(b'x')
    assert peers.read_some(server, 1) == b'x'
    line, = sessions(daemon, relays=1)
    assert line['to_server'] == 1001


def test_server_that_took_it(box):
    """The address connected to, not the first one configured."""
    box.server(peers.echo, host='127.0.0.3')
    daemon = box.start(config='''listen 127.0.0.1 81 { name: web;
        remote: 127.0.0.2 8080; remote: 127.0.0.3 8080; }''')
    client = box.connect()
    assert peers.ask(client)
    line, = sessions(daemon)
    assert line['remote'] == '127.0.0.3:8080' and line['name'] == 'web'


def test_bytes_that_nobody_took(box):
    """What the server has not taken does not count as delivered."""
    daemon = box.start(workers=1, config='''buffer-size: 1000;
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }''')
    client, server = box.pair(box.listen(rcvbuf=4096))
    client.setblocking(False)
    sent = 0
    try:
        while True:
            select.select([], [client], [], 0.2)
            sent += client.send(bytes(65536))
    except BlockingIOError:
        pass
    line, = sessions(daemon, relays=1)
    assert 0 < line['to_server'] < sent and line['to_client'] == 0
    client.close()
    got = 0
    while part := server.recv(65536):
        got += len(part)
    assert got == sent
    server.close()
    assert daemon.session()['to_server'] == sent


@pytest.mark.parametrize('side', ['client', 'server'])
def test_half_closed(box, side):
    daemon = box.forward(workers=1)
    client, server = box.pair(box.listen())
    one, other = (client, server) if side == 'client' else (server, client)
    one.sendall(b'x')
    one.shutdown(socket.SHUT_WR)
    assert peers.read_all(other) == b'x'
    line, = sessions(daemon, relays=1)
    assert line['state'] == f'half-closed-by-{side}'


def unsent(sock):
    """What the other end's kernel has not yet taken.  (SIOCOUTQ)"""
    return struct.unpack('i', fcntl.ioctl(sock, termios.TIOCOUTQ,
                                          bytes(4)))[0]


def test_closing(box):
    """Both have ended; the last bytes are not yet delivered."""
    daemon = box.forward(workers=1)
    client, server = box.pair(box.listen(), rcvbuf=4096)
    client.shutdown(socket.SHUT_WR)
    assert peers.read_all(server) == b''
    sent, block = 0, bytes(32768)

    def state():
        line, = sessions(daemon, relays=1)
        return line

    def settled():
        """Delivered, or nothing moves any more."""
        line = state()
        return (line['to_client'] == sent or line['idle_ms'] > 200) and line

    # until the relay can't hand on the last of them
    while sent == 0 or until(settled, 'rest')['to_client'] == sent:
        server.sendall(block)
        sent += len(block)
        until(lambda: unsent(server) == 0, 'the relay has it')
    assert state()['state'] == 'half-closed-by-client'
    server.shutdown(socket.SHUT_WR)
    until(lambda: state()['state'] == 'closing', 'closing')
    line = state()
    assert line['to_client'] < sent and line['to_server'] == 0
    assert len(peers.read_all(client)) == sent


def test_connecting(box):
    """No server yet: what the configuration says."""
    box.net.ip('addr', 'add', '192.0.2.1/24', 'dev', 'lo')
    # a full queue: the next connection gets no answer
    with peers.listen('127.0.0.99', backlog=0):
        full = [box.keep(socket.socket()) for _ in range(3)]
        for sock in full:
            sock.setblocking(False)
            sock.connect_ex(('127.0.0.99', 8080))
        daemon = box.start(workers=1, config='''connect-timeout: 1h;
            listen 127.0.0.1 81 { remote: 127.0.0.99 8080; }''')
        client = box.connect()
        lines = until(lambda: sessions(daemon, relays=1), 'a session')
        line, = lines
        assert line['client'] == name(client)
        assert line['state'] == 'connecting'
        assert line['remote'] == '127.0.0.99:8080'
        assert line['to_server'] == line['to_client'] == 0


def test_no_sessions(box):
    """That is said, too."""
    daemon = box.forward()
    lines, ends = report(daemon, signal.SIGUSR2)
    assert not lines
    assert [end['count'] for end in ends] == [0, 0]


def test_slots_in_any_order(box):
    """Slots that were used and left, or used again."""
    daemon = box.forward(workers=1)
    box.server(peers.echo)
    clients = [box.connect() for _ in range(60)]
    assert all(map(peers.ask, clients))
    for client in clients[::2]:
        client.close()
    daemon.session(count=30)
    more = [box.connect() for _ in range(10)]
    assert all(map(peers.ask, more))
    assert {line['client'] for line in sessions(daemon, relays=1)} == \
        {name(client) for client in clients[1::2] + more}


# --- many ---

def test_again_meanwhile(box):
    """However often one asks during a report: it is finished, and one more
    follows."""
    daemon = box.forward(workers=1)
    box.server(peers.echo)
    clients = [box.connect() for _ in range(400)]
    assert all(map(peers.ask, clients))
    since = daemon.mark()
    daemon.kill(signal.SIGUSR2)
    daemon.wait('^active session$', since)
    for _ in range(5):
        daemon.kill(signal.SIGUSR2)
        daemon.kill(signal.SIGUSR1)
        assert peers.ask(clients[0])
    daemon.wait('^sessions reported$', since, 2)
    daemon.wait('^listeners reported$', since)
    lines = [line['client'] for line in
             daemon.find('^active session$', since)]
    want = {name(client) for client in clients}
    assert len(lines) == 800
    assert set(lines[:400]) == set(lines[400:]) == want
    assert not sessions_after(daemon)


def sessions_after(daemon):
    """Does any report follow another one that is asked for now?"""
    ends = len(daemon.find('^sessions reported$'))
    sessions(daemon, relays=1)
    sessions(daemon, relays=1)
    return len(daemon.find('^sessions reported$')) - ends - 2


def test_sessions_come_and_go_meanwhile(box):
    """The report is of those that were there at its start; its last line
    says how many have ended since."""
    daemon = box.forward(workers=1)
    box.server(peers.echo)
    clients = [box.connect() for _ in range(400)]
    assert all(map(peers.ask, clients))
    names = [name(client) for client in clients]
    since = daemon.mark()
    daemon.kill(signal.SIGUSR2)
    daemon.wait('^active session$', since)
    for client in clients[200:]:
        client.close()
    late = [box.connect() for _ in range(50)]
    assert all(map(peers.ask, late))
    end = daemon.wait('^sessions reported$', since)
    lines = [line['client'] for line in
             daemon.find('^active session$', since)]
    assert end['ended'] > 0
    assert end['count'] == len(lines) == 400 - end['ended']
    assert set(names[:200]) <= set(lines) <= set(names)
    assert not {name(client) for client in late} & set(lines)


def crowd(box, *words):
    return box.program(sys.executable, CROWD, *words,
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                       stderr=None)


def test_ten_thousand(box):
    """Two reports in a row are complete, and forwarding goes on all the
    while."""
    crowd(box, 'serve', 8080)
    box.await_port(8080)
    # the kernel deals them out, not quite evenly
    daemon = box.forward('--max-connections', 12000, workers=2)
    clients = crowd(box, 'connect', 9990, 81)
    assert clients.stdout.readline() == b'9990 served\n'
    mine = [box.connect() for _ in range(10)]
    assert all(map(peers.ask, mine))
    since = daemon.mark()
    daemon.kill(signal.SIGUSR2)
    daemon.wait('^active session$', since)
    daemon.kill(signal.SIGUSR2)     # more than the log takes without a pause
    rounds, end = 0, time.monotonic() + 2 * LIMIT
    while len(daemon.find('^sessions reported$', since)) < 4:
        assert time.monotonic() < end, 'the reports do not end'
        assert all(map(peers.ask, mine))
        rounds += 1
    ends = daemon.find('^sessions reported$', since)
    lines = daemon.find('^active session$', since)
    assert total(ends, 'count') == len(lines) == 20000
    assert total(ends, 'ended') == 0
    assert not daemon.find('lost|suppressed')
    assert set(collections.Counter(
        line['client'] for line in lines).values()) == {2}
    assert {line['worker'] for line in lines} == {1, 2}
    assert all(line['state'] == 'connected' for line in lines)
    assert {name(client) for client in mine} <= \
        {line['client'] for line in lines}
    assert rounds > 2


def test_in_a_flood_of_warnings(box):
    """Thousands of failing clients don't keep a report from the log."""
    daemon = box.start(workers=1, config=CONF + '''
        listen 127.0.0.1 82 { remote: 127.0.0.1 9; }''')
    box.server(peers.echo)
    clients = [box.connect() for _ in range(300)]
    assert all(map(peers.ask, clients))
    while not daemon.find('suppressed: more than'):
        for _ in range(500):
            peers.cut_off(port=82)
    lines, (end,) = report(daemon, signal.SIGUSR2, relays=1)
    assert end['count'] == len(lines) == 300
    assert {line['client'] for line in lines} == \
        {name(client) for client in clients}


def test_logger_asleep(box):
    """A report waits for room in the log's queue; nothing of it is lost, and
    nobody else waits."""
    daemon = box.forward(workers=1)
    box.server(peers.echo)
    clients = [box.connect() for _ in range(600)]
    assert all(map(peers.ask, clients))
    logger, = daemon.processes('logger')
    since = daemon.mark()
    with stopped(logger):
        daemon.kill(signal.SIGUSR2)
        # when the queue is full can't be seen, but it soon is
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert all(map(peers.ask, clients))
    daemon.wait('^sessions reported$', since)
    assert len({line['client'] for line in
                daemon.find('^active session$', since)}) == 600
    assert not daemon.find('lost', since)


@contextlib.contextmanager
def stopped(process):
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
