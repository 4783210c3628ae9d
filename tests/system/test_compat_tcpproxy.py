"""The command tcpproxy: what spreadspace's tcpproxy(8) did, row by row (S0-NN
of the list of features, in the names of the tests), with real traffic."""
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import threading

import pytest

from lib import net, peers, proc
from lib.wait import LIMIT, until

pytestmark = pytest.mark.root

STAMP = (r'(Mon|Tue|Wed|Thu|Fri|Sat|Sun) '
         r'(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) '
         r'[ 123]\d \d\d:\d\d:\d\d \d{4} ')
# a relay that is just being started dies of the SIGTERM that ends it all
DEATH = r'(killed by|died of) signal (?!15$)|exited with status'
ONE = ['-l', '127.0.0.1', '-p', '81', '-r', '127.0.0.1', '-o', '8080']


def command(box):
    return str(box.tree.top / 'usr/sbin/tcpproxy')


def parse(text):
    """Lines of a log as (level, text); each is in the old form."""
    lines = []
    for line in text.splitlines():
        match = re.fullmatch(f'{STAMP}(ERROR|WARNING|NOTICE|INFO|DEBUG): (.*)',
                             line)
        assert match, line
        lines.append((match[3], match[4]))
    return lines


def run(box, *args, drop=True, **more):
    """To its end."""
    drops = ['-u', 'nobody', '-C', box.jail] if drop else []
    return subprocess.run(
        [command(box), *map(str, [*drops, *args])], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=box.tmp,
        check=False, timeout=LIMIT, **more)


def refused(box, *args, drop=True, **more):
    """The lines of its log; it does not start."""
    done = run(box, '-D', '-L', 'stderr:4', *args, drop=drop, **more)
    assert done.returncode == 255, done
    assert not done.stdout
    return parse(done.stderr)


class Front:
    """tcpproxy -D with a log of all levels in a file."""

    def __init__(self, box, *args, config=None, drop=True, level=5,
                 stdout=subprocess.DEVNULL, **more):
        self.log = box.tmp / 'tcpproxy.test.log'
        self.conf = box.tmp / 'tcpproxy.conf'
        if config is not None:
            self.conf.write_text(config)
            args = ['-c', self.conf, *args]
        words = [command(box), '-D', '-L', f'file:{level},{self.log}',
                 *(['-u', 'nobody', '-C', box.jail] if drop else []), *args]
        self.popen = subprocess.Popen(
            list(map(str, words)), stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=subprocess.STDOUT if stdout is not None else None,
            cwd=box.tmp, **more)
        self.pid = self.popen.pid

    def lines(self):
        return parse(self.log.read_text()) if self.log.exists() else []

    def mark(self):
        return len(self.lines())

    def find(self, level, text, since=0):
        return [match for line in self.lines()[since:] if line[0] == level
                and (match := re.fullmatch(text, line[1]))]

    def wait(self, level, text, since=0, count=1):
        """The count-th such line, as a match."""
        def found():
            assert self.popen.poll() is None or self.find(level, text, since), \
                f'no {text!r}: {self.lines()}'
            matches = self.find(level, text, since)
            return matches[count - 1] if len(matches) >= count else None
        return until(found, f'{level}: {text}')

    def running(self):
        self.wait('INFO', 'entering main loop')
        return self

    def kill(self, sig):
        os.kill(self.pid, sig)

    def reload(self, text=None):
        """When it was read; where its lines begin."""
        since = self.mark()
        if text is not None:
            self.conf.write_text(text)
        self.kill(signal.SIGHUP)
        self.wait('NOTICE', 'SIG-Hup caught', since)
        return since

    def server(self):
        """sallyport's parent process."""
        return next(p for p in proc.children(self.pid)
                    if p.title.startswith('sallyport: parent'))

    def role(self, role):
        return [p for p in proc.children(self.server().pid) if p.role == role]

    def translators(self):
        return [p for p in proc.children(self.pid)
                if not p.title.startswith('sallyport: ')]

    def finish(self):
        if self.popen.poll() is None:
            self.kill(signal.SIGTERM)
            self.popen.wait(LIMIT)
        assert not [line for line in self.lines()
                    if re.search(DEATH, line[1])]


@pytest.fixture
def old(box):
    fronts = []

    def start(*args, ready=True, **more):
        front = Front(box, *args, **more)
        fronts.append(front)
        return front.running() if ready else front
    yield start
    for front in fronts:
        front.finish()


def translation(box, text=None, *args):
    """(status, configuration, log) of --print-config."""
    if text is not None:
        path = box.tmp / 'tcpproxy.conf'
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        args = ('-c', path, *args)
    done = run(box, '--print-config', *args)
    return done.returncode, done.stdout, parse(done.stderr)


# --- the command line ---

def test_s0_01_help(box):
    for words in (['-h'], ['--help'], ['-D', '-h', '--nonsense']):
        done = run(box, *words, drop=False)
        assert (done.returncode, done.stderr) == (0, '')
        assert done.stdout.startswith('usage: tcpproxy')
    done = run(box, '--nonsense', '-h', drop=False)
    assert done.returncode == 1
    assert done.stderr == 'syntax error near: --nonsense\n\n'
    assert done.stdout.startswith('usage: tcpproxy')


def test_callers_descriptors_are_dropped(box, old):
    """What the shell had open is neither the front's nor its child's."""
    with open(box.tmp / 'secret', 'w+b') as file:
        front = old(*ONE, pass_fds=[file.fileno()])
        for pid in (front.pid, *(p.pid for p in proc.children(front.pid))):
            assert file.name not in proc.Process(pid).fds().values()


@pytest.mark.parametrize('owner, mode', [(1234, 0o644), (0, 0o666),
                                         (0, 0o664)])
def test_configuration_of_others(box, owner, mode):
    path = box.tmp / 'tcpproxy.conf'
    path.write_text('listen * 81 { remote: 127.0.0.1 8080; };\n')
    os.chown(path, owner, 0)
    path.chmod(mode)
    done = run(box, '-D', '-L', 'stdout:1', '-c', path)
    assert done.returncode == 255
    assert "expected a file of root's" in done.stdout


def test_s0_02_version(box):
    for word in ('-v', '--version'):
        done = run(box, word, drop=False)
        assert (done.returncode, done.stderr) == (0, '')
        assert re.fullmatch(r'tcpproxy version .*\n'
                            r'built on .*, using (GCC \d+\.\d+\.\d+|CLANG .*)'
                            r'\n', done.stdout)


@pytest.mark.parametrize('words, position', [
    (['file'], 1), (['-D', 'file'], 2), (['-D', '-D', '--debu'], 3),
    (['-DU'], 1), (['--log=stdout:3'], 1), (['-u'], 1), (['-u', '-D'], 1),
    (['-b'], 1), (['-D', '-t', 'IPV4'], 3), (['-R', 'inet'], 2),
    (['-t', '4', '-R', '6', '--'], 5)])
def test_s0_01_exit_status_is_the_position(box, words, position):
    done = run(box, *words, drop=False)
    assert done.returncode == position
    assert done.stderr == f'syntax error near: {words[position - 1]}\n\n'
    assert done.stdout.startswith('usage: tcpproxy')


@pytest.fixture(autouse=True)
def no_daemon_is_left(box):
    """Whatever has become of the test."""
    yield
    for process in proc.children(os.getpid()):
        if process.title.startswith(command(box)):
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
            until(lambda: not box.orphans(), 'the end of sallyport')


def daemon(box, *args, one=tuple(ONE)):
    """Its pid, when the command has returned."""
    done = run(box, '-P', 'pid', '-L', 'file:5,log', *one, *args)
    assert done.returncode == 0, done
    return int((box.tmp / 'pid').read_text()), done


def test_s0_03_daemon(box):
    box.server(peers.echo)
    os.umask(0o022)
    pid, done = daemon(box)
    try:
        assert (done.stdout, done.stderr) == ('', '')
        assert box.served()
        fields = proc.stat(pid)
        assert int(fields[1]) == os.getpid()    # which stands for init
        assert int(fields[3]) not in (pid, os.getsid(0))
        assert os.readlink(f'/proc/{pid}/cwd') == '/'
        assert [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in range(3)] == \
            ['/dev/null'] * 3
        with open(f'/proc/{pid}/status', encoding='ascii') as file:
            assert 'Umask:\t0027\n' in file.read()
        log = parse((box.tmp / 'log').read_text())
        assert re.fullmatch(r'running in background now \(old pid: \d+\)',
                            next(t for level, t in log if level == 'INFO'))
    finally:
        os.kill(pid, signal.SIGTERM)
        assert os.waitpid(pid, 0)[1] == signal.SIGTERM


def pipes(process):
    try:
        return sum(name.startswith('pipe:')
                   for name in process.fds().values())
    except FileNotFoundError:
        return None             # just closed


def test_s0_03_daemon_leaves_standard_output(box):
    """What is logged before it becomes one is seen; then the caller gets
    the end of the file."""
    pid, done = daemon(box, '-L', 'stdout:3', '-L', 'stderr:1')
    parent, = [p for p in proc.children(pid) if p.role == 'parent']
    logger, = [p for p in proc.children(parent.pid) if p.role == 'logger']
    # nobody reads there any more: the logger gives it up, too
    os.kill(pid, signal.SIGUSR1)
    until(lambda: pipes(logger) == 1, 'end of a pipe')
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    assert parse(done.stdout) == [
        ('NOTICE', 'just started...'),
        ('NOTICE', 'listening on: 127.0.0.1:81 (remote: 127.0.0.1:8080)'),
        ('NOTICE', f'we are in chroot jail ({box.jail}) now'),
        ('NOTICE', 'dropped privileges to nobody:nogroup')]
    assert not done.stderr


def test_s0_03_errors_reach_the_caller(box):
    box.listen(port=81)
    done = run(box, '-L', 'file:1,log', *ONE)
    assert (done.returncode, done.stdout, done.stderr) == (255, '', '')
    assert ('ERROR', 'Error on bind(127.0.0.1:81): Address already in use') \
        in parse((box.tmp / 'log').read_text())
    done = run(box, '-P', 'pid', '-L', 'stderr:3', *ONE)
    assert done.returncode == 255
    assert ('ERROR', 'Error on bind(127.0.0.1:81): Address already in use') \
        in parse(done.stderr)
    assert not (box.tmp / 'pid').exists() or \
        (box.tmp / 'pid').read_text() == ''


def test_s0_03_foreground(old, box):
    box.server(peers.echo)
    front = old(*ONE)
    assert box.served()
    assert front.popen.poll() is None


def test_s0_04_user(old, box):
    front = old(*ONE)
    front.wait('NOTICE', 'dropped privileges to nobody:nogroup')
    relay, = front.role('relay')
    assert relay.status('Uid') == ['65534'] * 4
    assert refused(box, '-u', 'nosuch', *ONE, drop=False)[-1] == \
        ('ERROR', 'unknown user nosuch')
    assert refused(box, '-u', '65534', *ONE, drop=False)[-1] == \
        ('ERROR', 'unknown user 65534')


@pytest.mark.parametrize('words', [[], ['-u', 'root']])
def test_s0_04_nothing_runs_as_root(old, box, words):
    box.server(peers.echo)
    front = old(*words, *ONE, drop=False)
    assert box.served()
    relay, = front.role('relay')
    assert '0' not in relay.status('Uid')
    assert not front.find('NOTICE', 'dropped.*')


def test_s0_04_ordinary_user(box):
    """As for any program, the drop fails."""
    box.tmp.chmod(0o777)
    done = subprocess.run(
        ['setpriv', '--reuid', '65534', '--clear-groups', command(box), '-D',
         '-L', 'stderr:3', '-u', 'nobody', *ONE], capture_output=True,
        text=True, timeout=LIMIT, check=False)
    assert done.returncode == 255
    assert parse(done.stderr)[-1] == \
        ('ERROR', "setgid('nogroup') failed: Operation not permitted")


def test_s0_05_group(old, box):
    front = old('-g', 'daemon', *ONE)
    front.wait('NOTICE', 'dropped privileges to nobody:daemon')
    relay, = front.role('relay')
    assert relay.status('Gid') == ['1'] * 4
    assert refused(box, '-g', 'nosuch', *ONE)[-1] == \
        ('ERROR', 'unknown group nosuch')
    front.finish()
    old('-g', 'nosuch', *ONE, drop=False)


def test_s0_06_chroot(old, box):
    front = old(*ONE)
    front.wait('NOTICE', re.escape(f'we are in chroot jail ({box.jail}) now'))
    relay, = front.role('relay')
    assert os.readlink(relay.path('root')) == str(box.jail)
    for jail, why in (('/nonexistent', 'No such file or directory'),
                      ('/etc/passwd', 'Not a directory')):
        assert refused(box, '-C', jail, *ONE)[-1] == \
            ('ERROR', f"can't chroot to {jail}: {why}")
    done = subprocess.run(
        ['setpriv', '--reuid', '65534', '--clear-groups', command(box), '-D',
         '-L', 'stderr:3', '-C', '/', *ONE], capture_output=True,
        text=True, timeout=LIMIT, check=False)
    assert done.returncode == 255
    assert parse(done.stderr)[-1] == ('ERROR', 'this program has to be run as '
                                      'root in order to run in a chroot')


def test_s0_06_jail_of_somebody_else(old, box):
    """Where that is no jail, a better one."""
    os.chown(box.jail, 65534, 65534)
    front = old(*ONE)
    assert front.find('WARNING', f"{box.jail} is not root's, .*")
    relay, = front.role('relay')
    assert os.readlink(relay.path('root')) == str(box.tree.libexec / 'empty')


def test_s0_06_reload_in_the_jail(old, box):
    """The file of this path in the jail counts; a link does not lead out."""
    box.server(peers.echo)
    stanza = 'listen 127.0.0.1 {} {{ remote: 127.0.0.1 8080; }};\n'
    front = old(config=stanza.format(81))
    inside = box.jail / str(front.conf)[1:]
    inside.parent.mkdir(parents=True)
    inside.write_text(stanza.format(82))
    since = front.reload(stanza.format(83))
    front.wait('NOTICE', r'listening on: 127.0.0.1:82 \(.*', since)
    assert box.served(port=82)
    inside.unlink()
    inside.symlink_to('/etc/passwd')        # of the jail: there is none
    since = front.reload()
    front.wait('NOTICE', r'listening on: 127.0.0.1:83 \(.*', since)
    assert box.served(port=83)


def test_s0_06_reload_of_a_relative_path(box):
    """In a daemon, which is in another directory."""
    stanza = 'listen 127.0.0.1 {} {{ remote: 127.0.0.1 8080; }};\n'
    (box.tmp / 'my.conf').write_text(stanza.format(81))
    pid, _ = daemon(box, '-c', 'my.conf', one=())
    try:
        (box.tmp / 'my.conf').write_text(stanza.format(82))
        os.kill(pid, signal.SIGHUP)
        until(lambda: listens(82), 'the new listener')
        assert ('NOTICE', 're-reading config file: my.conf') in \
            parse((box.tmp / 'log').read_text())
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def test_s0_07_pid_file(old, box):
    path = box.tmp / 'pid'
    path.write_text('something longer than any number')
    front = old('-P', path, *ONE)
    assert path.read_text() == str(front.pid)
    front.finish()
    assert path.read_text() == str(front.pid)
    # one that cannot start leaves it alone
    box.listen(port=81)
    refused(box, '-P', path, *ONE)
    assert path.read_text() == str(front.pid)


def test_s0_07_no_pid_file(old):
    front = old('-P', '/nonexistent/pid', *ONE)
    assert front.find('WARNING', 'unable to open pid file: '
                      'No such file or directory')


# --- the log ---

@pytest.mark.parametrize('value, status, why', [
    ('console:3', 253, "unknown log target: 'console:3', exitting"),
    ('Stdout:3', 253, "unknown log target: 'Stdout:3', exitting"),
    ('stdout:10', 255, "syntax error near: 'stdout:10', exitting"),
    ('stdout:', 255, "syntax error near: 'stdout:', exitting"),
    ('stdout', 255, "syntax error near: 'stdout', exitting"),
    ('stdout:x', 255, "syntax error near: 'stdout:x', exitting"),
    ('syslog:3,', 255, "syntax error near: 'syslog:3,', exitting"),
    ('syslog:3,a,', 255, "syntax error near: 'syslog:3,a,', exitting"),
    ('syslog:3,,daemon', 255,
     "syntax error near: 'syslog:3,,daemon', exitting"),
    ('syslog:3,a,Daemon', 255,
     "syntax error near: 'syslog:3,a,Daemon', exitting"),
    ('file:3,', 255, "syntax error near: 'file:3,', exitting"),
    ('stderr:3', 252, "this log target is only allowed once: 'stderr:3', "
     'exitting')])
def test_s0_08_bad_targets(box, value, status, why):
    done = run(box, '-D', '-L', 'stderr:0', '-L', value, *ONE)
    assert (done.returncode, done.stderr, done.stdout) == \
        (status, why + '\n', '')


def test_s0_08_the_start_of_a_target_is_enough(old):
    front = old('-L', 'stdoutX:9,what,ever', '-L', 'stderrs:0', *ONE,
                stdout=subprocess.PIPE)
    front.finish()
    out = parse(front.popen.stdout.read().decode())
    assert out[0] == ('NOTICE', 'just started...')
    assert any(level == 'DEBUG' for level, _ in out)


def test_s0_09_levels(old, box):
    """And S0-11: any number of files."""
    config = 'listen 127.0.0.1 81 { remote: 127.0.0.1 8080; };'
    front = old(*(word for level in range(8)
                  for word in ('-L', f'file:{level},log{level}')),
                '-b', '0', config=config)
    peers.cut_off()
    front.wait('ERROR', r'Error on connect\(\).*')
    front.finish()
    seen = [{level for level, _ in
             parse((box.tmp / f'log{n}').read_text())} for n in range(8)]
    order = ['ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG']
    assert seen == [set(order[:n]) for n in (0, 1, 2, 3, 4, 5, 5, 5)]


def with_syslog(box):
    """A /dev with a syslogd; (socket, preexec_fn)."""
    dev = box.tmp / 'dev'
    dev.mkdir()
    for name, number in (('null', 3), ('urandom', 9)):
        os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(1, number))
        os.chmod(dev / name, 0o666)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(dev / 'log'))
    os.chmod(dev / 'log', 0o666)
    sock.settimeout(LIMIT)

    def prepare():
        net.own_mounts()
        net.bind('/dev', dev)
    return box.keep(sock), prepare


def until_line(sock, text):
    """What syslogd got, up to a line that ends so."""
    lines = []
    while not lines or not lines[-1].endswith(text):
        lines.append(sock.recv(4096).decode())
    return lines


DATE = r'\w{3} [ 123]\d \d\d:\d\d:\d\d'


def test_s0_10_syslog(old, box):
    sock, prepare = with_syslog(box)
    front = old('-L', 'syslog:4,my.name,local3,whatever', *ONE,
                preexec_fn=prepare)
    peers.cut_off()
    lines = until_line(sock, 'not adding client 9')
    for line in lines:      # facility 19; ERROR is 3, NOTICE 5, INFO 6
        assert re.fullmatch(rf'<(155|157|158)>{DATE} my\.name\[\d+\]: .*',
                            line), line
    assert re.fullmatch(rf'<157>{DATE} my\.name\[{front.pid}\]: '
                        r'just started\.\.\.', lines[0])
    assert re.fullmatch(rf'<158>{DATE} my\.name\[\d+\]: new client from '
                        r'127\.0\.0\.1:\d+ \(fd=9\)', lines[-2])
    assert re.fullmatch(rf'<155>{DATE} my\.name\[\d+\]: Error on connect\(\): '
                        'Connection refused, not adding client 9', lines[-1])


def test_s0_10_syslogd_is_stuck(old, box):
    """Nobody waits for it."""
    sock, prepare = with_syslog(box)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.connect(sock.getsockname())
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.send(b'x')
    front = old('-L', 'syslog:5', *ONE, preexec_fn=prepare)
    front.kill(signal.SIGTERM)
    assert front.popen.wait(LIMIT) == -signal.SIGTERM


def test_s0_14_default_target(box):
    sock, prepare = with_syslog(box)
    popen = box.program(command(box), '-D', '-u', 'nobody', *ONE,
                        preexec_fn=prepare)
    lines = until_line(sock, 'dropped privileges to nobody:nogroup')
    assert re.fullmatch(rf'<29>{DATE} tcpproxy\[\d+\]: just started\.\.\.',
                        lines[0])
    popen.terminate()
    lines = until_line(sock, 'shutdown after signal')
    assert all(line.startswith('<29>') for line in lines)


def test_s0_11_files(old, box):
    (box.tmp / 'a').write_text('of yesterday\n')
    (box.tmp / 'b').write_text('of yesterday\n')
    front = old('-L', 'file:3', '-L', 'fileXY:3,a,whatever', '-L', 'file:0,b',
                '-L', 'file:5,/nonexistent/c', *ONE)
    front.kill(signal.SIGINT)
    assert front.popen.wait(LIMIT) == -signal.SIGINT
    text = (box.tmp / 'tcpproxy.log').read_text()
    assert text == (box.tmp / 'a').read_text()
    assert [line[1] for line in parse(text)] == [
        'just started...',
        'listening on: 127.0.0.1:81 (remote: 127.0.0.1:8080)',
        f'we are in chroot jail ({box.jail}) now',
        'dropped privileges to nobody:nogroup',
        'SIG-Int caught, exitting', 'shutdown after signal']
    assert (box.tmp / 'b').read_text() == ''


def test_s0_11_rotation(old, box):
    front = old(config='listen 127.0.0.1 81 { remote: 127.0.0.1 8080; };')
    front.log.rename(box.tmp / 'old.log')
    front.kill(signal.SIGHUP)
    front.wait('NOTICE', r'reusing 127.0.0.1:81 .*')
    front.wait('DEBUG', 'generation 2 is running')
    front.kill(signal.SIGUSR1)
    front.wait('NOTICE', 'SIG-Usr1 caught')
    front.wait('NOTICE', r'\[a\] listener .*')


def test_s0_12_a_pipe_loses_nothing(old, box):
    front = old('-L', 'stderr:1', '-L', 'stdout:4', *ONE,
                stdout=subprocess.PIPE)
    peers.cut_off()
    front.wait('ERROR', r'Error on connect\(\).*')
    front.finish()
    lines = parse(front.popen.stdout.read().decode())
    errors = [text for level, text in lines if level == 'ERROR']
    assert len(errors) == 2 and errors[0] == errors[1]  # one from each
    assert lines[-1] == ('NOTICE', 'shutdown after signal')


def test_s0_13_local_time(box):
    done = run(box, '-D', '-L', 'stderr:3', *ONE, '-u', 'nosuch',
               env=dict(os.environ, TZ='XXX+25:30'))
    here = run(box, '-D', '-L', 'stderr:3', *ONE, '-u', 'nosuch',
               env=dict(os.environ, TZ='UTC'))
    parse(done.stderr)
    assert done.stderr[:24] != here.stderr[:24]


def test_s0_15_debug(box):
    front = Front(box, '-U', *ONE, stdout=subprocess.PIPE)
    front.running()
    assert front.popen.poll() is None
    front.finish()
    out = parse(front.popen.stdout.read().decode())
    assert {'NOTICE', 'INFO', 'DEBUG'} <= {level for level, _ in out}
    done = run(box, '-L', 'stdout:1', '--debug', *ONE)
    assert done.returncode == 252
    assert done.stderr == \
        "this log target is only allowed once: 'stdout:5', exitting\n"


# --- listeners and remotes ---

def addresses(box):
    """Others than those of the loopback: AI_ADDRCONFIG insists on them."""
    box.net.ip('addr', 'add', '192.0.2.1/24', 'dev', 'lo')
    box.net.ip('addr', 'add', '2001:db8::1/64', 'dev', 'lo', 'nodad')


def test_s0_16_any_address(old, box):
    box.server(peers.echo)
    front = old('-p', '81', '-r', '127.0.0.1', '-o', '8080')
    assert front.find('NOTICE',
                      r'listening on: 0.0.0.0:81 \(remote: 127.0.0.1:8080\)')
    assert front.find('NOTICE',
                      r'listening on: ::.81 \(remote: 127.0.0.1:8080\)')
    assert box.served('127.0.0.1') and box.served('::1')
    front.finish()
    box.listen('::', port=81)
    assert ('ERROR', 'Error on bind(::.81): Address already in use') in \
        refused(box, '-p', '81', '-r', '127.0.0.1', '-o', '8080')


def test_s0_16_addresses_of_a_name(old, box):
    box.hosts('192.0.2.1 web\n2001:db8::1 web\n')
    box.server(peers.echo)
    files = dict(box.files)
    addresses(box)
    front = old('-l', 'web', *ONE[2:], preexec_fn=lambda:
                net.bind_files(files))
    for shown, host in (('192.0.2.1:81', '192.0.2.1'),
                        ('2001:db8::1.81', '2001:db8::1')):
        assert front.find('NOTICE', rf'listening on: {shown} \(remote.*')
        assert box.served(host)


def test_s0_17_family(box):
    addresses(box)
    any_host = ['-p', '81', '-r', '::1', '-o', '80']
    for word in ('4', 'ipv4'):
        _, text, _ = translation(box, None, *any_host, '-t', word)
        assert re.findall('listen (.*)\n', text) == ['0.0.0.0 81']
    for word in ('6', 'ipv6'):
        _, text, _ = translation(box, None, *any_host, '--local-resolv', word)
        assert re.findall('listen (.*)\n', text) == [':: 81']
    level, text = refused(box, *ONE, '-t', '6')[-1]
    assert level == 'ERROR'
    assert text.startswith('Error resolving IPv6 address (127.0.0.1:81): ')


def test_s0_18_local_port(old, box):
    box.server(peers.echo)
    front = old('-l', '127.0.0.1', '-p', 'http', '-r', '127.0.0.1', '-o',
                '8080', '-c', '/nonexistent')
    assert front.find('WARNING', 'local port and config file specified, '
                      'will ignore config file')
    assert box.served(port=80)


def test_s0_19_first_address_only(old, box):
    box.hosts('127.0.0.2 web\n127.0.0.3 web\n')
    files = dict(box.files)
    args = ['-l', '127.0.0.1', '-p', '81', '-r', 'web', '-o', '8080']
    front = old(*args, preexec_fn=lambda: net.bind_files(files))
    match = front.find('NOTICE', r'listening on: .* \(remote: (.*):8080\)')[0]
    other = {'127.0.0.2': '127.0.0.3', '127.0.0.3': '127.0.0.2'}[match[1]]
    box.server(peers.echo, other)
    peers.cut_off()
    front.wait('ERROR', r'Error on connect\(\): Connection refused.*')
    box.server(peers.echo, match[1])
    assert box.served()


@pytest.mark.parametrize('words, why', [
    (['-o', '80'], 'no remote address specified'),
    (['-r', '::1'], 'no remote port specified')])
def test_s0_19_21_missing(box, words, why):
    assert refused(box, '-p', '81', *words)[-1] == ('ERROR', why)


def test_s0_20_remote_family(box):
    args = ['-l', '127.0.0.1', '-p', '81', '-o', '80']
    level, text = refused(box, *args, '-r', '127.0.0.1', '-R', 'ipv6')[-1]
    assert level == 'ERROR'
    assert text.startswith('Error resolving IPv6 address (127.0.0.1:80): ')
    level, text = refused(box, *args, '-r', '::1', '-R', '6', '-s',
                          '127.0.0.1')[-1]
    assert level == 'ERROR'
    assert text.startswith('Error resolving IPv6 address (127.0.0.1:0): ')


def test_s0_21_remote_port(box):
    status, text, _ = translation(box, None, *ONE[:-1], 'http')
    assert status == 0 and '\tremote: 127.0.0.1 80;\n' in text
    assert refused(box, *ONE[:-1], 'nosuch')[-1] == \
        ('ERROR', 'Error resolving address (127.0.0.1:nosuch): '
         'Servname not supported for ai_socktype')


def test_s0_22_source(old, box):
    listener = box.listen()
    front = old(*ONE, '-s', '127.0.0.9')
    assert front.find('NOTICE', r'listening on: 127.0.0.1:81 \(remote: '
                      r'127.0.0.1:8080 with source 127.0.0.9:0\)')
    _, server = box.pair(listener)
    assert server.getpeername()[0] == '127.0.0.9'


@pytest.mark.parametrize('remote, source', [
    ('127.0.0.1', '192.0.2.99'), ('127.0.0.1', '::1'), ('::1', '127.0.0.1')])
def test_s0_22_source_that_does_not_fit(old, box, remote, source):
    """Found for each client; the proxy goes on."""
    box.listen(remote)
    front = old('-l', '127.0.0.1', '-p', '81', '-r', remote, '-o', '8080',
                '-s', source)
    shown = source + ('.0' if ':' in source else ':0')
    assert front.find('NOTICE', fr'listening on: .* with source {shown}\)')
    for count in (1, 2):
        assert peers.cut_off()
        front.wait('INFO', r'Error on bind\(\): .*, not adding client \d+',
                   count=count)


@pytest.mark.parametrize('words, size, warning', [
    ([], 10240, None), (['-b', '512'], 512, None), (['-b', '9k'], 9, None),
    (['-b', '0'], 10240, '0'), (['-b', '-5'], 10240, '-5'),
    (['-b', 'big'], 10240, '0'), (['-b', '99999999999'], 1048576, None)])
def test_s0_23_buffer_size(box, words, size, warning):
    status, text, log = translation(box, None, *ONE, *words)
    assert status == 0 and f'buffer-size: {size};\n' in text
    assert log == ([('WARNING', f'illegal buffer size {warning} using default '
                     'buffer size')] if warning else [])


def test_s0_24_default_file(box):
    """Of another /etc."""
    etc = box.tmp / 'etc'
    etc.mkdir()
    for name in ('passwd', 'group', 'services', 'hosts'):
        (etc / name).write_text(open(f'/etc/{name}', encoding='utf-8').read())
    (etc / 'nsswitch.conf').write_text('passwd: files\n')
    log = refused(box, preexec_fn=lambda: net.bind_files({'/etc': etc}))
    assert log[-1] == ('ERROR', "open('/etc/tcpproxy.conf') failed: "
                       'No such file or directory')
    (etc / 'tcpproxy.conf').write_text('#\n')
    log = refused(box, preexec_fn=lambda: net.bind_files({'/etc': etc}))
    assert log[-1] == ('ERROR', 'no listeners defined in config file '
                       '/etc/tcpproxy.conf')


# --- the configuration file ---

HEAD = 'listen 127.0.0.1 81'
REST = '{ remote: 127.0.0.1 8080; };'


@pytest.mark.parametrize('text', [
    f'{HEAD} {REST}', f'{HEAD}{REST}', f'#\n{HEAD}#{{\n\t\r\f\v{REST}\n#\n',
    'listen\t127.0.0.1 \t81{remote: \t 127.0.0.1\t8080 \t;};',
    f'{HEAD} {{ resolv: IPv4; remote : 127.0.0.1 http-alt ; '
    'remote-resolv:\tiPV4;source: 127.0.0.1;};',
    f'{HEAD} {{ remote: 192.0.2.1 1; resolv: ipv6; remote: 127.0.0.1 8080;'
    'resolv: ipv4; };'])
def test_s0_25_grammar(box, text):
    addresses(box)
    status, out, log = translation(box, text)
    assert (status, log) == (0, [])
    assert re.findall('^listen (.*)$', out, re.M) == ['127.0.0.1 81']
    assert re.findall(r'^\tremote: (.*);$', out, re.M) == ['127.0.0.1 8080']


@pytest.mark.parametrize('text, line', [
    (f'\n{HEAD} {{\n remote:127.0.0.1 1; }};', 3),
    (f'{HEAD} {{ remote: 127.0.0.1 1; }} ;', 1),
    (f'{HEAD} {{ remote: 127.0.0.1 1; }}', None),
    (f'{HEAD} {{ remote: 127.0.0.1 1; }}\n', 1),
    (f'{HEAD} {{ Remote: 127.0.0.1 1; }};', 1),
    (f'{HEAD} {{ remote: a_b 1; }};', 1),
    (f'{HEAD} {{ remote: [::1] 1; }};', 1),
    (f'{HEAD} {{ remote: 127.0.0.1:1; }};', 1),
    (f'{HEAD} {{ remote: 127.0.0.1\n1; }};', 1),
    (f'{HEAD} {{ remote: 127.0.0.1 1;; }};', 1),
    (f'{HEAD} {{ timeout: 5; }};', 1),
    (f'{HEAD} {{ resolv: any; }};', 1),
    (f'listen\n127.0.0.1 81 {REST}', 1),
    (f'listen 127.0.0.1 #\n81 {REST}', 1),
    (f'listen 127.0.0.1:81 {REST}', 1),
    (f'{HEAD} {REST}\n\n;', 3), (f'{HEAD} {REST}\n#', None),
    (f'{HEAD} {{ rem', None), ('lis', None), (f'{HEAD}', None),
    (b'\0', 1), ('keepalive: yes;', 1)])
def test_s0_25_27_syntax_errors(box, text, line):
    status, out, log = translation(box, text)
    assert (status, out) == (255, '')
    assert log == [('ERROR', 'config file syntax error' + (
        f' at line {line}' if line else ': unexpected end of file'))]


def test_s0_26_statements(old, box):
    listener = box.listen('::1')
    addresses(box)
    old(config='listen * 81 { resolv: ipv4; remote: ::1 8080;'
        ' remote-resolv: ipv6; source: ::1; };')
    _, server = box.pair(listener)
    assert server.getpeername()[0] == '::1'
    with pytest.raises(ConnectionRefusedError):
        peers.connect('::1', 81)
    log = refused(box, '-c', box.write(f'{HEAD} {{ source: ::1; }};'))
    assert log[-2:] == [
        ('ERROR', 'no remote address specified'),
        ('ERROR', f'no listeners defined in config file {box.conf}')]


def test_s0_27_errors_of_the_file(box):
    empty = box.tmp / 'empty'
    empty.write_text('')
    for path, why in (
            ('no.conf', "open('no.conf') failed: No such file or directory"),
            (empty, f'config file {empty} is empty'),
            (box.tmp, f'config file {box.tmp} is not a regular file'),
            ('/dev/null', 'config file /dev/null is empty')):
        assert refused(box, '-c', path) == [
            ('NOTICE', 'just started...'), ('ERROR', why)]
    box.write('\n\nlisten\n')
    assert refused(box, '-c', box.conf)[-1] == \
        ('ERROR', 'config file syntax error at line 3')


DEAD = 'listen 127.0.0.1 82 { remote: no.such.name.invalid 1; };\n'


def test_s0_28_unresolvable_stanza(old, box):
    box.server(peers.echo)
    box.resolv_conf('nameserver 127.0.0.53\n')
    files = dict(box.files)
    bound = f'{HEAD} {REST}\n'
    front = old(config=DEAD + bound,
                preexec_fn=lambda: net.bind_files(files))
    error = r'Error resolving address \(no.such.name.invalid:1\): .*'
    assert front.find('ERROR', error)
    assert box.served()
    # at SIGHUP a listener that was there goes, the rest is applied
    more = 'listen 127.0.0.1 83 { remote: 127.0.0.1 8080; };\n'
    since = front.reload(bound.replace('remote: 127.0.0.1',
                                       'remote: no.such.name.invalid') + more)
    front.wait('ERROR', error.replace(':1', ':8080'), since)
    front.wait('NOTICE', r'listening on: 127.0.0.1:83 .*', since)
    assert box.served(port=83)
    until(lambda: not listens(81), 'end of the listener')
    # but not the last one
    since = front.reload(DEAD)
    front.wait('ERROR', f'no listeners defined in config file {front.conf}: '
               'those of before go on', since)
    assert box.served(port=83)
    front.finish()
    log = refused(box, '-c', box.write(DEAD),
                  preexec_fn=lambda: net.bind_files(files))
    assert log[-1] == ('ERROR',
                       f'no listeners defined in config file {box.conf}')


def listens(port):
    try:
        peers.connect(port=port).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        pass                    # so fast was the answer
    return True


# --- signals ---

def test_s0_29_reload(old, box):
    box.server(peers.echo)
    box.listen(port=84)
    stanza = 'listen 127.0.0.1 {} {{ remote: 127.0.0.1 8080; }};\n'
    front = old(config=stanza.format(81) + stanza.format(82))
    client = box.connect(port=82)
    assert peers.ask(client)
    since = front.reload(
        'listen 127.0.0.1 81 { remote: 127.0.0.2 8080; source: ::1; };\n' +
        stanza.format(83) + stanza.format(84) + stanza.format(83))
    front.wait('NOTICE', f're-reading config file: {front.conf}', since)
    front.wait('NOTICE', r'reusing 127.0.0.1:81 with remote: 127.0.0.2:8080 '
               r'and source ::1.0', since)
    front.wait('NOTICE', r'listening on: 127.0.0.1:83 \(remote: '
               r'127.0.0.1:8080\)', since)
    for port in (83, 84):
        front.wait('ERROR', fr'Error on bind\(127.0.0.1:{port}\): Address '
                   'already in use', since)
    assert [match[1] for match in front.find(
        'NOTICE', r'listening on: (127.0.0.1:\d+) .*', since)] == \
        ['127.0.0.1:83']
    assert box.served(port=83)
    until(lambda: not listens(82), 'end of the listener')
    assert peers.ask(client)


def test_s0_29_reload_keeps_the_socket(old, box):
    """Nobody is refused for a moment."""
    box.server(peers.echo)
    front = old(config=f'{HEAD} {REST}')

    def inode():
        with open('/proc/net/tcp', encoding='ascii') as file:
            return [line.split()[9] for line in file
                    if line.split()[1] == '0100007F:0051' and
                    line.split()[3] == '0A']
    before = inode()
    for _ in range(3):
        since = front.reload()
        front.wait('NOTICE', 'reusing 127.0.0.1:81 .*', since)
        assert box.served()
    assert before and inode() == before


@pytest.mark.parametrize('text, why', [
    ('listen', 'config file syntax error: unexpected end of file'),
    ('', 'config file .* is empty'),
    (None, r"open\('.*'\) failed: No such file or directory")])
def test_s0_29_bad_reload_changes_nothing(old, box, text, why):
    box.server(peers.echo)
    front = old(config=f'{HEAD} {REST}')
    client = box.connect()
    assert peers.ask(client)
    if text is None:
        front.conf.unlink()
    since = front.reload(text)
    front.wait('ERROR', why, since)
    assert peers.ask(client) and box.served()
    since = front.reload(f'{HEAD} {REST}')
    front.wait('NOTICE', 'reusing 127.0.0.1:81 .*', since)


def test_s0_29_without_a_file(old, box):
    box.server(peers.echo)
    front = old(*ONE)
    front.kill(signal.SIGHUP)
    front.wait('NOTICE', 'ignoring SIGHUP: no config file specified')
    assert box.served()


def test_s0_30_listeners(old, box):
    front = old(config=f'{HEAD} {REST} listen ::1 82 {{ remote: ::1 8080; '
                'source: ::1; };')
    front.kill(signal.SIGUSR1)
    front.wait('NOTICE', 'SIG-Usr1 caught')
    front.wait('NOTICE', r'\[a\] listener #\d+: 127.0.0.1:81 -> '
               '127.0.0.1:8080')
    front.wait('NOTICE', r'\[a\] listener #\d+: ::1.82 -> ::1.8080 '
               'with source ::1.0')
    assert len(front.find('NOTICE', r'\[.\] listener .*')) == 2


def test_s0_31_clients(old, box):
    front = old(*ONE)
    client, server = box.pair(box.listen())
    client.sendall(b'x' * 7)
    peers.read_some(server, 7)
    server.sendall(b'y' * 20)
    peers.read_some(client, 20)
    fd = front.wait('INFO', r'successfully added client (\d+)')[1]
    front.kill(signal.SIGUSR2)
    front.wait('NOTICE', 'SIG-Usr2 caught')
    front.wait('NOTICE', fr'\[c\] client #{fd}/\d+: 20 bytes received, '
               '7 bytes sent')
    client.shutdown(socket.SHUT_WR)
    assert peers.read_all(server) == b''
    front.kill(signal.SIGUSR2)
    front.wait('NOTICE', fr'\[-\] client #{fd}/\d+: 20 bytes received, '
               '7 bytes sent')


def test_s0_31_connecting(old, box):
    """A server that does not answer: its queue is full."""
    listener = socket.socket()
    listener.bind(('127.0.0.1', 8080))
    listener.listen(0)
    box.keep(listener)
    box.connect(port=8080)
    front = old(*ONE)
    box.connect()
    front.wait('INFO', r'new client from .*')
    front.kill(signal.SIGUSR2)
    front.wait('NOTICE', r'\[>\] client #\d+/-1: 0 bytes received, '
               '0 bytes sent')


@pytest.mark.parametrize('sig, name', [
    (signal.SIGTERM, 'Term'), (signal.SIGINT, 'Int'),
    (signal.SIGQUIT, 'Quit')])
def test_s0_32_end(old, box, sig, name):
    front = old(*ONE, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_CORE, (0, 0)))
    client, _ = box.pair(box.listen())
    front.kill(sig)
    assert front.popen.wait(LIMIT) == -sig
    assert [text for _, text in front.lines()
            if text.startswith(('SIG-', 'shutdown'))] == \
        [f'SIG-{name} caught, exitting', 'shutdown after signal']
    peers.is_reset(client)      # it has ended, in one way or another
    assert not listens(81)


def test_s0_32_signals_of_a_terminal(old, box):
    """They go to all of its processes; the front answers for all."""
    box.server(peers.echo)
    front = old(*ONE, start_new_session=True)
    os.killpg(front.pid, signal.SIGHUP)
    front.wait('NOTICE', 'ignoring SIGHUP: no config file specified')
    front.kill(signal.SIGUSR1)
    front.wait('NOTICE', r'\[a\] listener .*')
    assert not front.find('DEBUG', 'SIGHUP')
    assert box.served()


def test_s0_33_sigpipe(old, box):
    box.server(peers.echo)
    front = old(*ONE)
    front.kill(signal.SIGPIPE)
    assert box.served() and front.popen.poll() is None


def test_s0_32_all_end_with_the_front(old, box):
    front = old(*ONE)
    server = front.server().pid
    front.popen.kill()
    front.popen.wait(LIMIT)
    until(lambda: os.waitpid(server, os.WNOHANG)[0], 'its end, told to us')
    assert not listens(81)


def test_s0_32_the_front_ends_with_all(old, box):
    front = old(*ONE)
    os.kill(front.server().pid, signal.SIGKILL)
    assert front.popen.wait(LIMIT) == 255
    assert front.lines()[-1] == ('NOTICE', 'shutdown after error') or \
        front.find('NOTICE', 'shutdown after error')
    until(lambda: not box.orphans(), 'end of the others')


def test_signals_while_translating(old, box):
    """A name server that is slow holds up neither end nor service, and a
    second SIGHUP counts."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(('127.0.0.53', 53))
    box.keep(sock).settimeout(LIMIT)
    box.server(peers.echo)
    box.resolv_conf('nameserver 127.0.0.53\noptions timeout:30\n')
    files = dict(box.files)
    front = old(config=f'{HEAD} {REST}',
                preexec_fn=lambda: net.bind_files(files))
    front.reload(DEAD)
    sock.recv(4096)             # it asks, in vain
    assert box.served()
    front.kill(signal.SIGUSR1)
    front.wait('NOTICE', r'\[a\] listener .*')
    since = front.reload(f'{HEAD} {REST}')
    assert not front.find('NOTICE', 're-reading .*', since)
    child, = front.translators()
    os.kill(child.pid, signal.SIGKILL)
    front.wait('ERROR', 'translation: status 0x9', since)
    front.wait('NOTICE', 're-reading .*', since)
    front.wait('NOTICE', 'reusing 127.0.0.1:81 .*', since)
    front.reload(DEAD)
    until(front.translators, 'translation')
    front.kill(signal.SIGTERM)
    assert front.popen.wait(LIMIT) == -signal.SIGTERM


# --- forwarding ---

def test_s0_34_bytes(old, box):
    old(*ONE)
    data = peers.noise(3000000)
    client, server = box.pair(box.listen())
    for out, back in ((client, server), (server, client)):
        thread = threading.Thread(target=lambda o=out: (
            o.sendall(data), o.shutdown(socket.SHUT_WR)))
        thread.start()
        assert peers.digest(peers.read_all(back)) == peers.digest(data)
        thread.join(LIMIT)


def test_s0_35_messages(old, box):
    front = old(*ONE)
    client, server = box.pair(box.listen())
    port = client.getsockname()[1]
    fd = front.wait('INFO', fr'new client from 127.0.0.1:{port} '
                    r'\(fd=(\d+)\)')[1]
    front.wait('INFO', f'successfully added client {fd}')
    done = f'client {fd}: both connections are finished now - removing it'
    assert not front.find('INFO', done)
    client.close()
    server.close()
    front.wait('INFO', done)


def test_s0_35_errors(old, box):
    """In a log of errors only, too."""
    front = old(*ONE, ready=False, level=1)
    until(lambda: listens(81), 'listener')
    assert peers.cut_off()
    front.wait('ERROR', r'Error on connect\(\): Connection refused, '
               r'not adding client \d+')
    assert {level for level, _ in front.lines()} == {'ERROR'}


def test_s0_35_reset(old, box):
    front = old(*ONE)
    client, server = box.pair(box.listen())
    front.wait('INFO', r'successfully added client \d+')
    peers.reset(client)
    front.wait('INFO', r'Error on recv\(\): Connection reset by peer, '
               r'removing client \d+')
    assert peers.is_reset(server)


def test_s0_36_addresses(old, box):
    front = old('-l', '::1', '-p', '81', '-r', '::1', '-o', '8080')
    assert front.find('NOTICE', r'listening on: ::1\.81 '
                      r'\(remote: ::1\.8080\)')
    client, _ = box.pair(box.listen('::1'), '::1')
    front.wait('INFO', fr'new client from ::1\.{client.getsockname()[1]} '
               r'\(fd=\d+\)')


@pytest.mark.parametrize('local', ['127.0.0.1', '::1'])
@pytest.mark.parametrize('remote', ['127.0.0.1', '::1'])
def test_s0_37_families(old, box, local, remote):
    box.server(peers.echo, remote)
    old('-l', local, '-p', '81', '-r', remote, '-o', '8080')
    assert box.served(local)


def test_s0_38_reload_after_the_drop(old, box):
    """Even with new ports below 1024."""
    box.server(peers.echo)
    front = old(config=f'{HEAD} {REST}')
    relay, = front.role('relay')
    assert '0' not in relay.status('Uid')
    since = front.reload(f'{HEAD} {REST} listen 127.0.0.1 82 {REST}')
    front.wait('NOTICE', 'listening on: 127.0.0.1:82 .*', since)
    assert box.served(port=81) and box.served(port=82)


def test_s0_39_no_time_limits(box):
    _, text, _ = translation(box, None, *ONE)
    for line in ('timeout: none;', 'half-close-timeout: none;',
                 'keepalive: no;', 'connect-timeout: 1h;'):
        assert f'\n{line}\n' in '\n' + text


def test_s0_40_more_than_select_can(old, box):
    """And running out of descriptors ends nothing."""
    box.server(peers.echo)
    old(*ONE)
    clients = [box.connect() for _ in range(600)]
    assert all(peers.ask(client) for client in clients)


# --- the translation ---

def test_print_config(box):
    """It is what is run, and sallyport reads it."""
    status, text, log = translation(
        box, f'{HEAD} {REST}\nlisten ::1 82 {{ remote: ::1 http; '
        'source: ::1; };', '-L', 'file:4,/log', '-b', 1024)
    assert (status, log) == (0, [])
    assert text == f'''\
# sallyport --workers 1 --log-format tcpproxy --log-sessions all -u nobody \
-g nogroup -C {box.jail} -L file:4,/log -c FILE
connect-timeout: 1h;
timeout: none;
half-close-timeout: none;
keepalive: no;
buffer-size: 1024;
on-error: fail;

# listening on: 127.0.0.1:81 (remote: 127.0.0.1:8080)
listen 127.0.0.1 81
{{
	remote: 127.0.0.1 8080;
}};

# listening on: ::1.82 (remote: ::1.80 with source ::1.0)
listen ::1 82
{{
	remote: ::1 80;
	source: ::1;
}};
'''
    assert box.check(text)[0] == 0
    assert not os.path.exists('/log')


def test_translation_has_no_privileges(old, box):
    """Names are looked up by somebody else than root."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(('127.0.0.53', 53))
    box.keep(sock).settimeout(LIMIT)
    box.resolv_conf('nameserver 127.0.0.53\noptions timeout:30\n')
    files = dict(box.files)
    front = old(config=f'{HEAD} {REST}',
                preexec_fn=lambda: net.bind_files(files))
    front.reload(DEAD)
    sock.recv(4096)
    child, = front.translators()
    assert child.status('Uid') == ['65534'] * 4
    assert child.status('Gid') == ['65534'] * 4
    assert child.status('CapEff') == ['0000000000000000']
    with open(f'/proc/{front.pid}/status', encoding='ascii') as file:
        assert 'CapEff:\t00000000000000c0\n' in file.read()


def test_translation_too_large(old, box):
    """At a reload nothing changes."""
    box.server(peers.echo)
    front = old(config=f'{HEAD} {REST}')
    since = front.reload(''.join(
        f'listen 127.0.0.1 {port} {REST}\n' for port in range(1000, 21000)))
    front.wait('ERROR', 'the translation is larger than 1 MiB, .*', since)
    assert box.served()


@pytest.mark.parametrize('listen, why', [
    ('224.0.0.1 82', '224.0.0.1:82): Cannot assign requested address'),
    ('ff02::1 82', 'ff02::1.82): Invalid argument'),
    ('::ffff:7f00:1 82', '::ffff:127.0.0.1.82): Invalid argument'),
    ('127.0.0.1 0 { remote: ::1 1; };\nlisten 127.0.0.1 0',
     '127.0.0.1:0): Address already in use')])
def test_translation_listener_that_cannot_be(old, box, listen, why):
    """At a reload it is the only one that is missing."""
    box.server(peers.echo)
    bad = f'listen {listen} {REST}\n'
    (box.tmp / 'bad').write_text(bad)
    assert ('ERROR', f'Error on bind({why}') in \
        refused(box, '-c', box.tmp / 'bad')
    front = old(config=f'{HEAD} {REST}')
    since = front.reload(f'{bad}{HEAD} {REST}\nlisten 127.0.0.1 83 {REST}\n')
    front.wait('ERROR', re.escape(f'Error on bind({why}'), since)
    front.wait('NOTICE', r'listening on: 127\.0\.0\.1:83 .*', since)
    assert box.served()


@pytest.mark.parametrize('port', ['0', '65536'])
def test_translation_remote_port_0(old, box, port):
    """Found for each client, as with any remote that nobody can reach."""
    box.server(peers.echo)
    front = old(config=f'{HEAD} {{ remote: 127.0.0.1 {port}; }};\n'
                f'listen 127.0.0.1 82 {REST}')
    assert front.find('NOTICE', r'listening on: 127\.0\.0\.1:81 '
                      r'\(remote: 127\.0\.0\.1:0\)')
    assert peers.cut_off()
    front.wait('INFO', r'Error on bind\(\): .*, not adding client \d+')
    assert box.served(port=82)


# --- installation ---

def test_uninstall(box):
    """Leaves nothing of its own, and all of sallyport's."""
    top = box.tmp / 'root'
    make = ['make', '-s', '-o', 'all', f'B={box.tree.build}',
            f'DESTDIR={top}', 'PREFIX=/usr']

    def files():
        return sorted(str(p.relative_to(top)) for p in top.rglob('*')
                      if p.is_file())
    for target in ('install', 'install-compat'):
        subprocess.run([*make, target], cwd=box.tree.source, check=True,
                       stdout=subprocess.DEVNULL)
    assert {'usr/sbin/tcpproxy', 'usr/share/man/man8/tcpproxy.8'} < \
        set(files())
    subprocess.run([*make, 'uninstall-compat'], cwd=box.tree.source,
                   check=True)
    assert not [name for name in files() if 'tcpproxy' in name]
    assert 'usr/sbin/sallyport' in files()
