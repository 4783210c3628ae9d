"""Signals: reload, stop, drain."""
import os
import re
import signal
import socket

import pytest

from lib import peers
from lib.wait import until

REMOTE = '{ remote: 127.0.0.1 8080; }'
ONE = f'listen 127.0.0.1 81 {REMOTE}\n'
TWO = ONE + f'listen 127.0.0.1 82 {REMOTE}\n'


@pytest.fixture
def daemon(box):
    box.server(peers.echo)
    return box.start(config=ONE)


def refused(box, port):
    with pytest.raises(ConnectionRefusedError):
        box.connect(port=port)
    return True


def test_new_port(box, daemon):
    """A port below 1024, long after the privileges were dropped."""
    assert refused(box, 82)
    assert daemon.reload(TWO) == 2
    assert box.served(port=82) and box.served()
    daemon.wait('listening on: 127.0.0.1:82', gen=2)


def test_removed_port(box, daemon):
    daemon.reload(TWO)
    daemon.reload(ONE)
    until(lambda: not daemon.processes('relay', 2), 'the old relays')
    assert refused(box, 82)
    assert box.served()


def test_new_remote(box, daemon):
    box.server(peers.says(b'the other one'), port=8081)
    daemon.reload(ONE.replace('8080', '8081'))
    daemon.wait_gone(1)         # until then the old relays may accept
    assert peers.read_all(box.connect()) == b'the other one'


def test_running_sessions_survive(box, daemon):
    client = box.connect()
    assert peers.ask(client)
    daemon.reload(TWO)
    daemon.reload(f'listen 127.0.0.1 83 {REMOTE}')
    assert peers.ask(client, peers.noise(100000))
    old, = (p for p in daemon.processes('relay', 1))
    until(lambda: daemon.processes('relay', 1)[0].draining, 'the title')
    client.close()
    daemon.wait_gone(1)


BAD = [
    ('syntax', 'listen 127.0.0.1 81 { remote: ', r':1:\d+: '),
    ('empty', '', 'empty file'),
    ('busy', ONE + f'listen 127.0.0.1 99 {REMOTE}',
     '127.0.0.1:99: Address already in use'),
    ('foreign', ONE + f'listen 192.0.2.1 99 {REMOTE}', 'Cannot assign'),
    ('name', ONE + f'listen nosuch.invalid 99 {REMOTE}', 'nosuch.invalid')]


@pytest.mark.parametrize('text, message', [b[1:] for b in BAD],
                         ids=[b[0] for b in BAD])
def test_bad_configuration(box, daemon, text, message):
    """Everything stays as it was, and the log says why."""
    box.listen('127.0.0.1', 99)
    client = box.connect()
    assert peers.ask(client)
    before = {p.pid for p in daemon.processes()}
    line = daemon.reload_refused(text, message)
    assert line['level'] == 'error' and str(box.conf) in line['msg']
    daemon.deaths_expected = True       # a relay exits with status 1
    daemon.wait('^generation 2 was not started')
    until(lambda: {p.pid for p in daemon.processes()} == before,
          'the processes that were there before')
    assert peers.ask(client) and box.served()
    assert daemon.reload(TWO) > 1
    assert box.served(port=82)


@pytest.mark.parametrize('spoil, message', [
    (lambda path: path.unlink(), 'No such file'),
    (lambda path: path.chmod(0o666), 'nobody else can write'),
    (lambda path: path.write_text((1 << 20) * '#' + '#'), 'at most 1 MiB'),
    (lambda path: (path.unlink(), path.mkdir()), 'regular file'),
    (lambda path: (path.unlink(), os.mkfifo(path)), 'regular file')],
    ids=['missing', 'writable', 'large', 'directory', 'fifo'])
def test_bad_file(box, daemon, spoil, message):
    spoil(box.conf)
    before = {p.pid for p in daemon.processes()}
    line = daemon.reload_refused(None, message)
    assert line['level'] == 'error' and str(box.conf) in line['msg']
    assert {p.pid for p in daemon.processes()} == before
    assert box.served()


def test_storm(box, daemon):
    """Many signals, few generations; the last state of the file counts."""
    for n in range(300):
        if n == 250:
            other = box.tmp / 'other'
            other.write_text(TWO)
            os.chown(other, *[getattr(box.conf.stat(), name)
                              for name in ('st_uid', 'st_gid')])
            other.rename(box.conf)
        daemon.kill(signal.SIGHUP)
    until(lambda: daemon.find('listening on: 127.0.0.1:82'), 'port 82')
    assert box.served(port=82)
    daemon.reload()
    numbers = [int(re.search(r'\d+', e['msg'])[0])
               for e in daemon.find('is running$')]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) < 150
    # a load may still be under way: the last signal but one's
    until(lambda: {p.gen for p in daemon.processes('relay')} == {int(
        daemon.find('is running$')[-1]['msg'].split()[1])}, 'quiet')


def test_overlapping_addresses(box, daemon):
    """From one address to all and back, on one port."""
    daemon.reload(f'listen * 81 {REMOTE}')
    daemon.wait_gone(1)         # who waits at a socket that goes is reset
    for host in ('127.0.0.1', '127.0.0.2', '::1'):
        assert box.served(host)
    daemon.reload(ONE)
    daemon.wait_gone(2)
    assert box.served()
    with pytest.raises(ConnectionRefusedError):
        box.connect('127.0.0.2')


@pytest.mark.parametrize('sig', [signal.SIGTERM, signal.SIGINT])
def test_stop(box, daemon, sig):
    """At once, with status 0; sessions are cut, and that shows."""
    client = box.connect()
    assert peers.ask(client)
    assert daemon.stop(sig) == 0
    assert peers.is_reset(client)
    assert daemon.session()['reason'] == 'shutdown'
    assert daemon.lines[-1]['msg'] == 'stopped'
    assert refused(box, 81)


def test_stop_while_draining(box, daemon):
    client = box.connect()
    assert peers.ask(client)
    daemon.reload(TWO)
    assert daemon.stop() == 0
    assert peers.is_reset(client)


def test_quit(box, daemon):
    """Nobody is accepted any more; who is there may finish."""
    client = box.connect()
    assert peers.ask(client)
    daemon.kill(signal.SIGQUIT)
    daemon.wait('draining 1 sessions')
    until(lambda: all(p.draining for p in daemon.processes('relay')),
          'all relays drain')
    assert refused(box, 81)
    assert peers.ask(client)
    client.close()
    assert daemon.wait_exit() == 0
    assert daemon.session()['reason'] == 'client-eof'


def test_quit_when_idle(daemon):
    assert daemon.stop(signal.SIGQUIT) == 0


def test_quit_then_term(box, daemon):
    client = box.connect()
    assert peers.ask(client)
    daemon.kill(signal.SIGQUIT)
    daemon.wait('draining 1 sessions')
    assert daemon.stop() == 0


def test_quit_with_drain_timeout(box):
    box.server(peers.echo)
    daemon = box.start(config='drain-timeout: 1s;' + ONE)
    client = box.connect()
    assert peers.ask(client)
    assert daemon.stop(signal.SIGQUIT) == 0
    assert daemon.session()['reason'] == 'shutdown'


def test_reload_with_drain_timeout(box):
    """The old generation ends its sessions after this time."""
    box.server(peers.echo)
    daemon = box.start(config='drain-timeout: 1s;' + ONE)
    client = box.connect()
    assert peers.ask(client)
    daemon.reload()
    assert peers.is_reset(client)
    assert daemon.session(gen=1)['reason'] == 'shutdown'
    daemon.wait_gone(1)


def test_at_most_sixteen_drain(box, daemon):
    """Then the oldest is ended, with a line in the log."""
    clients = []
    while not daemon.find('is killed'):
        assert len(clients) < 20
        client = box.connect()
        assert peers.ask(client)
        clients.append(client)
        gen = daemon.reload() - 1
        # now nobody of the old ones accepts any more
        until(lambda: all(p.draining for p in
                          daemon.processes('relay', gen)), 'draining')
    assert len(daemon.find('is killed')) == 1
    assert daemon.find('^generation 1 is killed: too many')
    assert len(clients) > 16
    assert all(map(peers.ask, clients[1:]))
    peers.is_reset(clients[0])          # ended, in one way or the other


def test_pipe(box, daemon):
    """SIGPIPE matters to nobody."""
    client = box.connect()
    assert peers.ask(client)
    daemon.kill(signal.SIGPIPE)
    for process in daemon.processes():
        os.kill(process.pid, signal.SIGPIPE)
    assert peers.ask(client) and box.served()
    assert daemon.reload() == 2


@pytest.mark.parametrize('sig', [
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1,
    signal.SIGUSR2, signal.SIGPIPE, signal.SIGALRM, signal.SIGCHLD])
def test_children_obey_only_their_parent(box, daemon, sig):
    """A terminal's signals, or a mistaken kill, don't end them."""
    client = box.connect()
    assert peers.ask(client)
    before = {p.pid for p in daemon.processes()}
    for pid in before:
        if sig != signal.SIGALRM:
            os.kill(pid, sig)
    assert peers.ask(client) and box.served()
    assert {p.pid for p in daemon.processes()} == before


@pytest.mark.parametrize('sig', [signal.SIGALRM, signal.SIGCHLD,
                                 signal.SIGCONT, signal.SIGWINCH])
def test_parent_ignores_other_signals(box, daemon, sig):
    daemon.kill(sig)
    assert daemon.reload(TWO) == 2
    assert box.served(port=82)
