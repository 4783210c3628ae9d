"""Processes that die, in every way, and processes that are stopped."""
import os
import re
import signal
import threading

import pytest

from conftest import TRAPPED
from lib import inject, memcg, peers
from lib.dns import Dns
from lib.wait import LIMIT, until

FORBIDDEN = 'exited with status 86$' if TRAPPED else \
    'died of signal 31: it tried a forbidden system call$'

CONFIG = '''listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }
listen 127.0.0.1 82 { remote: localhost 8080; remote-resolv: ipv4; }
'''
ROLES = ['relay', 'dialer', 'resolver']
# how to do it, and what P says of it
WAYS = {
    'kill': (lambda pid: os.kill(pid, signal.SIGKILL), 'died of signal 9$'),
    'segv': (lambda pid: os.kill(pid, signal.SIGSEGV), 'died of signal 11$'),
    'sys': (inject.trespass, FORBIDDEN),
    'exit': (inject.leave, 'exited with status 7$'),
}
REPLACED = '^a process has died: starting a new generation$'


@pytest.fixture
def daemon(box):
    box.server(peers.echo)
    return started(box, CONFIG, 'localhost')


def started(box, config, name, **more):
    """When the resolver, too, is in its sandbox: nobody waits for that."""
    daemon = box.start(config=config, **more)
    daemon.wait(f'^{name} is 127.0.0.1')
    daemon.deaths_expected = True
    return daemon


class Crowd:
    """Clients that come one after the other, all the time.  One may be cut
    off, when it was accepted by who then died; none may be refused."""

    def __init__(self, port):
        self.port, self.served, self.cut, self.failure = port, 0, 0, None
        self.going = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while self.going:
                self.one()
        except Exception as error:      # told by stop()
            self.failure = error

    def one(self):
        try:
            with peers.connect(port=self.port) as client:
                assert peers.ask(client)
            self.served += 1
        except ConnectionRefusedError:
            raise
        except (ConnectionError, AssertionError):
            self.cut += 1       # maybe before connect(2) has returned

    def wait_served(self, more=20):
        enough = self.served + more
        until(lambda: self.served >= enough or self.failure, 'clients')

    def stop(self):
        self.going = False
        self.thread.join(LIMIT)
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def crowds(box):
    """On both ports, from when they are asked for."""
    made = []

    def start():
        made.extend(Crowd(port) for port in (81, 82))
        for crowd in made:
            crowd.wait_served()
        return made

    yield start
    for crowd in made:
        crowd.going = False
        crowd.thread.join(LIMIT)


class Stream:
    """A session with an echo server that is never idle."""

    def __init__(self, box, seed):
        self.sock = box.connect()
        self.name = '%s:%d' % self.sock.getsockname()
        assert peers.ask(self.sock)
        self.data = peers.noise(1 << 18, seed)
        self.rounds, self.going, self.intact = 0, True, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def write(self):
        try:
            self.sock.sendall(self.data)
        except OSError:
            pass        # run() sees it too

    def run(self):
        """Every round the same bytes: a hole or a shift would be seen."""
        try:
            while self.going:
                writer = threading.Thread(target=self.write, daemon=True)
                writer.start()
                same = peers.read_some(self.sock, len(self.data)) == self.data
                writer.join(LIMIT)
                if not same:
                    self.intact = False
                    return
                self.rounds += 1
        except (OSError, AssertionError):
            self.intact = False
            return
        self.intact = True

    def stop(self):
        self.going = False
        self.thread.join(LIMIT)
        return self.intact


def workers_of(daemon, count):
    """Client to the number of the relay that has it."""
    since = daemon.mark()
    daemon.kill(signal.SIGUSR2)
    until(lambda: len(daemon.find('^active session$', since)) >= count,
          'the sessions')
    return {e['client']: e['worker']
            for e in daemon.find('^active session$', since)}


def first(daemon, role):
    return daemon.processes(role)[0]


@pytest.mark.parametrize('way', [
    'kill', pytest.param('segv', marks=pytest.mark.sandbox),
    pytest.param('sys', marks=pytest.mark.root),
    pytest.param('exit', marks=pytest.mark.root)])
@pytest.mark.parametrize('role', ROLES)
def test_death(box, daemon, crowds, role, way):
    """A new generation from what is retained; nobody is refused, and what
    the other relays forward is not touched."""
    streams = [Stream(box, seed) for seed in range(4)]
    workers = workers_of(daemon, len(streams))
    for stream in streams:
        until(lambda s=stream: s.rounds or s.intact is False, 'a round')
    both = crowds()
    victim = first(daemon, role)
    die, words = WAYS[way]
    since = daemon.mark()
    die(victim.pid)
    number = victim.worker or 1
    daemon.wait(rf'^{role} \[gen 1, {number}\] {words}', since)
    daemon.wait(REPLACED, since)
    daemon.running(2)
    for crowd in both:
        crowd.wait_served()
        crowd.stop()
    for stream in streams:
        theirs = role == 'relay' and workers[stream.name] == victim.worker
        assert stream.stop() is not theirs, stream.name
    assert len(daemon.processes(role, 2)) == (1 if role == 'resolver' else 2)


@pytest.mark.memcg
def test_out_of_memory(box, daemon):
    """The kernel kills a relay for want of memory."""
    clients = []

    def dead():
        clients.append(box.connect())
        try:
            clients[-1].sendall(bytes(100000))
        except ConnectionError:
            pass
        return daemon.find(r'^relay \[gen 1, 1\] died of signal 9$')

    with memcg.Group() as group:
        group.put(first(daemon, 'relay').pid)
        until(dead, 'its end')
    daemon.wait(REPLACED)
    daemon.running(2)
    assert box.served()


@pytest.mark.root
def test_relay_that_simply_leaves(box, daemon):
    """With status 0, too, it is missed."""
    inject.leave(first(daemon, 'relay').pid, 0)
    daemon.wait(REPLACED)
    daemon.running(2)
    assert all(box.served() for _ in range(10))


def test_rubbish_in_the_file(box, daemon):
    """After a death the bytes that ran count, not the file."""
    daemon.write('rubbish')
    os.kill(first(daemon, 'dialer').pid, signal.SIGKILL)
    daemon.running(2)
    assert box.served() and box.served(port=82)
    box.conf.unlink()
    daemon.wait_gone(1)
    os.kill(first(daemon, 'relay').pid, signal.SIGKILL)
    daemon.running(3)
    assert box.served() and box.served(port=82)
    daemon.write('rubbish')
    daemon.reload_refused(None, ':1:1: ')
    assert box.served() and box.served(port=82)


def test_too_many_deaths(box, daemon):
    """Five replacements in a minute, then it is somebody else's turn."""
    for number in range(1, 6):
        os.kill(first(daemon, 'dialer').pid, signal.SIGKILL)
        daemon.running(number + 1)
        daemon.wait_gone(number)
        assert box.served()
    os.kill(first(daemon, 'dialer').pid, signal.SIGKILL)
    daemon.wait('^a process has died: 5 replacements in a minute, giving up$',
                level='error')
    assert daemon.wait_exit() == 1
    assert len(daemon.find(REPLACED)) == 5


# --- the logger ---

def another_logger(daemon, pid):
    until(lambda: [p for p in daemon.processes('logger') if p.pid != pid],
          'a new logger')


@pytest.mark.parametrize('sig', [
    'SIGKILL', pytest.param('SIGSEGV', marks=pytest.mark.sandbox), 'SIGSYS'])
def test_death_of_the_logger(box, daemon, crowds, sig):
    """Nobody else notices."""
    stream = Stream(box, 1)
    others = {p.pid for p in daemon.processes() if p.role != 'logger'}
    both = crowds()
    logger = first(daemon, 'logger')
    daemon.deaths_expected = True
    os.kill(logger.pid, getattr(signal, sig))
    another_logger(daemon, logger.pid)
    number = int(getattr(signal, sig))
    words = FORBIDDEN if sig == 'SIGSYS' else rf'died of signal {number}$'
    daemon.wait(rf'^logger \[gen 0, 1\] {words}', role='sallyport')
    for crowd in both:
        crowd.wait_served()
        crowd.stop()
        assert not crowd.cut
    assert stream.stop()
    assert {p.pid for p in daemon.processes() if p.role != 'logger'} == others
    since = daemon.mark()
    assert box.served()
    daemon.session(since)
    assert daemon.reload() == 2


def losses(daemon):
    return sum(int(re.search(r'\d+', e['msg'])[0]) for e in
               daemon.find(r'^\d+ lines lost by relay', role='logger'))


def all_told(daemon, count):
    """Is each session's line written, or counted as lost?"""
    def told():
        return len(daemon.find('^session$')) + losses(daemon) >= count
    until(told, 'every line')
    assert len(daemon.find('^session$')) + losses(daemon) == count
    assert losses(daemon) > 0


@pytest.mark.parametrize('then', ['SIGCONT', 'SIGKILL'])
def test_stopped_logger(box, then):
    """It holds up nobody.  When it goes on, or another one does, what has
    waited is written and the rest is counted."""
    box.server(peers.echo)
    daemon = box.forward(workers=1)
    logger = first(daemon, 'logger')
    os.kill(logger.pid, signal.SIGSTOP)
    for _ in range(400):                # more than fit
        assert box.served()
    daemon.deaths_expected = then == 'SIGKILL'
    os.kill(logger.pid, getattr(signal, then))
    daemon.session()
    assert box.served()                 # its line brings the number
    all_told(daemon, 401)


def test_stopped_logger_and_signals(box):
    """A reload and the end do not wait for it either."""
    box.server(peers.echo)
    daemon = box.forward()
    os.kill(first(daemon, 'logger').pid, signal.SIGSTOP)
    daemon.kill(signal.SIGHUP)
    until(lambda: daemon.processes('relay', 2), 'the next generation')
    assert box.served()
    daemon.wait_gone(1)
    assert daemon.stop() == 0


# --- stopped processes ---

def test_stopped_dialer(box):
    """connect-timeout holds all the same; open sessions go on; when the
    dialer goes on all is well again."""
    box.server(peers.echo)
    daemon = box.start(workers=1, config='''connect-timeout: 1s;
        listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }''')
    stream = Stream(box, 1)
    dialer = first(daemon, 'dialer')
    os.kill(dialer.pid, signal.SIGSTOP)
    assert peers.cut_off()
    assert daemon.session()['reason'] == 'connect-timeout'
    assert stream.stop()
    os.kill(dialer.pid, signal.SIGCONT)
    assert box.served()
    assert not daemon.find(REPLACED)


def test_stopped_dialer_is_not_the_end(box):
    """However many clients come and go meanwhile: the last ones wait."""
    box.server(peers.echo)
    daemon = box.start('--max-connections', 20, workers=1,
                       config='''listen 127.0.0.1 81 {
        remote: 127.0.0.1 8080; }''')
    dialer = first(daemon, 'dialer')
    os.kill(dialer.pid, signal.SIGSTOP)
    for _ in range(1500):       # some hundred fit, the others may wait
        peers.reset(box.connect())
    daemon.wait('^clients of 127.0.0.1:81 wait: ')
    os.kill(dialer.pid, signal.SIGCONT)
    assert box.served()
    assert not daemon.find(REPLACED)


def test_stopped_resolver(box):
    """Names keep their last addresses; for a name without one nobody waits
    longer than connect-timeout."""
    dns = Dns()
    box.servers.append(dns)
    box.hosts('127.0.0.1 localhost\n')
    box.resolv_conf('nameserver 127.0.0.53\noptions timeout:1 attempts:1\n')
    dns.set('good.test', '127.0.0.1')
    box.server(peers.echo)
    daemon = started(box, '''connect-timeout: 1s; resolve-interval: 1s;
        listen 127.0.0.1 81 { remote: good.test 8080; }
        listen 127.0.0.1 82 { remote: late.test 8080; }''', 'good.test',
        workers=1)
    daemon.wait('^cannot resolve late.test')
    since = dns.mark()
    dns.wait_asked('good.test', since)
    resolver = first(daemon, 'resolver')
    os.kill(resolver.pid, signal.SIGSTOP)
    dns.set('late.test', '127.0.0.1')
    since = daemon.mark()

    def waited():
        """Has a client waited for the name, as long as it may?"""
        assert peers.cut_off(port=82) and box.served()
        return [e for e in daemon.find('^session$', since) if
                e['reason'] == 'no-address' and e['connect_ms'] >= 1000]

    until(waited, 'connect-timeout')
    assert box.served()                 # whose name is asked for, too
    os.kill(resolver.pid, signal.SIGCONT)
    daemon.wait('^late.test can be resolved now: 127.0.0.1')
    assert box.served(port=82)
    assert not daemon.find(REPLACED)


def test_stopped_relay_is_replaced_by_a_reload(box, daemon):
    """Nobody sees that a relay is stopped, but its clients wait in a queue
    that is not its own: the next generation serves them."""
    for relay in daemon.processes('relay'):
        os.kill(relay.pid, signal.SIGSTOP)
    clients = [box.connect() for _ in range(20)]
    daemon.reload()
    assert all(map(peers.ask, clients))
    assert len(daemon.processes('relay', 1)) == 2   # without drain-timeout
    assert daemon.stop() == 0


def test_stopped_relay_while_draining(box):
    """drain-timeout is P's as well."""
    box.server(peers.echo)
    daemon = box.start(config='drain-timeout: 1s;' + CONFIG)
    client = box.connect()
    assert peers.ask(client)
    for relay in daemon.processes('relay'):
        os.kill(relay.pid, signal.SIGSTOP)
    daemon.reload()
    daemon.wait('^generation 1 is killed: its time is over$')
    daemon.wait_gone(1)
    assert box.served()
    assert not peers.read_all(client)       # it ends
    assert not daemon.find(REPLACED)


def test_stopped_parent(box, daemon):
    """Nothing of the forwarding asks it."""
    stream = Stream(box, 1)
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        assert all(box.served() and box.served(port=82) for _ in range(50))
        daemon.session(count=100)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    assert stream.stop()
    assert daemon.reload() == 2
