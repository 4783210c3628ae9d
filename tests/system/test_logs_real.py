"""Logs with the programs that have to do with them: logrotate, rsyslogd,
journald; and with disks, pipes and terminals that fail."""
import errno
import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import termios

import pytest

from lib import net, peers
from lib.syslog import Dev
from lib.wait import LIMIT, until

pytestmark = pytest.mark.root

LEVELS = ['off', 'error', 'warning', 'notice', 'info', 'debug']
FACILITIES = ['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr',
              'news', 'uucp', 'cron', 'authpriv', 'ftp',
              *(f'local{n}' for n in range(8))]
F_SETPIPE_SZ = 1031


@pytest.fixture
def echo(box):
    return box.server(peers.echo)


def serve(box, daemon, count=10):
    """So many sessions, each of which the log has seen."""
    since = daemon.mark()
    for _ in range(count):
        assert box.served()
    daemon.session(since, count)


def read_lines(*paths):
    """All of them whole, and each an object."""
    text = b''.join(path.read_bytes() for path in paths)
    assert text.endswith(b'\n')
    return [json.loads(line) for line in text.splitlines()]


def accounted(daemon, entries, level):
    """Of a target's lines, those lost are counted: with them they are as
    many as those of the test's own pipe, which loses none."""
    lost = [int(match[1]) for e in entries if
            (match := re.match(r'(\d+) lines lost: ', e['msg']))]
    wanted = [e for e in daemon.lines if LEVELS.index(e['level']) <= level]
    assert len(entries) - len(lost) + sum(lost) == len(wanted)
    return sum(lost)


def inside(daemon, path):
    """A path in sallyport's mount namespace."""
    return f'/proc/{daemon.pid}/root{path}'


# --- logrotate ---

def rotate(box, path, *words):
    conf = box.tmp / 'logrotate.conf'
    conf.write_text(f'{path} {{\n  rotate 9\n  nocompress\n  ' +
                    '\n  '.join(words) + '\n}\n')
    conf.chmod(0o644)
    subprocess.run(['logrotate', '-f', '-s', box.tmp / 'logrotate.state',
                    conf], check=True, timeout=LIMIT)


@pytest.mark.parametrize('how', ['nocreate', 'create 0640 root adm'])
def test_logrotate_renames(box, echo, how):
    """With a HUP in postrotate: no line is lost, none is torn."""
    path, pid = box.tmp / 'log', box.tmp / 'pid'
    daemon = box.forward('-P', pid, '-L', f'file:4,{path}')
    for gen in range(2, 6):
        serve(box, daemon)
        rotate(box, path, how, 'postrotate', f'kill -HUP $(cat {pid})',
               'endscript')
        assert box.served()             # while it reopens
        daemon.running(gen)
    serve(box, daemon)
    assert daemon.stop() == 0
    files = [box.tmp / f'log.{n}' for n in range(4, 0, -1)] + [path]
    for file in files:
        assert read_lines(file)
    assert accounted(daemon, read_lines(*files), 4) == 0
    assert path.stat().st_mode & 0o777 == (
        0o600 if how == 'nocreate' else 0o640)


def test_logrotate_copies(box, echo):
    """copytruncate: what comes next stands at the beginning."""
    path = box.tmp / 'log'
    daemon = box.forward('-L', f'file:4,{path}')
    seen = []
    for _ in range(3):
        serve(box, daemon)
        until(lambda: len(seen) + len(path.read_bytes().splitlines()) ==
              len([e for e in daemon.lines if e['level'] != 'debug']),
              'the file is as far as the pipe')
        rotate(box, path, 'copytruncate')
        seen += read_lines(box.tmp / 'log.1')
        assert path.stat().st_size == 0
    serve(box, daemon)
    assert daemon.stop() == 0
    assert accounted(daemon, seen + read_lines(path), 4) == 0


# --- a log file that can't be opened again, or is something else now ---

def reopen(daemon):
    """Its number, and what was said of the log."""
    since = daemon.mark()
    daemon.reload()
    found = daemon.find('^cannot open the log', since)
    return found[0]['msg'] if found else ''


def test_directory_is_gone(box, echo):
    """The file without a name goes on; with the directory all is well."""
    path = box.tmp / 'dir/log'
    path.parent.mkdir()
    daemon = box.forward('-L', f'file:4,{path}')
    log = os.open(path, os.O_RDONLY)
    path.unlink()
    path.parent.rmdir()
    assert 'No such file' in reopen(daemon)
    serve(box, daemon)
    path.parent.mkdir()
    assert reopen(daemon) == ''
    serve(box, daemon)
    assert daemon.stop() == 0
    with open(log, 'rb') as file:
        old = [json.loads(line) for line in file]
    assert sum(e['msg'] == 'session' for e in old) == 10
    assert accounted(daemon, old + read_lines(path), 4) == 0


def test_symbolic_link(box, echo):
    path, target = box.tmp / 'log', box.tmp / 'elsewhere'
    daemon = box.forward('-L', f'file:4,{path}')
    path.rename(box.tmp / 'old')
    path.symlink_to(target)
    assert reopen(daemon) == ''
    serve(box, daemon)
    assert daemon.stop() == 0
    assert accounted(daemon, read_lines(box.tmp / 'old', target), 4) == 0


def test_fifo_without_reader(box, echo):
    """Not waited for: the file goes on."""
    path = box.tmp / 'log'
    daemon = box.forward('-L', f'file:4,{path}')
    path.rename(box.tmp / 'old')
    os.mkfifo(path)
    assert 'No such device' in reopen(daemon)
    serve(box, daemon)
    assert daemon.stop() == 0
    assert accounted(daemon, read_lines(box.tmp / 'old'), 4) == 0


def test_fifo_that_nobody_reads(box, echo):
    """What fits is there, the rest is counted, and told when there is
    room."""
    path = box.tmp / 'log'
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, F_SETPIPE_SZ, 4096)
    daemon = box.forward('-L', f'file:4,{path}')
    serve(box, daemon, 100)
    assert daemon.reload() == 2
    got = b''

    def told():
        nonlocal got
        try:
            got += os.read(reader, 65536)
        except BlockingIOError:
            pass
        return b'lines lost: the target did not take them' in got

    until(told, 'the number of lost lines')
    fcntl.fcntl(reader, F_SETPIPE_SZ, 1 << 20)
    serve(box, daemon)
    assert daemon.stop() == 0
    while chunk := os.read(reader, 65536):
        got += chunk
    os.close(reader)
    entries = [json.loads(line) for line in got.splitlines()]
    assert accounted(daemon, entries, 4) > 50


# --- disks ---

def broken_lines(data):
    """The objects, and how many lines are none."""
    entries, broken = [], 0
    for line in data.splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            broken += 1
    return entries, broken


@pytest.mark.parametrize('hup', [False, True])
def test_full_disk(box, echo, hup):
    """A line that was half written ends before the next one, even if the
    file was opened again meanwhile; the loss is told when there is room."""
    disk = box.tmp / 'disk'
    disk.mkdir()

    def mount():
        net.own_mounts()
        net.tmpfs(disk, '32k')

    daemon = box.forward('-L', f'file:4,{disk}/log', preexec=mount)
    log = os.open(inside(daemon, f'{disk}/log'), os.O_RDONLY)

    def text():
        return os.pread(log, 1 << 20, 0)

    with open(inside(daemon, f'{disk}/ballast'), 'wb', 0) as ballast:
        with pytest.raises(OSError) as full:
            while True:
                ballast.write(bytes(4096))
        assert full.value.errno == errno.ENOSPC
        serve(box, daemon, 100)
        if hup:
            daemon.reload()
            daemon.wait_gone(1)
        ballast.truncate(0)
    until(lambda: b'lines lost: No space left on device' in text(),
          'the loss')
    serve(box, daemon)
    assert daemon.stop() == 0
    entries, broken = broken_lines(text())
    os.close(log)
    assert broken == 1
    assert accounted(daemon, entries, 4) > 50


def test_disk_becomes_read_only(box, echo):
    """As ext4 does when it finds an error."""
    disk, image = box.tmp / 'disk', box.tmp / 'image'
    disk.mkdir()
    with open(image, 'wb') as file:
        file.truncate(4 << 20)
    subprocess.run(['mkfs.ext4', '-q', '-F', '-O', '^has_journal', image],
                   check=True, timeout=LIMIT)

    def mount():
        net.own_mounts()
        subprocess.run(['mount', '-o', 'loop,errors=remount-ro', image, disk],
                       check=True, timeout=LIMIT)

    daemon = box.forward('-L', f'file:4,{disk}/log', preexec=mount)
    serve(box, daemon)
    with open(inside(daemon, f'{disk}/log'), 'rb') as old:
        number = os.fstat(old.fileno()).st_dev
        device = os.path.basename(os.readlink(
            f'/sys/dev/block/{os.major(number)}:{os.minor(number)}'))
        with open(f'/sys/fs/ext4/{device}/trigger_fs_error', 'w',
                  encoding='ascii') as trigger:
            trigger.write('a test')
        serve(box, daemon, 50)
        assert 'Read-only file system' in reopen(daemon)
        # an administrator takes the disk away
        subprocess.run(['nsenter', '-t', str(daemon.pid), '-m', 'umount',
                        '-l', disk], check=True, timeout=LIMIT)
        assert reopen(daemon) == ''
        until((disk / 'log').read_bytes, 'a line')
        serve(box, daemon)
        entries = [json.loads(line) for line in old]
    assert daemon.stop() == 0
    more = read_lines(disk / 'log')
    assert 'lines lost: Read-only file system' in more[0]['msg']
    assert accounted(daemon, entries + more, 4) > 50


# --- terminals ---

def test_closed_terminal(box, echo):
    """What a terminal does when it is closed is a SIGHUP like any other; its
    lines are lost, the connections are not."""
    master, slave = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(2, termios.TIOCSCTTY, 0)

    daemon = box.forward('-L', 'stderr:4', stderr=slave,
                         preexec=own_terminal)
    os.close(slave)
    client = box.connect()
    assert peers.ask(client)
    assert b'is running' in os.read(master, 65536)
    os.close(master)
    daemon.wait('^SIGHUP$')
    daemon.running(2)
    serve(box, daemon, 20)
    assert peers.ask(client)
    assert daemon.reload() == 3


# --- rsyslog ---

class Rsyslogd:
    """Debian's, with a configuration of its own, at sallyport's /dev/log."""

    def __init__(self, box, dev):
        self.box, self.dev, self.popen = box, dev, None
        self.messages = box.tmp / 'messages'
        self.conf = box.tmp / 'rsyslog.conf'
        self.conf.write_text(f'''global(workDirectory="{box.tmp}")
module(load="imuxsock" SysSock.Name="{dev.log}")
template(name="line" type="string" string="%syslogfacility-text%.%\
syslogseverity-text% %programname%[%procid%]:%msg%\\n")
action(type="omfile" file="{self.messages}" template="line")
''')

    def socket(self):
        try:
            return os.stat(self.dev.log).st_ctime_ns
        except FileNotFoundError:
            return None

    def start(self):
        old = self.socket()
        self.popen = self.box.program('rsyslogd', '-n', '-f', self.conf, '-i',
                                      self.box.tmp / 'rsyslogd.pid')
        until(lambda: self.socket() not in (None, old), "rsyslogd's socket")

    def stop(self, sig=signal.SIGTERM):
        self.popen.send_signal(sig)
        self.popen.wait(LIMIT)

    def lines(self):
        try:
            return self.messages.read_text(encoding='ascii').splitlines()
        except FileNotFoundError:
            return []

    def find(self, pattern):
        return [m for line in self.lines() if (m := re.search(pattern, line))]

    def wait(self, pattern, count=1):
        until(lambda: len(self.find(pattern)) >= count,
              f'{count} of {pattern}')
        return self.find(pattern)[count - 1]


@pytest.fixture
def dev(box):
    return Dev(box.tmp / 'dev')


@pytest.fixture
def rsyslogd(box, dev):
    daemon = Rsyslogd(box, dev)
    daemon.start()
    return daemon


def test_facilities_and_idents(box, dev, rsyslogd):
    """All names of syslog(3), as rsyslogd understands them."""
    pids = {}
    for name in FACILITIES + ['security']:
        daemon = box.forward('-L', f'syslog:3,me-{name},{name}', workers=1,
                             preexec=dev.mount)
        pids[name] = daemon.pid
        assert daemon.stop() == 0
    for name, pid in pids.items():
        facility = 'auth' if name == 'security' else name
        rsyslogd.wait(rf'^{facility}\.notice me-{name}\[{pid}\]: sallyport: '
                      r'generation 1 is running$')
        rsyslogd.wait(rf'^{facility}\.notice me-{name}\[{pid}\]: sallyport: '
                      r'stopped$')
    assert not [line for line in rsyslogd.lines() if ' me-' not in line and
                ' rsyslogd' not in line]


def test_severities(box, dev, rsyslogd):
    daemon = box.start('-L', 'syslog:5', preexec=dev.mount,
                       config='''listen 127.0.0.1 81 { remote: ::1 8080; }
        listen 127.0.0.1 82 { remote: localhost 8080; }''')
    assert peers.cut_off()              # a warning
    daemon.reload_refused('listen', r':1:\d+')
    daemon.deaths_expected = True
    assert daemon.stop() == 0
    words = {'error': 'err', 'warning': 'warning', 'notice': 'notice',
             'info': 'info', 'debug': 'debug'}
    rsyslogd.wait('sallyport: stopped$')
    for level, word in words.items():
        entries = [e for e in daemon.lines if e['level'] == level]
        assert entries, level
        assert len(rsyslogd.find(rf'^daemon\.{word} sallyport\[\d+\]: ')) \
            == len(entries)


@pytest.mark.parametrize('sig', ['SIGTERM', 'SIGKILL'])
def test_rsyslogd_restarts(box, dev, rsyslogd, echo, sig):
    """It is found again, and what it has missed is counted."""
    daemon = box.forward('-L', 'syslog:4', preexec=dev.mount)
    serve(box, daemon)
    rsyslogd.wait(': session ', 10)
    rsyslogd.stop(getattr(signal, sig))
    serve(box, daemon, 7)
    rsyslogd.start()
    lost = rsyslogd.wait(r'daemon\.warning sallyport\[\d+\]: logger: '
                         r'(\d+) lines lost: Connection refused$')
    assert int(lost[1]) == 7
    serve(box, daemon)
    rsyslogd.wait(': session ', 20)
    assert len(rsyslogd.find(': session ')) == 20


def test_rsyslogd_restarts_under_load(box, dev, rsyslogd, echo):
    """The same while lines are written."""
    daemon = box.forward('-L', 'syslog:4', preexec=dev.mount)
    for number in range(1, 4):
        serve(box, daemon)
        rsyslogd.stop()
        serve(box, daemon)
        rsyslogd.start()
        until(lambda n=number: box.served() and
              len(rsyslogd.find('lines lost: ')) >= n, 'the loss')


# --- journald ---

@pytest.fixture
def journal(box, dev):
    """systemd-journald, with a /run of its own; dev/log leads to it."""
    class Journal:
        run = box.tmp / 'run'

        def mount(self):
            dev.mount()
            net.bind('/run', self.run)
            net.bind('/etc/machine-id', box.tmp / 'machine-id')
            net.bind('/etc/systemd/journald.conf', box.tmp / 'journald.conf')

        def entries(self, **wanted):
            found = subprocess.run(
                ['journalctl', '-D', self.run / 'log/journal', '-o', 'json',
                 '--no-pager', '-q'], check=True, timeout=LIMIT,
                stdout=subprocess.PIPE)
            return [e for e in map(json.loads, found.stdout.splitlines())
                    if all(e.get(k) == v for k, v in wanted.items())]

        def wait(self, text, **wanted):
            def found():
                return [e for e in self.entries(**wanted)
                        if text in e['MESSAGE']]
            return until(found, f'{text} {wanted}')[0]

    made = Journal()
    for name in ('log/journal', 'systemd/journal'):
        (made.run / name).mkdir(parents=True)
    (box.tmp / 'machine-id').write_text('5a' * 16 + '\n')
    (box.tmp / 'journald.conf').write_text(
        '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\nReadKMsg=no\n'
        'Audit=no\nForwardToWall=no\n')
    box.program('/lib/systemd/systemd-journald', preexec_fn=made.mount)
    socket = made.run / 'systemd/journal/dev-log'
    until(socket.exists, "journald's socket")
    dev.log.symlink_to(socket)
    return made


def test_journald_by_dev_log(box, dev, journal, echo):
    daemon = box.forward('-L', 'syslog:4,front,local3', preexec=dev.mount)
    serve(box, daemon)
    entry = journal.wait('relay[1.', SYSLOG_IDENTIFIER='front')
    assert entry['SYSLOG_FACILITY'] == '19'
    assert entry['SYSLOG_PID'] == str(daemon.pid)
    assert entry['_TRANSPORT'] == 'syslog'
    assert journal.wait(': session ', SYSLOG_IDENTIFIER='front',
                        PRIORITY='6')
    assert journal.wait('generation 1 is running', SYSLOG_IDENTIFIER='front',
                        PRIORITY='5')


def test_journald_by_stdout(box, journal, echo):
    """As a unit's standard output: each line is one entry."""
    box.program('systemd-cat', '-t', 'unit', *box.command(
        '-D', '-l', '127.0.0.1', '-p', 81, '-r', '127.0.0.1', '-o', 8080,
        '-L', 'stdout:4'), preexec_fn=journal.mount)
    entry = journal.wait('generation 1 is running', SYSLOG_IDENTIFIER='unit')
    assert entry['_TRANSPORT'] == 'stdout'
    assert re.fullmatch(r'\d{4}-\S+ notice sallyport: generation 1 is '
                        'running', entry['MESSAGE'])
    for _ in range(20):
        assert box.served()
    until(lambda: sum(': session ' in e['MESSAGE'] for e in journal.entries(
        SYSLOG_IDENTIFIER='unit')) == 20, '20 sessions')
