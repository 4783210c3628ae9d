"""Limits of descriptors, of sessions, of time."""
import re
import resource
import select
import signal
import socket
import subprocess
import threading
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


def test_budget_says_what_to_do(box):
    daemon = box.start(*HIGH, '--max-connections', 1001, workers=2,
                       root=False, ready=False, preexec=nofile(512))
    daemon.deaths_expected = True
    assert daemon.wait_exit() == 1
    line, = daemon.find('RLIMIT_NOFILE')        # one relay tells it
    # 501 sessions, one listener, 16 others
    assert line['msg'] == (
        '--max-connections 1001 needs 1019 descriptors per relay, the limit '
        '(RLIMIT_NOFILE) is 512: expected a higher limit, fewer connections '
        'or more --workers')


def test_limit_is_raised(box):
    """As far as it may be: to the hard limit."""
    daemon = box.start(*HIGH, '--max-connections', 2000, workers=1,
                       root=False, preexec=lambda: resource.setrlimit(
                           resource.RLIMIT_NOFILE, (600, 5000)))
    for process in daemon.processes():
        with open(process.path('limits'), encoding='ascii') as file:
            line, = (line for line in file if 'open files' in line)
        assert line.split()[3:5] == ['5000', '5000']


def many(first, count):
    return ''.join(f'listen 127.0.0.1 {first + n} '
                   '{ remote: 127.0.0.1 8080; }\n' for n in range(count))


def test_reload_beyond_the_descriptors_of_a_relay(box):
    daemon = box.start('--max-connections', 200, config=many(1081, 1),
                       workers=1, root=False, preexec=nofile(512))
    box.server(peers.echo)
    client = box.connect(port=1081)
    assert peers.ask(client)
    line = daemon.reload_refused(many(1081, 97), 'RLIMIT_NOFILE')
    assert line['msg'].startswith('--max-connections 200 needs 513 '
                                  'descriptors per relay')
    daemon.deaths_expected = True       # of the one that gave up
    assert peers.ask(client) and box.served(port=1081)
    assert daemon.reload(many(1081, 3)) == 3
    assert box.served(port=1083)


def test_reload_beyond_the_descriptors_of_the_parent(box):
    """It has a socket for each worker and address."""
    daemon = box.start('--max-connections', 100, config=many(1081, 1),
                       workers=2, root=False, preexec=nofile(512))
    daemon.deaths_expected = True
    box.server(peers.echo)
    client = box.connect(port=1081)
    assert peers.ask(client)
    line = daemon.reload_refused(many(1081, 300), 'RLIMIT_NOFILE')
    assert re.fullmatch(
        r'.*/sallyport\.conf:\d+: cannot listen on 127\.0\.0\.1:1\d+: the '
        r'parent has no more descriptors, of which each listener needs 2; '
        r'the limit \(RLIMIT_NOFILE\) is 512', line['msg'])
    assert peers.ask(client) and box.served(port=1081)
    assert daemon.reload(many(1081, 3)) == 3
    assert box.served(port=1083)


@pytest.mark.parametrize('number, size, kib', [
    (100, '60k', 12000), (7, '1m', 14336)])
def test_memory_is_told(box, number, size, kib):
    """At worst each session holds a buffer for either direction."""
    daemon = box.start('--max-connections', number, config=f'''
        buffer-size: {size};
        listen 127.0.0.1 81 {{ remote: 127.0.0.1 8080; }}''')
    line, = daemon.find('^at most')
    assert line['level'] == 'info'
    assert re.fullmatch(
        rf'at most {number} sessions in 2 relays: \d+ KiB of tables, and '
        rf'{kib} KiB of buffers if every peer stops reading', line['msg'])


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


def now(daemon, workers):
    """The listeners of all relays, as they report them."""
    since = daemon.mark()
    daemon.kill(signal.SIGUSR1)
    daemon.wait('^listeners reported$', since, workers)
    return daemon.find('^listener$', since)


def total(lines, key):
    return sum(line[key] for line in lines)


TOTALS = [(5, 2), (4, 3), (3, 3), (11, 4)]


@pytest.mark.parametrize('number, workers', TOTALS)
@pytest.mark.parametrize('where', ['all', 'stanza'])
def test_max_connections_is_divided(box, where, number, workers):
    """Among the workers; all together have exactly that many."""
    limit = f'max-connections: {number};' if where == 'stanza' else ''
    more = ['--max-connections', number] if where == 'all' else []
    daemon = box.start(*more, workers=workers, config=f'''{limit}
        listen 127.0.0.1 81 {{ remote: 127.0.0.1 8080; }}''')
    server = box.server(peers.echo)
    clients = [box.connect() for _ in range(30 * workers)]
    for client in clients:
        client.sendall(b'ping')
    lines = until(lambda: all_full(daemon, workers), 'no room left')
    assert total(lines, 'limit') == total(lines, 'sessions') == number
    assert {line['state'] for line in lines} == {
        'paused-limit' if where == 'stanza' else 'paused-relay-limit'}
    until(lambda: server.count == number, 'all are connected')
    # who leaves makes room, until all have been served
    while clients:
        ready, _, _ = select.select(clients, [], [], LIMIT)
        assert 0 < len(ready) <= number
        for client in ready:
            assert peers.read_some(client, 4) == b'ping'
            client.close()
            clients.remove(client)
    assert server.count == 30 * workers


def all_full(daemon, workers):
    lines = now(daemon, workers)
    return lines if all(line['paused'] for line in lines) else None


def test_fewer_connections_than_workers(box):
    """A relay without any would only make its clients wait."""
    done = box.run(*HIGH, '--max-connections', 3, '--workers', 4)
    assert done.returncode == 2
    assert done.stderr == ('sallyport: option --max-connections: 3: expected '
                           'at least one for each of 4 workers\n')
    daemon = box.forward('--max-connections', 1, workers='auto')
    assert len(daemon.processes('relay')) == 1


def test_fewer_connections_of_a_stanza_than_workers(box):
    bad = '''listen 127.0.0.1 81 { remote: 127.0.0.1 8080;
                 max-connections: 4; }
        listen 127.0.0.1 82 { remote: 127.0.0.1 8080; max-connections: 2; }
        listen 127.0.0.1 83 { remote: 127.0.0.1 8080; max-connections: 1; }
        '''
    what = (r"'max-connections: %d' can't be divided among 3 relays, expected "
            'at least one connection for each, none, or fewer --workers')
    status, said = box.check(bad, '--workers', 3)
    assert status == 1
    assert said.splitlines() == [f'{box.conf}:{line}:9: ' + what % number
                                 for line, number in ((3, 2), (4, 1))]
    assert box.check(bad, '--workers', 1) == (0, '')
    daemon = box.start(config='listen 127.0.0.1 81 { remote: 127.0.0.1 8080;'
                       'max-connections: 30; }', workers=3)
    box.server(peers.echo)
    client = box.connect()
    assert peers.ask(client)
    daemon.deaths_expected = True
    line = daemon.reload_refused(bad, r':3:9: ' + what % 2)
    assert line['level'] == 'error'
    daemon.wait(r':4:9: ' + what % 1)
    daemon.wait('generation 2 was not started')
    assert len(daemon.find("can't be divided")) == 2    # one relay tells it
    assert peers.ask(client) and box.served()


def test_limit_under_load(box):
    """Many clients at once, few places: never more than these, everybody is
    served, and the log is not flooded."""
    lock, inside, most = threading.Lock(), [0], [0]

    def handler(sock):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        data = sock.recv(100)
        # before the answer: with it the client leaves
        with lock:
            inside[0] -= 1
        sock.sendall(data)
        peers.read_all(sock)

    box.server(handler)
    begin = time.monotonic()
    daemon = box.start(config='''max-connections: 5;
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }''')
    failures = []

    def clients():
        try:
            for _ in range(40):
                assert box.served()
        except Exception as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=clients) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    lines = now(daemon, 2)
    seconds = time.monotonic() - begin
    assert most[0] <= 5
    assert total(lines, 'accepted') == 800 and not total(lines, 'refused')
    told = daemon.find('^clients of .* wait')
    for line in lines:
        mine = [e for e in told if e['worker'] == line['worker']]
        assert line['paused'] > 20      # that is how often it was so
        assert 1 <= len(mine) <= seconds + 1


def test_one_limit_does_not_hush_up_another(box):
    daemon = box.start(workers=1, config='''max-connections: 1;
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }
        listen 127.0.0.1 82 { remote: 127.0.0.1 8080; }''')
    box.server(peers.echo)
    for port in (81, 82, 81, 82):
        box.connect(port=port)
    daemon.wait('^clients of 127.0.0.1:81 wait: it has its limit of 1 sess')
    daemon.wait('^clients of 127.0.0.1:82 wait: it has its limit of 1 sess')


def test_last_place(box):
    """Who takes it leaves nobody waiting yet, and nothing is said."""
    daemon = box.forward('--max-connections', 2, workers=1)
    box.server(peers.echo)
    for _ in range(2):
        assert peers.ask(box.connect())
    line, = now(daemon, 1)
    assert line['state'] == 'paused-relay-limit' and line['paused'] == 0
    assert not daemon.find('wait')
    box.connect()
    line = daemon.wait('^clients of 127.0.0.1:81 wait: this relay has its '
                       'limit of 2 sessions$', level='warning')


def test_reload_with_a_lower_limit(box):
    """Nobody is cut off; the old sessions don't count for the new limit."""
    conf = '''listen 127.0.0.1 81 { remote: 127.0.0.1 8080;
                                   max-connections: %d; }'''
    daemon = box.start(config=conf % 6, workers=1)
    box.server(peers.echo)
    old = [box.connect() for _ in range(6)]
    assert all(map(peers.ask, old))
    assert daemon.reload(conf % 2) == 2
    new = [box.connect() for _ in range(2)]
    assert all(map(peers.ask, old + new))
    late = box.connect()
    daemon.wait('limit of 2 sessions', gen=2)
    for client in old[:5]:
        client.close()
    daemon.session(count=5, gen=1)
    assert not quick(late) and peers.ask(old[5])
    new[0].close()
    late.settimeout(LIMIT)
    assert peers.read_some(late, 4) == b'ping'


def test_reload_with_a_higher_limit(box):
    """Who waited for the old one is served by the new one."""
    conf = '''listen 127.0.0.1 81 { remote: 127.0.0.1 8080;
                                   max-connections: %d; }'''
    daemon = box.start(config=conf % 1, workers=1)
    box.server(peers.echo)
    clients = [box.connect() for _ in range(4)]
    assert peers.ask(clients[0])
    daemon.wait('limit of 1 session in')
    assert daemon.reload(conf % 4) == 2
    assert all(map(peers.ask, clients))


# --- backlog ---

def backlogs(*ports):
    """What the kernel has, for each socket."""
    out = subprocess.run(['ss', '-Hltn'], stdout=subprocess.PIPE, check=True,
                         text=True).stdout
    found = [line.split() for line in out.splitlines()]
    return [int(words[2]) for port in ports for words in found
            if words[3] == f'127.0.0.1:{port}']


def test_backlog(box):
    conf = '''listen 127.0.0.1 81 { remote: 127.0.0.1 8080; backlog: %d; }
        listen 127.0.0.1 82 { remote: 127.0.0.1 8080; }'''
    daemon = box.start(config=conf % 77)
    assert backlogs(81, 82) == [77, 77, 4096, 4096]
    assert not daemon.find('backlog')
    daemon.reload(conf % 78)
    assert backlogs(81, 82) == [78, 78, 4096, 4096]


def test_backlog_that_the_system_cuts(box):
    """That is said, with the stanza that asks for most."""
    box.net.sysctl('core.somaxconn', 100)
    conf = '''listen 127.0.0.1 81 { remote: 127.0.0.1 8080; backlog: 100; }
        listen 127.0.0.1 82 { remote: 127.0.0.1 8080; backlog: 101; }
        listen 127.0.0.1 83 { remote: 127.0.0.1 8080; backlog: %d; }'''
    status, said = box.check(conf % 102)
    assert (status, said) == (
        0, f"{box.conf}:3:9: warning: 'backlog: 102' is cut to 100 by the "
        "system (net.core.somaxconn)\n")
    daemon = box.start(config=conf % 1)
    assert backlogs(81, 82, 83) == [100, 100, 100, 100, 1, 1]
    line, = daemon.find('net.core.somaxconn')
    assert line['level'] == 'warning'
    assert ":2:9: warning: 'backlog: 101' is cut to 100 by" in line['msg']


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
