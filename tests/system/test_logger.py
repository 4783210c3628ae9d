#!/usr/bin/python3
"""The logger alone, with this test in the place of P and of all senders."""
import array
import contextlib
import fcntl
import json
import os
import pty
import re
import resource
import signal
import socket
import struct
import subprocess
import termios

import pytest

from conftest import BUILD, NOBODY, PRIVILEGED, ROOT, SANITIZED, TOP
from lib.syslog import Syslogd
from lib.wait import LIMIT, until

LOGGER = BUILD / 'libexec/sallyport/logger'

VERSION = re.search(r'#define\s+WIRE_VERSION\s+(\d+)', (
    TOP / 'common/wire.h').read_text(encoding='utf-8'))[1]
HELPER, DRAIN, LOG = 16, 20, 22         # enum wire_type
PARENT, OWN, RELAY, DIALER, RESOLVER = range(5)     # enum role
ERROR, WARNING, NOTICE, INFO, DEBUG = range(1, 6)
REPORT = 0x80                           # LOG_REPORT
STARTUP = 15

STAMP = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d '


def message(level, text, fields=(), lost=0):
    """One line as common/log.h has it."""
    data = struct.pack('=HBBI', 0x5350, level, len(fields), lost)
    data += text + b'\0'
    for kind, key, value in fields:
        data += kind + key + b'\0' + value + b'\0'
    return data


class Logger:
    def __init__(self, jail, *targets, form='text', file_size=None):
        self.ctl, ctl = socket.socketpair(socket.AF_UNIX,
                                          socket.SOCK_SEQPACKET)
        own_read, own = socket.socketpair(socket.AF_UNIX,
                                          socket.SOCK_SEQPACKET)
        ctl_high = fds_above(ctl)
        own_high = fds_above(own)

        args = [f'version={VERSION}', f'format={form}',
                *(f'log={target}' for target in targets)]
        if PRIVILEGED:
            args += [f'uid={NOBODY.pw_uid}', f'gid={NOBODY.pw_gid}',
                     f'jail={jail}']

        def layout():
            if file_size is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE,
                                   (file_size, file_size))
            os.dup2(ctl_high, 3)
            os.dup2(own_high, 4)
            os.closerange(5, 256)
            if ROOT and not PRIVILEGED:
                os.setgroups([])
                os.setgid(NOBODY.pw_gid)
                os.setuid(NOBODY.pw_uid)

        self.process = subprocess.Popen(
            ['sallyport: logger' + 40 * ' ', *args],
            executable=LOGGER, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            close_fds=False, preexec_fn=layout, env={'TZ': 'UTC0'}, cwd='/')
        for fd in (ctl_high, own_high):
            os.close(fd)
        ctl.close()
        own.close()
        self.senders = []
        self.own_read = own_read
        self.tell(HELPER, 0, None, (OWN, 0, 0))
        until(self.confined, 'sandbox')

    def confined(self):
        self.check()
        with open(f'/proc/{self.process.pid}/status',
                  encoding='ascii') as status:
            return SANITIZED or re.search(r'^Seccomp:\t2$', status.read(),
                                          re.M)

    def tell(self, kind, index=0, fd=None, words=(0, 0, 0)):
        data = struct.pack('=II', kind, index) + struct.pack('=III', *words)
        data = data.ljust(64, b'\0')
        extra = [] if fd is None else [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))]
        self.ctl.sendmsg([data], extra)

    def target(self, index, fd):
        self.tell(LOG, index, fd)

    def file(self, path, index=0):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.target(index, fd)
        os.close(fd)
        return path

    def sender(self, role=RELAY, gen=2, worker=0):
        ours, theirs = socket.socketpair(socket.AF_UNIX,
                                         socket.SOCK_SEQPACKET)
        self.tell(HELPER, 0, theirs.fileno(), (role, gen, worker))
        theirs.close()
        self.senders.append(ours)
        return ours

    def own(self):
        self.tell(HELPER, 0, self.own_read.fileno(), (OWN, 0, 0))

    def check(self):
        """Has it died?  Its own channel says why."""
        if (status := self.process.poll()) is None:
            return
        self.own_read.setblocking(False)
        pytest.fail(f'logger: exit status {status}: '
                    f'{self.own_read.recv(4096)}')

    def fds(self):
        """How many are open; None: only root is told (DUMPABLE is 0)."""
        try:
            return len(os.listdir(f'/proc/{self.process.pid}/fd'))
        except PermissionError:
            return None

    def stop(self):
        """P goes; the senders have gone: exit status."""
        for sender in self.senders:
            sender.close()
        self.ctl.close()
        return self.process.wait(LIMIT)


def fds_above(sock, least=200):
    return fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, least)


@pytest.fixture
def start(tmp_path):
    started = []
    jail = tmp_path / 'jail'
    jail.mkdir(mode=0o555)

    def new(*args, **more):
        started.append(Logger(jail, *args, **more))
        return started[-1]

    yield new
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.ctl.close()
        for sender in one.senders:
            sender.close()


@pytest.fixture
def simple(start, tmp_path):
    """One target, a file of all levels, and one relay."""
    logger = start('file:5')
    log = logger.file(tmp_path / 'log')
    return logger, logger.sender(), log


def lines_of(path):
    with open(path, 'rb') as file:
        return file.read().decode('ascii').splitlines()


def accounted(lines, count):
    """What is not there was counted."""
    lost = [int(match[1]) for line in lines if
            (match := re.search(r'logger: (\d+) lines lost', line))]
    assert len(lines) - len(lost) + sum(lost) == count


def unstamped(path):
    lines = lines_of(path)
    for line in lines:
        assert re.match(STAMP, line), line
    return [re.sub(STAMP, '', line) for line in lines]


def test_lines_and_levels(start, tmp_path):
    logger = start('file:3', 'file:5,x')
    for i in range(2):
        logger.file(tmp_path / str(i), i)
    relay, parent = logger.sender(), logger.sender(PARENT, 0)
    resolver = logger.sender(RESOLVER, 7)
    for level in range(1, 6):
        relay.send(message(level, b'level %d' % level))
        # one sender after the other: between senders there is no order
        until(lambda n=level: len(lines_of(tmp_path / '1')) == n, 'lines')
    parent.send(message(ERROR, b'of P', [(b's', b'k', b'a b'),
                                         (b'n', b'n', b'12')]))
    until(lambda: len(lines_of(tmp_path / '1')) == 6, 'of P')
    resolver.send(message(INFO, b'two\nlines\x1b[0m'))
    assert logger.stop() == 0
    assert unstamped(tmp_path / '1') == [
        'error relay[2.1]: level 1', 'warning relay[2.1]: level 2',
        'notice relay[2.1]: level 3', 'info relay[2.1]: level 4',
        'debug relay[2.1]: level 5', 'error sallyport: of P k="a b" n=12',
        r'info resolver[7]: two\nlines\x1b[0m']
    assert len(lines_of(tmp_path / '0')) == 4


def test_json(start, tmp_path):
    logger = start('file:5', form='json')
    logger.file(tmp_path / 'log')
    sender = logger.sender(DIALER, 3, 1)
    sender.send(message(INFO, b'\xff"\n\xc3\xa9', [
        (b's', b'client', b'192.0.2.1:1'), (b'n', b'bytes', b'7')]))
    assert logger.stop() == 0
    line, = lines_of(tmp_path / 'log')
    value = json.loads(line)
    assert re.fullmatch(STAMP, value.pop('time') + ' ')
    assert value == {'level': 'info', 'role': 'dialer', 'gen': 3, 'worker': 2,
                     'msg': '\\xff"\n\u00e9', 'client': '192.0.2.1:1',
                     'bytes': 7}


def test_last_words(start, tmp_path):
    """All that was sent is written, though P and senders are gone."""
    logger = start('file:5')
    os.kill(logger.process.pid, signal.SIGSTOP)
    logger.file(tmp_path / 'log')
    senders = [logger.sender(RELAY, 1, i) for i in range(8)]
    for sender in senders:
        for i in range(100):
            sender.send(message(INFO, b'line %d' % i))
        sender.close()
    logger.ctl.close()
    os.kill(logger.process.pid, signal.SIGCONT)
    assert logger.process.wait(LIMIT) == 0
    lines = unstamped(tmp_path / 'log')
    assert len(lines) == 800
    for worker in range(1, 9):
        assert [line for line in lines if f'[1.{worker}]' in line] == [
            f'info relay[1.{worker}]: line {i}' for i in range(100)]


def test_goes_on_without_parent(start, tmp_path):
    logger = start('file:5')
    logger.own()
    logger.file(tmp_path / 'log')
    relay, other = logger.sender(), logger.sender(worker=1)
    logger.ctl.close()
    relay.send(message(INFO, b'one'))
    until(lambda: 'info relay[2.1]: one' in unstamped(tmp_path / 'log'), 'one')
    relay.close()
    other.send(message(INFO, b'two'))
    until(lambda: 'info relay[2.2]: two' in unstamped(tmp_path / 'log'), 'two')
    assert logger.process.poll() is None
    other.close()
    assert logger.process.wait(LIMIT) == 0


def test_signals(simple):
    """What a terminal or a service manager sends to all is for P."""
    logger, relay, log = simple
    relay.send(message(INFO, b'ready'))
    until(lambda: lines_of(log), 'ready')
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                   signal.SIGQUIT, signal.SIGPIPE):
        os.kill(logger.process.pid, number)
    relay.send(message(INFO, b'still here'))
    assert logger.stop() == 0
    assert len(lines_of(log)) == 2


def test_reopened(start, tmp_path):
    logger = start('file:5')
    logger.file(tmp_path / 'old')
    relay = logger.sender()
    relay.send(message(INFO, b'one'))
    until(lambda: lines_of(tmp_path / 'old'), 'one')
    logger.file(tmp_path / 'new')
    relay.send(message(INFO, b'two'))
    assert logger.stop() == 0
    assert unstamped(tmp_path / 'old') == ['info relay[2.1]: one']
    assert unstamped(tmp_path / 'new') == ['info relay[2.1]: two']


def test_startup(start, tmp_path):
    """Plain lines on standard error until P says that all is up."""
    logger = start('file:5')
    os.kill(logger.process.pid, signal.SIGSTOP)
    logger.file(tmp_path / 'log')
    logger.file(tmp_path / 'err', STARTUP)
    relay = logger.sender()
    relay.send(message(ERROR, b'f:1:2: bad\n  x\n  ^'))
    relay.send(message(NOTICE, b'not there'))
    relay.send(message(WARNING, b'odd'))
    logger.tell(DRAIN)
    os.kill(logger.process.pid, signal.SIGCONT)
    until(lambda: len(lines_of(tmp_path / 'log')) == 3, 'three lines')
    relay.send(message(ERROR, b'later'))
    assert logger.stop() == 0
    assert lines_of(tmp_path / 'err') == [
        'sallyport: f:1:2: bad', '  x', '  ^', 'sallyport: odd']
    assert len(lines_of(tmp_path / 'log')) == 4


def test_bad_messages(start, tmp_path):
    good = message(INFO, b'good')
    many = [b'x', b'\0' * 8, good[:-1], good + b'x', good + b'\0' * 3000,
            message(0, b'x'), message(6, b'x'),
            message(INFO, b'x', [(b'n', b'k', b'x')]),
            message(INFO, b'x', [(b's', b'role', b'sallyport')]),
            message(INFO, b'x' * 2040)]
    logger = start('file:5')
    logger.file(tmp_path / 'log')
    relay, other = logger.sender(), logger.sender(worker=1)
    relay.send(good)
    other.send(good)
    until(lambda: len(lines_of(tmp_path / 'log')) == 2, 'good')
    before = logger.fds()
    for bad in many:
        relay.send(bad)
    relay.send(b'')                     # is not the end of the channel
    relay.sendmsg([good], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                            array.array('i', [0, 1, 2]))])
    relay.send(message(INFO, b'still good'))
    until(lambda: len(lines_of(tmp_path / 'log')) == 4, 'still good')
    assert logger.fds() == before
    relay.close()
    assert logger.stop() == 0
    assert unstamped(tmp_path / 'log')[2:] == [
        'warning logger: bad message from relay[2.1]',
        'info relay[2.1]: still good',
        f'warning logger: {len(many) + 1} bad messages from relay[2.1] in all']


def flood(sender, count, level=INFO):
    """Waits for room as no sender would: this one wants to be too fast."""
    for i in range(count):
        sender.send(message(level, b'%d' % i))


def test_rate(start, tmp_path):
    logger = start('file:4')
    logger.file(tmp_path / 'log')
    parent, relay, other = (logger.sender(PARENT, 0), logger.sender(),
                            logger.sender(worker=1))
    flood(relay, 20000)
    flood(relay, 900, ERROR)            # there is room left for these
    flood(relay, 20000, DEBUG)          # nobody wants these
    flood(parent, 20000)                # P is not limited
    other.send(message(INFO, b'nor does one sender use up the share of all'))
    assert logger.stop() == 0
    lines = unstamped(tmp_path / 'log')
    assert sum('error relay[2.1]: ' in line for line in lines) == 900
    assert sum(': nor does' in line for line in lines) == 1
    assert sum(' sallyport: ' in line for line in lines) == 20000
    written = sum('info relay[2.1]: ' in line for line in lines)
    left_out = [re.fullmatch(r'warning logger: (\d+) lines from relay\[2\.1\] '
                             'suppressed: more than 1000 a second', line)
                for line in lines]
    left_out = [int(match[1]) for match in left_out if match]
    assert written >= 4000
    assert left_out and written + sum(left_out) == 20000


def test_rate_of_reports(start, tmp_path):
    """A flood, even of errors, does not drown a report; nor is a report
    without a limit."""
    logger = start('file:4')
    log = logger.file(tmp_path / 'log')
    relay = logger.sender()
    flood(relay, 20000, ERROR)
    flood(relay, 5000, REPORT | NOTICE)
    flood(relay, 20000, REPORT | NOTICE)
    flood(relay, 100, ERROR)
    assert logger.stop() == 0
    lines = unstamped(log)
    report = [line for line in lines if line.startswith('notice relay')]
    assert report[:5000] == [f'notice relay[2.1]: {i}' for i in range(5000)]
    left_out = [re.search(r': (\d+) lines from relay.* suppressed', line)
                for line in lines]
    left_out = sum(int(match[1]) for match in left_out if match)
    written = sum('relay[2.1]: ' in line for line in lines)
    assert left_out and written + left_out == 45100


def test_rate_in_json(start, tmp_path):
    logger = start('file:4', form='json')
    log = logger.file(tmp_path / 'log')
    flood(logger.sender(DIALER, 3, 1), 20000)
    assert logger.stop() == 0
    entries = [json.loads(line) for line in lines_of(log)]
    left_out = [int(match[1]) for e in entries if
                e['level'] == 'warning' and e['role'] == 'logger' and
                (match := re.match(r'(\d+) lines from dialer\[3\.2\] '
                                   'suppressed', e['msg']))]
    assert left_out
    assert len(entries) - len(left_out) + sum(left_out) == 20000


def test_lost_by_sender(simple):
    logger, relay, log = simple
    relay.send(message(INFO, b'x', lost=5))
    relay.send(message(INFO, b'y', lost=7))
    assert logger.stop() == 0
    lost = [int(re.search(r'(\d+) lines lost by relay\[2\.1\]', line)[1])
            for line in unstamped(log) if ' lost ' in line]
    assert sum(lost) == 12


@pytest.fixture
def syslogd(tmp_path):
    daemon = Syslogd(tmp_path / 'dev-log')
    yield daemon
    daemon.stop()


def test_syslog(start, syslogd):
    client = syslogd.client()
    logger = start('syslog:3,web,local1', form='json')
    logger.target(0, client.fileno())
    relay = logger.sender()
    relay.send(message(NOTICE, b'hello\n', [(b's', b'k', b'v')]))
    relay.send(message(ERROR, b'x' * 2000))
    assert re.fullmatch(
        r'<%d>[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d web\[%d\]: '
        r'relay\[2\.1\]: hello\\n k=v' % (17 * 8 + 5, os.getpid()),
        syslogd.next())
    line = syslogd.next()
    assert len(line) == 1023 and line.startswith('<139>')
    assert line.endswith('x...')

    # syslogd goes and comes: P connects the socket again on its copy
    syslogd.stop()
    for i in range(3):
        relay.send(message(NOTICE, b'unheard %d' % i))
    relay.send(b'')
    until(lambda: drained(relay), 'all read')
    another = Syslogd(syslogd.path)
    client.connect(str(another.path))
    relay.send(message(NOTICE, b'heard'))
    assert re.search('<140>.* logger: 3 lines lost: Connection refused$',
                     another.next())
    assert another.next().endswith(': heard')
    another.stop()
    assert logger.stop() == 0


def drained(sock):
    """Has the reader taken all that was sent?  (SIOCOUTQ)"""
    return struct.unpack('i', fcntl.ioctl(sock, termios.TIOCOUTQ,
                                          b'\0' * 4))[0] == 0


# --- targets that take no lines ---

@pytest.fixture
def beside(start, tmp_path):
    """A target to be spoilt, and beside it a file that takes all lines."""
    def new(kind, fd):
        logger = start(f'{kind}:5', 'file:5')
        logger.target(0, fd)
        logger.file(tmp_path / 'file', 1)
        return logger, logger.sender()

    return new


def flood_beside(relay, tmp_path, count=3000):
    """Nobody is held up: the file has all of them."""
    flood(relay, count)
    until(lambda: len(lines_of(tmp_path / 'file')) == count, 'file')


def read_loss(read):
    got = b''
    while b' lines lost' not in got:
        got += read(65536)
    return got


def read_rest(read):
    got = b''
    while chunk := read(65536):
        got += chunk
    return got


def test_syslog_full(beside, syslogd, tmp_path):
    """A syslogd that sleeps."""
    client = syslogd.client()
    logger, relay = beside('syslog', client.fileno())
    flood_beside(relay, tmp_path)
    while 'lines lost: the target did not take' not in syslogd.next():
        pass
    accounted(syslogd.got, 3000)
    assert logger.stop() == 0


def test_file_error(beside, tmp_path):
    """The loss is told with the next line that is taken, or without one."""
    full = os.open('/dev/full', os.O_WRONLY)
    logger, relay = beside('file', full)
    flood_beside(relay, tmp_path, 5)
    logger.file(tmp_path / 'log')
    until(lambda: lines_of(tmp_path / 'log'), 'told')
    logger.target(0, full)
    flood(relay, 2)
    until(lambda: len(lines_of(tmp_path / 'file')) == 7, 'file')
    logger.file(tmp_path / 'log')
    relay.send(message(INFO, b'room again'))
    assert logger.stop() == 0
    os.close(full)
    assert unstamped(tmp_path / 'log') == [
        f'warning logger: {n} lines lost: No space left on device'
        for n in (5, 2)] + ['info relay[2.1]: room again']


@pytest.fixture
def half(start, tmp_path):
    """A file that ends in half a line: it may not get any longer."""
    size = 1024 * 1024
    log = tmp_path / 'log'
    log.write_bytes(b'\n' * (size - 200))
    logger = start('file:5', file_size=size)
    logger.file(log)
    relay = logger.sender()
    relay.send(message(INFO, b'a'))
    relay.send(message(INFO, b'b' * 300))
    until(lambda: os.path.getsize(log) == size, 'limit')
    until(lambda: drained(relay), 'read')
    lines = lines_of(log)
    assert re.fullmatch(STAMP + r'info relay\[2\.1\]: a', lines[-2])
    assert re.fullmatch(STAMP + r'info relay\[2\.1\]: b+', lines[-1])
    return logger, relay, log


@pytest.mark.parametrize('hup', [False, True])
def test_file_half_line(half, hup):
    """It ends before the next one begins, in a file that P has opened again
    and that is the same one, too."""
    logger, relay, log = half
    if hup:
        logger.file(log)
    os.truncate(log, os.path.getsize(log) - 1000)
    with open(log, 'ab') as file:
        file.write(b'b')
    relay.send(message(INFO, b'c'))
    assert logger.stop() == 0
    lines = lines_of(log)
    assert lines[-3] == 'b'
    assert [re.sub(STAMP, '', line) for line in lines[-2:]] == [
        'warning logger: 1 lines lost: File too large', 'info relay[2.1]: c']


@pytest.mark.parametrize('there', [[], ['notice x: there']])
def test_file_half_line_is_gone(half, there):
    """Nothing to be ended: the file was emptied, or is another one."""
    logger, relay, log = half
    if there:
        log.rename(log.parent / 'old')
        log.write_text('2026-11-20T00:00:00.000+00:00 notice x: there\n')
        logger.file(log)
    else:
        os.truncate(log, 0)
    relay.send(message(INFO, b'c'))
    assert logger.stop() == 0
    assert unstamped(log) == there + [
        'warning logger: 1 lines lost: File too large',
        'info relay[2.1]: c']


def test_pipe_full(beside, tmp_path):
    """A pipe that nobody reads: blocking, as a shell gives it."""
    reader, writer = os.pipe()
    logger, relay = beside('stdout', writer)
    assert os.get_blocking(writer)
    flood_beside(relay, tmp_path)
    got = read_loss(lambda size: os.read(reader, size))
    os.close(writer)
    assert logger.stop() == 0
    got += read_rest(lambda size: os.read(reader, size))
    os.close(reader)
    assert b'\0' not in got
    accounted(got.decode('ascii').splitlines(), 3000)


def test_stream_socket(beside, tmp_path):
    """Standard output may be a socket, as under systemd."""
    ours, theirs = socket.socketpair()
    logger, relay = beside('stdout', theirs.fileno())
    flood_beside(relay, tmp_path)
    got = read_loss(ours.recv)
    theirs.close()
    assert logger.stop() == 0
    got += read_rest(ours.recv)
    ours.close()
    accounted(got.decode('ascii').splitlines(), 3000)


def test_pipe_race(beside, tmp_path):
    """Another writer fills the pipe all the time."""
    reader, writer = os.pipe()
    logger, relay = beside('stdout', writer)
    other = subprocess.Popen(['cat', '/dev/zero'], stdout=writer)
    drain = subprocess.Popen(['head', '-c', '50000000'], stdin=reader,
                             stdout=subprocess.DEVNULL)
    try:
        flood_beside(relay, tmp_path, 2000)
    finally:
        for process in (other, drain):
            process.kill()
            process.wait()
    os.close(reader)
    os.close(writer)
    assert logger.stop() == 0


def test_terminal_stopped(beside, tmp_path):
    """Output stopped by ^S, room for less than a line."""
    master, slave = pty.openpty()
    logger, relay = beside('stderr', slave)
    for i in range(200):
        relay.send(message(INFO, b'%d ' % i + b'x' * 800))
    until(lambda: len(lines_of(tmp_path / 'file')) == 200, 'file')
    got = read_loss(lambda size: os.read(master, size))
    lines = got.replace(b'\r', b'').split(b'\n')
    lost = int(re.search(rb' (\d+) lines lost', got)[1])
    whole = [line for line in lines if re.fullmatch(
        STAMP.encode() + rb'info relay\[2\.1\]: \d+ x{800}', line)]
    # a line that lacked nothing but its newline was counted as lost
    assert len(whole) + lost in (200, 201)
    os.close(master)
    os.close(slave)
    assert logger.stop() == 0


@pytest.mark.parametrize('kind', ['pipe', 'terminal'])
def test_reader_gone(beside, tmp_path, kind):
    reader, writer = os.pipe() if kind == 'pipe' else pty.openpty()
    logger, relay = beside('stdout', writer)
    os.close(reader)
    os.close(writer)
    flood_beside(relay, tmp_path, 10)
    assert logger.stop() == 0


# --- many senders ---

def test_fairness(start, tmp_path):
    """A sender that never stops does not keep another one waiting."""
    logger = start('file:5')
    logger.file(tmp_path / 'log')
    busy, quiet = logger.sender(), logger.sender(worker=1)
    stop = os.fork()
    if stop == 0:
        while True:
            busy.send(message(INFO, b'busy'))
    try:
        for i in range(20):
            quiet.send(message(INFO, b'quiet %d' % i))
            until(lambda n=i: any(f'quiet {n}' in line for line in
                                     lines_of(tmp_path / 'log')), 'quiet')
    finally:
        os.kill(stop, signal.SIGKILL)
        os.waitpid(stop, 0)
    assert logger.stop() == 0


def test_senders_come_and_go(start, tmp_path):
    logger = start('file:5')
    logger.file(tmp_path / 'log')
    first = logger.sender(PARENT, 0)
    first.send(message(INFO, b'x'))
    until(lambda: lines_of(tmp_path / 'log'), 'x')
    before = logger.fds()
    for gen in range(1000):
        sender = logger.sender(RELAY, gen)
        sender.send(message(INFO, b'x'))
        sender.close()
        if gen % 100 == 99:
            until(lambda n=gen: len(lines_of(tmp_path / 'log')) == n + 2,
                     'lines')
    until(lambda: logger.fds() == before, 'descriptors')
    assert logger.stop() == 0


def test_too_many_senders(start, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, hard), hard))
    try:
        logger = start('file:5')
        logger.file(tmp_path / 'log')
        for i in range(520):
            sender = logger.sender(RELAY, i)
            with contextlib.suppress(BrokenPipeError):  # closed already
                sender.send(message(INFO, b'x'))
        until(lambda: len(lines_of(tmp_path / 'log')) == 520, 'lines')
        assert logger.stop() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    lines = unstamped(tmp_path / 'log')
    assert sum(': x' in line for line in lines) == 512
    assert sum('no room for relay' in line for line in lines) == 8


def test_odd_messages_of_parent(simple):
    logger, relay, log = simple
    relay.send(message(INFO, b'x'))
    until(lambda: lines_of(log), 'x')
    before = logger.fds()
    logger.target(16, 0)                # no such target
    logger.tell(LOG, 0)                 # without a descriptor
    logger.tell(HELPER, 0, 0, (99, 0, 0))
    logger.tell(19, 0, 0)               # GO
    logger.tell(99)
    logger.ctl.send(b'short')
    relay.send(message(INFO, b'y'))
    until(lambda: len(lines_of(log)) == 8, 'y')
    assert logger.fds() == before
    assert logger.stop() == 0
