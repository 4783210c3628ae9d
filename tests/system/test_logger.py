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

from conftest import BUILD, NOBODY, PRIVILEGED, ROOT, SANITIZED
from lib.wait import LIMIT, until

LOGGER = BUILD / 'libexec/sallyport/logger'

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

        args = [f'format={form}', *(f'log={target}' for target in targets)]
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


def append_to(path):
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def lines_of(path):
    with open(path, 'rb') as file:
        return file.read().decode('ascii').splitlines()


def unstamped(path):
    lines = lines_of(path)
    for line in lines:
        assert re.match(STAMP, line), line
    return [re.sub(STAMP, '', line) for line in lines]


def test_lines_and_levels(start, tmp_path):
    logger = start('file:3', 'file:5,x')
    for i in range(2):
        logger.target(i, append_to(tmp_path / str(i)))
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
    logger.target(0, append_to(tmp_path / 'log'))
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
    logger.target(0, append_to(tmp_path / 'log'))
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
    logger.target(0, append_to(tmp_path / 'log'))
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


def test_signals(start, tmp_path):
    """What a terminal or a service manager sends to all is for P."""
    logger = start('file:5')
    logger.target(0, append_to(tmp_path / 'log'))
    relay = logger.sender()
    relay.send(message(INFO, b'ready'))
    until(lambda: lines_of(tmp_path / 'log'), 'ready')
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
                   signal.SIGQUIT, signal.SIGPIPE):
        os.kill(logger.process.pid, number)
    relay.send(message(INFO, b'still here'))
    assert logger.stop() == 0
    assert len(lines_of(tmp_path / 'log')) == 2


def test_reopened(start, tmp_path):
    logger = start('file:5')
    logger.target(0, append_to(tmp_path / 'old'))
    relay = logger.sender()
    relay.send(message(INFO, b'one'))
    until(lambda: lines_of(tmp_path / 'old'), 'one')
    logger.target(0, append_to(tmp_path / 'new'))
    relay.send(message(INFO, b'two'))
    assert logger.stop() == 0
    assert unstamped(tmp_path / 'old') == ['info relay[2.1]: one']
    assert unstamped(tmp_path / 'new') == ['info relay[2.1]: two']


def test_startup(start, tmp_path):
    """Plain lines on standard error until P says that all is up."""
    logger = start('file:5')
    os.kill(logger.process.pid, signal.SIGSTOP)
    logger.target(0, append_to(tmp_path / 'log'))
    logger.target(STARTUP, append_to(tmp_path / 'err'))
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
    logger.target(0, append_to(tmp_path / 'log'))
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


def flood(logger, sender, count, level=INFO):
    """Waits for room as no sender would: this one wants to be too fast."""
    for i in range(count):
        sender.send(message(level, b'%d' % i))


def test_rate(start, tmp_path):
    logger = start('file:4')
    logger.target(0, append_to(tmp_path / 'log'))
    parent, relay, other = (logger.sender(PARENT, 0), logger.sender(),
                            logger.sender(worker=1))
    flood(logger, relay, 20000)
    flood(logger, relay, 900, ERROR)            # there is room left for these
    flood(logger, relay, 20000, DEBUG)          # nobody wants these
    flood(logger, parent, 20000)                # P is not limited
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
    logger.target(0, append_to(tmp_path / 'log'))
    relay = logger.sender()
    flood(logger, relay, 20000, ERROR)
    flood(logger, relay, 5000, REPORT | NOTICE)
    flood(logger, relay, 20000, REPORT | NOTICE)
    flood(logger, relay, 100, ERROR)
    assert logger.stop() == 0
    lines = unstamped(tmp_path / 'log')
    report = [line for line in lines if line.startswith('notice relay')]
    assert report[:5000] == [f'notice relay[2.1]: {i}' for i in range(5000)]
    left_out = [re.search(r': (\d+) lines from relay.* suppressed', line)
                for line in lines]
    left_out = sum(int(match[1]) for match in left_out if match)
    written = sum('relay[2.1]: ' in line for line in lines)
    assert left_out and written + left_out == 45100


def test_lost_by_sender(start, tmp_path):
    logger = start('file:5')
    logger.target(0, append_to(tmp_path / 'log'))
    relay = logger.sender()
    relay.send(message(INFO, b'x', lost=5))
    relay.send(message(INFO, b'y', lost=7))
    assert logger.stop() == 0
    lost = [int(re.search(r'(\d+) lines lost by relay\[2\.1\]', line)[1])
            for line in unstamped(tmp_path / 'log') if ' lost ' in line]
    assert sum(lost) == 12


def test_syslog(start, tmp_path):
    path = str(tmp_path / 'log')
    syslogd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    syslogd.bind(path)
    syslogd.settimeout(LIMIT)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.connect(path)
    logger = start('syslog:3,web,local1', form='json')
    logger.target(0, client.fileno())
    relay = logger.sender()
    relay.send(message(NOTICE, b'hello\n', [(b's', b'k', b'v')]))
    relay.send(message(ERROR, b'x' * 2000))
    line = syslogd.recv(4096).decode('ascii')
    assert re.fullmatch(
        r'<%d>[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d web\[%d\]: '
        r'relay\[2\.1\]: hello\\n k=v' % (17 * 8 + 5, os.getpid()), line)
    line = syslogd.recv(4096)
    assert len(line) == 1023 and line.startswith(b'<139>')
    assert line.endswith(b'x...')

    # syslogd goes and comes: P connects the socket again on its copy
    syslogd.close()
    os.unlink(path)
    for i in range(3):
        relay.send(message(NOTICE, b'unheard %d' % i))
    relay.send(b'')
    until(lambda: drained(relay), 'all read')
    syslogd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    syslogd.bind(path)
    syslogd.settimeout(LIMIT)
    client.connect(path)
    relay.send(message(NOTICE, b'heard'))
    assert re.search(rb'<140>.* logger: 3 lines lost: .*onne',
                     syslogd.recv(4096))
    assert syslogd.recv(4096).endswith(b': heard')
    assert logger.stop() == 0


def drained(sock):
    """Has the reader taken all that was sent?  (SIOCOUTQ)"""
    return struct.unpack('i', fcntl.ioctl(sock, termios.TIOCOUTQ,
                                          b'\0' * 4))[0] == 0


def test_syslog_full(start, tmp_path):
    """A syslogd that sleeps holds nobody up."""
    path = str(tmp_path / 'log')
    syslogd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    syslogd.bind(path)
    syslogd.settimeout(LIMIT)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.connect(path)
    logger = start('syslog:5', 'file:5')
    logger.target(0, client.fileno())
    logger.target(1, append_to(tmp_path / 'file'))
    relay = logger.sender()
    flood(logger, relay, 3000)
    until(lambda: len(lines_of(tmp_path / 'file')) == 3000, 'file')
    got = []
    while not got or b'lines lost' not in got[-1]:
        got.append(syslogd.recv(4096))
    lost = int(re.search(rb': (\d+) lines lost: the target did not take',
                         got[-1])[1])
    assert len(got) - 1 + lost == 3000
    assert logger.stop() == 0


def test_file_error(start, tmp_path):
    logger = start('file:5', 'file:5')
    logger.target(0, os.open('/dev/full', os.O_WRONLY))
    logger.target(1, append_to(tmp_path / 'other'))
    relay = logger.sender()
    for i in range(5):
        relay.send(message(INFO, b'%d' % i))
    until(lambda: len(lines_of(tmp_path / 'other')) == 5, 'other')
    logger.target(0, append_to(tmp_path / 'log'))
    relay.send(message(INFO, b'room again'))
    assert logger.stop() == 0
    assert unstamped(tmp_path / 'log') == [
        'warning logger: 5 lines lost: No space left on device',
        'info relay[2.1]: room again']


def test_file_error_told_without_a_line(start, tmp_path):
    """The loss is told once there is room, not with the next line only."""
    logger = start('file:5', 'file:5')
    logger.target(0, os.open('/dev/full', os.O_WRONLY))
    logger.target(1, append_to(tmp_path / 'other'))
    relay = logger.sender()
    relay.send(message(INFO, b'x'))
    until(lambda: lines_of(tmp_path / 'other'), 'other')
    logger.target(0, append_to(tmp_path / 'log'))
    until(lambda: lines_of(tmp_path / 'log'), 'told')


def test_file_half_line(start, tmp_path):
    """A line that is written in part ends before the next one begins."""
    size = 1024 * 1024
    (tmp_path / 'log').write_bytes(b'\n' * (size - 200))
    logger = start('file:5', file_size=size)
    logger.target(0, append_to(tmp_path / 'log'))
    relay = logger.sender()
    relay.send(message(INFO, b'a'))
    relay.send(message(INFO, b'b' * 300))
    until(lambda: os.path.getsize(tmp_path / 'log') == size, 'limit')
    until(lambda: drained(relay), 'read')
    lines = lines_of(tmp_path / 'log')
    assert re.fullmatch(STAMP + r'info relay\[2\.1\]: a', lines[-2])
    assert re.fullmatch(STAMP + r'info relay\[2\.1\]: b+', lines[-1])
    os.truncate(tmp_path / 'log', 0)
    relay.send(message(INFO, b'c'))
    assert logger.stop() == 0
    lines = lines_of(tmp_path / 'log')
    assert lines[0] == ''               # the end of the b's
    assert [re.sub(STAMP, '', line) for line in lines[1:]] == [
        'warning logger: 1 lines lost: File too large',
        'info relay[2.1]: c']


def test_pipe_full(start, tmp_path):
    """A pipe that nobody reads: blocking, as a shell gives it."""
    reader, writer = os.pipe()
    logger = start('stdout:5', 'file:5')
    logger.target(0, writer)
    logger.target(1, append_to(tmp_path / 'file'))
    assert os.get_blocking(writer)
    relay = logger.sender()
    flood(logger, relay, 3000)
    until(lambda: len(lines_of(tmp_path / 'file')) == 3000, 'file')
    got = b''
    while b' lines lost' not in got:
        got += os.read(reader, 65536)
    os.close(writer)
    assert logger.stop() == 0
    while chunk := os.read(reader, 65536):
        got += chunk
    assert b'\0' not in got
    lines = got.decode('ascii').splitlines()
    lost = [int(re.search(r'logger: (\d+) lines lost', line)[1])
            for line in lines if ' lost' in line]
    assert len(lines) - len(lost) + sum(lost) == 3000


def test_pipe_race(start, tmp_path):
    """Another writer fills the pipe all the time; nobody else is held up."""
    reader, writer = os.pipe()
    logger = start('stdout:5', 'file:5')
    logger.target(0, writer)
    logger.target(1, append_to(tmp_path / 'file'))
    relay = logger.sender()
    other = subprocess.Popen(['cat', '/dev/zero'], stdout=writer)
    drain = subprocess.Popen(['head', '-c', '50000000'], stdin=reader,
                             stdout=subprocess.DEVNULL)
    try:
        for i in range(2000):
            relay.send(message(INFO, b'%d' % i))
        until(lambda: len(lines_of(tmp_path / 'file')) == 2000, 'file')
    finally:
        for process in (other, drain):
            process.kill()
            process.wait()
    os.close(reader)
    assert logger.stop() == 0


def test_terminal_stopped(start, tmp_path):
    """Output stopped by ^S, room for less than a line: nobody is held up."""
    master, slave = pty.openpty()
    logger = start('stderr:5', 'file:5')
    logger.target(0, slave)
    logger.target(1, append_to(tmp_path / 'file'))
    relay = logger.sender()
    for i in range(200):
        relay.send(message(INFO, b'%d ' % i + b'x' * 800))
    until(lambda: len(lines_of(tmp_path / 'file')) == 200, 'file')
    assert logger.process.poll() is None

    got = b''
    while b' lines lost' not in got:
        got += os.read(master, 65536)
    lines = got.replace(b'\r', b'').split(b'\n')
    lost = int(re.search(rb' (\d+) lines lost', got)[1])
    whole = [line for line in lines if re.fullmatch(
        STAMP.encode() + rb'info relay\[2\.1\]: \d+ x{800}', line)]
    # a line that lacked nothing but its newline was counted as lost
    assert len(whole) + lost in (200, 201)
    assert logger.stop() == 0


def test_stream_socket(start):
    """Standard output may be a socket, as under systemd."""
    ours, theirs = socket.socketpair()
    logger = start('stdout:5')
    logger.target(0, theirs.fileno())
    relay = logger.sender()
    flood(logger, relay, 3000)
    got = b''
    while b' lines lost' not in got:
        got += ours.recv(65536)
    theirs.close()
    assert logger.stop() == 0
    while chunk := ours.recv(65536):
        got += chunk
    lines = got.decode('ascii').splitlines()
    lost = [int(re.search(r'logger: (\d+) lines lost', line)[1])
            for line in lines if ' lost' in line]
    assert len(lines) - len(lost) + sum(lost) == 3000


def test_reader_gone(start, tmp_path):
    reader, writer = os.pipe()
    logger = start('stdout:5', 'file:5')
    logger.target(0, writer)
    logger.target(1, append_to(tmp_path / 'file'))
    os.close(reader)
    os.close(writer)
    relay = logger.sender()
    relay.send(message(INFO, b'x'))
    assert logger.stop() == 0
    assert len(lines_of(tmp_path / 'file')) == 1


def test_fairness(start, tmp_path):
    """A sender that never stops does not keep another one waiting."""
    logger = start('file:5')
    logger.target(0, append_to(tmp_path / 'log'))
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
    logger.target(0, append_to(tmp_path / 'log'))
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
        logger.target(0, append_to(tmp_path / 'log'))
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


def test_odd_messages_of_parent(start, tmp_path):
    logger = start('file:5')
    logger.target(0, append_to(tmp_path / 'log'))
    relay = logger.sender()
    relay.send(message(INFO, b'x'))
    until(lambda: lines_of(tmp_path / 'log'), 'x')
    before = logger.fds()
    logger.target(16, 0)                # no such target
    logger.tell(LOG, 0)                 # without a descriptor
    logger.tell(HELPER, 0, 0, (99, 0, 0))
    logger.tell(19, 0, 0)               # GO
    logger.tell(99)
    logger.ctl.send(b'short')
    relay.send(message(INFO, b'y'))
    until(lambda: len(lines_of(tmp_path / 'log')) == 8, 'y')
    assert logger.fds() == before
    assert logger.stop() == 0
