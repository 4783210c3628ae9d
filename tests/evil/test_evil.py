"""Children that misbehave on purpose.  Whatever one does while a generation
loads, the parent survives, the running generation goes on serving, nothing
leaks, nobody stays behind, the log says why; and the next good one runs."""
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from conftest import PORT
from lib import peers, proc
from lib.wait import LIMIT, until

NOT_STARTED = r'^generation \d+ was not started: '
MESSAGES = {                    # and what the log says of them
    'empty': 'size', 'byte': 'size', 'short': 'size', 'long': 'size',
    'huge': 'size', 'fd': 'descriptor', 'fds': 'descriptor',
    'zero': '', 'unknown': '', 'go': '', 'stray': '', 'flood': '',
}
ENDS = ['exit0', 'exit1', 'segv', 'sigsys', 'close', 'shutwr', 'shutrdwr',
        'fork']


def refused(world, step, action, who='all', why='', **more):
    """A reload with the evil relay fails and nothing else happens."""
    before = world.state()
    pair = world.session()
    try:
        world.exchange(pair)
        state = world.state()
        world.evil(step, action, who, **more)
        since = world.daemon.mark()
        world.daemon.kill(signal.SIGHUP)
        line = world.daemon.wait(NOT_STARTED, since)
        assert re.search(why, line['msg']), line
        assert line['level'] == 'error'
        world.settled(state)
        world.exchange(pair)        # as if nothing had been
        world.serves()
        assert not world.daemon.find('is running$', since)
    finally:
        world.good()
        world.hang_up(pair)
    world.settled(before)
    world.reloaded()
    assert world.listeners() == world.listeners_at_start
    until(lambda: world.fds() == before[0], 'no more descriptors than before')


# --- while it loads ---

@pytest.mark.parametrize('who', ['leader', 'follower'])
@pytest.mark.parametrize('action', MESSAGES)
@pytest.mark.parametrize('step', ['start', 'need', 'bind'])
def test_message(long_lived, step, action, who):
    refused(long_lived, step, action, who, MESSAGES[action])


@pytest.mark.parametrize('step, action, who, why', [
    ('start', 'version', 'leader', 'restart needed'),
    ('start', 'need', 'leader', 'NEED'),
    ('need', 'need', 'leader', 'NEED'),
    ('bind', 'need', 'leader', 'NEED'),
    ('start', 'need', 'follower', 'NEED'),
    ('need', 'need', 'follower', 'NEED'),
    ('start', 'bind', 'leader', 'BIND'),
    ('start', 'bind', 'follower', 'BIND'),
    ('need', 'bind', 'follower', 'BIND'),
    ('need', 'index', 'leader', 'BIND'),
    ('bind', 'index', 'leader', 'BIND'),
    ('need', 'family', 'leader', 'malformed'),
    ('need', 'unixup', 'leader', 'malformed'),
    ('need', 'unix', 'leader', 'without such a directory'),
    ('start', 'unix', 'leader', 'BIND'),
    ('need', 'unix', 'follower', 'BIND'),
    ('start', 'ready', 'leader', 'READY'),
    ('start', 'miscount', 'leader', 'READY'),
    ('bind', 'miscount', 'leader', 'READY'),
    ('need', 'miscount', 'follower', 'READY'),
    ('need', 'answers', 'leader', ''),
])
def test_out_of_place(long_lived, step, action, who, why):
    refused(long_lived, step, action, who, why)


@pytest.mark.parametrize('who', ['leader', 'follower'])
@pytest.mark.parametrize('action', ENDS)
@pytest.mark.parametrize('step', ['start', 'need', 'bind'])
def test_end(long_lived, step, action, who):
    refused(long_lived, step, action, who)


@pytest.mark.parametrize('who', ['leader', 'follower'])
@pytest.mark.parametrize('step', ['start', 'need', 'bind'])
def test_deaf(long_lived, step, who):
    """It shuts down only what P says to it."""
    refused(long_lived, step, 'shutrd', who)


def test_all_helpers_go_too(long_lived):
    """A generation that has everything dies whole."""
    refused(long_lived, 'bind', 'exit1', 'leader', roles=3, count=200)


def test_log_flood(long_lived):
    """The log is no way to harm; nor can it speak for another."""
    since = long_lived.daemon.mark()
    long_lived.evil('bind', 'logs')
    long_lived.daemon.kill(signal.SIGHUP)
    long_lived.daemon.wait(r'^generation \d+ is running', since,
                           role='sallyport')
    long_lived.good()
    long_lived.reloaded()
    assert not long_lived.daemon.strange
    assert not long_lived.daemon.find('generation 1 is', since, role='sallyport')


def test_many_reloads_at_once(long_lived):
    """A storm of signals, and each newcomer dies."""
    before = long_lived.state()
    long_lived.evil('need', 'segv')
    since = long_lived.daemon.mark()
    for _ in range(200):
        long_lived.daemon.kill(signal.SIGHUP)
    long_lived.daemon.wait(NOT_STARTED, since)
    long_lived.settled(before)
    long_lived.good()
    long_lived.reloaded()


# --- after it has been sealed ---

def take_over(world, step, action, who='all', **more):
    since = world.daemon.mark()
    world.evil(step, action, who, **more)
    world.daemon.kill(signal.SIGHUP)
    world.daemon.wait(r'^generation \d+ is running$', since)
    return since


@pytest.mark.parametrize('action', [*MESSAGES, 'bind', 'need', 'ready'])
@pytest.mark.parametrize('step', ['listener', 'go'])
def test_sealed(long_lived, step, action):
    """Nothing that it says leaves it."""
    before = long_lived.fds()
    since = take_over(long_lived, step, action)
    for worker in (1, 2) if action != 'flood' else ():
        long_lived.daemon.wait('evil: cannot send: Broken pipe', since,
                               worker)
    long_lived.good()
    long_lived.reloaded()
    assert long_lived.listeners() == long_lived.listeners_at_start
    until(lambda: long_lived.fds() == before, 'as many descriptors')


@pytest.mark.parametrize('action', [*MESSAGES, 'bind', 'need', 'ready'])
def test_late(long_lived, action):
    """After its READY nobody reads what it says, sealed or not yet."""
    before = long_lived.fds()
    take_over(long_lived, 'ready', action)
    long_lived.good()
    long_lived.reloaded()
    until(lambda: long_lived.fds() == before, 'as many descriptors')


@pytest.mark.parametrize('action', [*ENDS, 'shutrd'])
@pytest.mark.parametrize('step', ['ready', 'listener'])
def test_end_at_handover(long_lived, step, action):
    """It ends just before the takeover or just after it."""
    before = long_lived.fds()
    long_lived.evil(step, action)
    since = long_lived.daemon.mark()
    long_lived.daemon.kill(signal.SIGHUP)
    long_lived.daemon.wait(NOT_STARTED + '|is running$', since)
    long_lived.good()
    long_lived.reloaded()
    assert long_lived.listeners() == long_lived.listeners_at_start
    until(lambda: long_lived.fds() == before, 'as many descriptors')


@pytest.mark.parametrize('action', [
    'exit0', 'exit1', 'segv', 'sigsys', 'close', 'shutrd', 'shutrdwr',
    'playdead', 'fork'])
def test_end_after_go(world, action):
    """It is replaced, from what P keeps; not in a storm."""
    world.start()
    world.serves()
    before = world.fds()
    began = time.monotonic()
    since = take_over(world, 'go', action)
    world.daemon.wait('starting a new generation', since, 3)
    # at once, after 1 s, after 2 s ...; it can take longer, never less
    assert time.monotonic() - began >= 3
    world.good()
    world.reloaded()
    assert world.listeners() == world.listeners_at_start
    until(lambda: world.fds() == before, 'as many descriptors')


def test_stopped_in_the_dark(world):
    """One that was killed is no news of the others: they are replaced too,
    and not one by one."""
    world.start()
    since = world.daemon.mark()
    victims = world.daemon.processes('relay')
    os.kill(victims[0].pid, signal.SIGKILL)
    world.daemon.wait(r'^generation 2 is running$', since)
    until(lambda: not world.children() & {v.pid for v in victims}, 'its end')
    world.serves()


@pytest.mark.parametrize('action', ['unlisten', 'block', 'linger'])
def test_spoilt_listeners(world, action):
    """What it did to the sockets that stay is made good at the takeover."""
    world.start()
    since = take_over(world, 'go', action)
    world.daemon.wait('evil: listeners done', since, 2)
    world.good()
    world.daemon.reload()
    assert world.listeners() == world.listeners_at_start
    world.serves()
    if action == 'linger':
        # closing such a socket would throw away what is on its way
        client = peers.connect(port=PORT, rcvbuf=2048)
        server = peers.accept(world.backend)
        since = world.daemon.mark()
        client.shutdown(socket.SHUT_WR)
        assert peers.read_all(server) == b''
        server.sendall(bytes(30000))
        server.close()
        world.daemon.session(since)
        assert peers.read_all(client) == bytes(30000)
        client.close()
    relays = world.daemon.processes('relay')
    flags = [flags_of(p.pid, world) for p in relays
             if p.gen == max(r.gen for r in relays)]
    assert all(f & os.O_NONBLOCK for found in flags for f in found)


def flags_of(pid, world):
    """The file status flags of a process's listening sockets."""
    found = []
    for fd in os.listdir(f'/proc/{pid}/fd'):
        link = os.readlink(f'/proc/{pid}/fd/{fd}')
        if link in {f'socket:[{i}]' for i in world.listeners()}:
            with open(f'/proc/{pid}/fdinfo/{fd}', encoding='ascii') as file:
                found.append(int(file.read().split('flags:')[1].split()[0],
                                 8))
    assert found
    return found


def test_no_end_of_draining(world):
    """It holds on after DRAIN, longer than its own limit: killed."""
    world.start()
    take_over(world, 'drain', 'stubborn', drain=1)
    world.good()
    since = world.daemon.mark()
    world.daemon.reload()
    world.daemon.wait(r'^generation 2 is killed', since)
    world.daemon.wait_gone(2)
    world.serves()


@pytest.mark.parametrize('action', ['stubborn', 'stop'])
@pytest.mark.parametrize('step', ['start', 'ready', 'go'])
def test_does_not_want_to_end(world, step, action):
    """SIGTERM to P ends it all the same, and those that load."""
    world.start()
    world.evil(step, action)
    since = world.daemon.mark()
    world.daemon.kill(signal.SIGHUP)
    until(lambda: world.starts() == 2, 'their start')
    if step == 'go':
        world.daemon.wait(r'^generation 2 is running$', since)
    assert world.daemon.stop() == 0
    until(lambda: not world.everybody(), 'the end of all')


def test_time_limit(world):
    """30 s for a load: one that never says anything, one that never takes
    what it is given (more than a queue holds).  The longest of all tests,
    so both at once."""
    world.start(workers=1, listeners=400)
    before = world.state()
    other = type(world)()
    try:
        other.start()
        others = other.state()
        for each, step, count in ((world, 'ready', 400), (other, 'need', 1)):
            each.evil(step, 'stop', count=count)
            each.daemon.kill(signal.SIGHUP)
        for each in (world, other):
            each.daemon.wait(NOT_STARTED + '.*time', limit=60)
        other.settled(others)
        other.serves()
    finally:
        other.close()       # and its namespace is left
    world.settled(before)
    world.serves()


# --- from the start ---

@pytest.mark.parametrize('step, action', [
    ('start', 'exit0'), ('start', 'segv'), ('need', 'short'),
    ('bind', 'close'), ('start', 'version'), ('need', 'sigsys')])
def test_evil_from_the_start(world, step, action):
    """The caller sees it: exit status 1 and a message."""
    world.evil(step, action)
    world.start(ready=False)
    assert world.daemon.wait_exit() == 1
    assert world.daemon.find(NOT_STARTED)
    done = subprocess.run(      # the same in the background
        [world.top / 'sbin/sallyport', '-u', 'nobody', '-c', world.conf,
         '-L', f'file:3,{world.top}/log'], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT,
        check=False)
    assert done.returncode == 1
    assert b'was not started' in done.stderr
    until(lambda: not world.everybody(), 'the end of all')


# --- the helpers ---

@pytest.mark.parametrize('action', ['exit0', 'exit1', 'segv', 'sigsys'])
def test_dialer_ends(world, action):
    """No relay is READY without its dialer."""
    world.start()
    before = world.state()
    world.evil('start', action, name='dialer')
    since = world.daemon.mark()
    world.daemon.kill(signal.SIGHUP)
    world.daemon.wait(NOT_STARTED, since)
    world.settled(before)
    world.serves()


@pytest.mark.parametrize('action', ['exit0', 'exit1', 'segv', 'sigsys'])
def test_resolver_ends(world, action):
    """No relay is READY without a dialer, no dialer without its resolver."""
    world.start()
    before = world.state()
    world.evil('start', action, name='resolver')
    since = world.daemon.mark()
    text = world.conf.read_text()
    world.daemon.write(text.replace('127.0.0.1 8080', 'localhost 8080'))
    world.daemon.kill(signal.SIGHUP)
    world.daemon.wait(NOT_STARTED, since)
    world.settled(before)
    world.serves()


def test_dialer_dies_again_and_again(world):
    """Not a storm: there is a pause, longer each time."""
    world.start()
    world.evil('start', 'exit1', name='dialer')
    began = time.monotonic()
    since = world.daemon.mark()
    os.kill(world.daemon.processes('dialer')[0].pid, signal.SIGKILL)
    world.daemon.wait(NOT_STARTED, since, 3)
    assert time.monotonic() - began >= 3
    world.good('dialer')
    world.daemon.wait(r'^generation \d+ is running$', since)
    world.serves()


def kill_logger(world):
    logger, = world.daemon.processes('logger')
    os.kill(logger.pid, signal.SIGKILL)
    until(lambda: not proc.alive(logger.pid), 'its end')


def test_logger_ends_at_once(world):
    """Started anew, but not in a storm; forwarding does not notice."""
    world.start()
    before = world.fds()
    world.evil('start', 'exit1', name='logger')
    began = time.monotonic()
    kill_logger(world)
    until(lambda: world.starts('logger') >= 3, 'three starts')
    assert time.monotonic() - began >= 2
    world.serves()
    world.good('logger')
    since = world.daemon.mark()
    until(lambda: world.daemon.lines[since:] or
          world.daemon.kill(signal.SIGUSR1), 'a line from the good one')
    world.reloaded()
    until(lambda: world.fds() == before, 'as many descriptors')


def test_logger_never_reads(world):
    """Nobody waits for it; when it takes no more it is killed."""
    world.start('-L', f'file:1,{world.top}/log', workers=8)
    before = world.fds()
    world.evil('start', 'stubborn', name='logger')
    kill_logger(world)
    until(lambda: world.starts('logger') == 1, 'its start')
    for _ in range(100):
        if world.starts('logger') > 1:
            break
        gens = {p.gen for p in world.daemon.processes('relay')}
        world.daemon.kill(signal.SIGHUP)
        until(lambda: (now := {p.gen for p in
                               world.daemon.processes('relay')})
              and not now & gens, 'a new generation')
        world.serves()
    assert world.starts('logger') > 1
    world.good('logger')
    kill_logger(world)
    world.reloaded()
    until(lambda: world.fds() == before, 'as many descriptors')


def test_logger_does_not_want_to_end(world):
    """P does not wait for it for ever, nor leave it behind."""
    world.start()
    world.evil('start', 'stubborn', name='logger')
    kill_logger(world)
    until(lambda: world.starts('logger') == 1, 'its start')
    world.daemon.kill(signal.SIGTERM)
    assert world.daemon.popen.wait(LIMIT) == 0
    until(lambda: not world.everybody(), 'the end of all')
