"""The command line: that of tcpproxy(8), and sallyport's own options."""
import os
import pwd
import re
import signal
import socket
import subprocess

import pytest

from lib import peers, proc
from lib.daemon import Daemon
from lib.wait import LIMIT, until

LISTENER = ('-p', '81', '-r', '127.0.0.1', '-o', '8080')


# --- texts ---

@pytest.mark.parametrize('option', ['-h', '--help'])
def test_help(box, option):
    done = box.run(option, drop=False)
    assert done.returncode == 0 and done.stderr == ''
    for word in ('--username', '--chroot', '--check', '--max-connections'):
        assert word in done.stdout
    assert all(len(line) < 80 for line in done.stdout.splitlines())


@pytest.mark.parametrize('option', ['-v', '--version'])
def test_version(box, option):
    done = box.run(option, drop=False)
    assert done.returncode == 0 and done.stderr == ''
    assert re.fullmatch(r'sallyport \d+\.\d+\.\d+\n', done.stdout)


# --- mistakes: one line that names the option, status 2 ---

MISTAKES = [
    (['-Z'], '-Z'),
    (['--bogus'], '--bogus'),
    (['--max'], None),
    (['--log'], '--log'),
    (['-u'], '-u'),
    (['-Dp'], '-Dp'),
    (['extra'], 'extra'),
    (['-p', '80', 'extra'], 'extra'),
    (['-p', '80', '--', 'extra'], 'extra'),
    (['-u', '-g'], '-u'),
    (['-t', '5'], '-t'),
    (['--local-resolv', 'IPv4'], '--local-resolv'),
    (['-R', 'any'], '-R'),
    (['-b', '0'], '-b'),
    (['-b', '-5'], '-b'),
    (['--buffer-size', '10k'], '--buffer-size'),
    (['-b', '1048577'], '-b'),
    (['-b', '99999999999999999999'], '-b'),
    (['--workers', '0'], '--workers'),
    (['--workers', '9'], '--workers'),
    (['--workers', 'many'], '--workers'),
    (['--workers', '+1'], '--workers'),
    (['--max-connections', '0'], '--max-connections'),
    (['--max-connections', '1000001'], '--max-connections'),
    (['--log-format', 'xml'], '--log-format'),
    (['--log-sessions', 'begin'], '--log-sessions'),
    (['--ready-fd', '2'], '--ready-fd'),
    (['--ready-fd', '99'], '--ready-fd'),
    (['--ready-fd', 'x'], '--ready-fd'),
    (['-L', 'nowhere:3'], '-L'),
    (['-L', 'stderr'], '-L'),
    (['-L', 'stderr:x'], '-L'),
    (['-L', 'stderr:10'], '-L'),
    (['-L', 'stderr:'], '-L'),
    (['--log', 'file:3,'], '--log'),
    (['-L', 'syslog:3,'], '-L'),
    (['-L', 'syslog:3,name,nofacility'], '-L'),
    (['-L', 'stderr:3', '-L', 'stderr:4'], '-L'),
    (['-L', 'syslog:3', '-L', 'syslog:4'], '-L'),
    (['-U', '-L', 'stdout:3'], '-U'),
    (['-L', 'stdoutX:3'], '-L'),
    (['-P', ''], '-P'),
    (['-c', ''], '-c'),
    (['-P', 5000 * 'x'], '-P'),
]


@pytest.mark.parametrize('words, option', MISTAKES,
                         ids=[' '.join(w)[:40] for w, _ in MISTAKES])
def test_mistakes(box, words, option):
    done = box.run(*words, drop=False)
    assert done.returncode == 2 and done.stdout == ''
    line, = done.stderr.splitlines()
    assert line.startswith('sallyport: ')
    if option is not None:
        assert option in line
    assert 'expected' in line or 'option' in line, line


@pytest.mark.root
def test_too_many_targets(box):
    words = [word for n in range(16) for word in ('-L', f'file:1,/x{n}')]
    done = box.run(*words)
    assert done.returncode == 2 and '15' in done.stderr


# --- errors at start: the caller sees them, status 1 ---

def test_default_configuration(box):
    """Without -p and -c it is /etc/sallyport.conf."""
    if os.path.exists('/etc/sallyport.conf'):
        pytest.fail('there is a real /etc/sallyport.conf here')
    done = box.run('--workers', 1)
    assert done.returncode == 1
    assert '/etc/sallyport.conf' in done.stderr
    assert 'No such file' in done.stderr


@pytest.mark.root
def test_users_that_are_none(box):
    for words, message in [
            (['-u', 'no-such-user'], 'unknown user no-such-user'),
            (['-u', 'nobody:no-such-group'], 'unknown group no-such-group'),
            (['-u', 'nobody', '-g', 'no-such-group'], 'unknown group'),
            (['-u', 'root'], 'root'), (['-u', '0'], 'root'),
            (['-u', '54321'], 'expected -g')]:
        done = box.run(*words, *LISTENER, drop=False)
        line, = done.stderr.splitlines()
        assert done.returncode == 1
        assert '-u' in line or '-g' in line
        assert message in line


@pytest.mark.parametrize('how', [['-D'], []], ids=['foreground', 'daemon'])
def test_address_in_use(box, how):
    box.listen('127.0.0.1', 81)
    done = box.run(*how, '-l', '127.0.0.1', '-L', f'file:5,{box.tmp}/log',
                   *LISTENER)
    assert done.returncode == 1
    assert 'sallyport: ' in done.stderr
    assert '127.0.0.1:81' in done.stderr and 'in use' in done.stderr


def test_other_errors_at_start(box):
    log = ('-L', f'file:5,{box.tmp}/log')
    for words, message in [
            (['-l', '192.0.2.1', *LISTENER], 'Cannot assign requested'),
            (['-p', '81'], '-r'),
            (['-p', '81', '-r', '127.0.0.1'], '-o'),
            (['-l', 'not a name', *LISTENER], '-l'),
            (['-p', 'nosuchservice', '-r', '127.0.0.1', '-o', '1'], '-p'),
            (['-p', '65536', '-r', '127.0.0.1', '-o', '1'], '-p'),
            (['-s', '1.2.3.4.5', *LISTENER], '-s'),
            (['-L', 'file:3,/nonexistent/log', *LISTENER],
             '/nonexistent/log')]:
        done = box.run('--workers', 2, *log, *words)
        assert done.returncode == 1, words
        assert message in done.stderr, (words, done.stderr)
        assert done.stdout == ''


# --- options that work ---

@pytest.mark.root
def test_group_without_user(box):
    daemon = box.start('-g', 'daemon', *LISTENER, '-l', '127.0.0.1',
                       '-C', box.jail, drop=False)
    assert any('-g' in line and 'ignored' in line for line in daemon.errors)
    for process in daemon.processes():
        assert process.status('Gid') == 4 * [str(
            pwd.getpwnam('nobody').pw_gid)]


@pytest.mark.root
def test_without_user(box):
    """nobody, or _sallyport where there is such a user."""
    daemon = box.start(*LISTENER, '-l', '127.0.0.1', drop=False)
    try:
        user = pwd.getpwnam('_sallyport')
    except KeyError:
        user = pwd.getpwnam('nobody')
        assert any('nobody' in line for line in daemon.errors)
    for process in daemon.processes():
        assert process.status('Uid') == 4 * [str(user.pw_uid)]
    # the jail that was installed
    relay = daemon.processes('relay')[0]
    assert os.path.samefile(relay.path('root'), box.tree.libexec / 'empty')


@pytest.mark.root
@pytest.mark.parametrize('words, uid, gid', [
    (['-u', 'nobody'], 65534, 65534),
    (['--username', 'daemon'], 1, 1),
    (['-u', 'nobody:daemon'], 65534, 1),
    (['-u', '54321:12345'], 54321, 12345),
    (['-u', '54321', '-g', '12345'], 54321, 12345),
    (['-u', '65534', '--groupname=bin'], 65534, 2),
    (['-u', 'daemon', '-u', 'nobody'], 65534, 65534),
    (['-u', 'nobody:daemon', '-g', 'bin'], 65534, 2)],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None)
def test_user_and_group(box, words, uid, gid):
    daemon = box.start(*words, '--chroot', box.jail, '-l', '127.0.0.1',
                       *LISTENER, drop=False)
    box.server(peers.echo)
    assert box.served()
    for process in daemon.processes():
        assert process.status('Uid') == 4 * [str(uid)]
        assert process.status('Gid') == 4 * [str(gid)]
        assert process.status('Groups') == []


def test_long_names(box):
    """All of the listener's options, as --name VALUE and --name=VALUE."""
    daemon = box.start(
        '--local-addr', '127.0.0.1', '--local-resolv=4', '--local-port=81',
        '--remote-addr', '127.0.0.1', '--remote-resolv', 'ipv4',
        '--remote-port', 8080, '--source-addr=127.0.0.7', '--buffer-size',
        1, '--nodaemonize', f'--write-pid={box.tmp}/pid',
        f'--log=file:1,{box.tmp}/log')
    client, server = box.pair(box.listen())
    assert server.getpeername()[0] == '127.0.0.7'
    data = peers.noise(5000)
    client.sendall(data)
    assert peers.read_some(server, 5000) == data
    assert (box.tmp / 'pid').read_text().strip() == str(daemon.pid)


def test_service_names(box):
    daemon = box.start('-l', '127.0.0.1', '-p', 'finger', '-r', '127.0.0.1',
                       '-o', 'http-alt')
    assert daemon.wait('listening on: 127.0.0.1:79 .remote: 127.0.0.1:8080.')


def test_last_value_counts(box):
    daemon = box.start('-p', 82, '-p', 81, '-l', '::1', '-l', '127.0.0.1',
                       '-r', '::1', '-r', '127.0.0.1', '-o', 1, '-o', 8080)
    daemon.wait('listening on: 127.0.0.1:81 .remote: 127.0.0.1:8080.')
    assert daemon.stop() == 0
    assert len(daemon.find('listening on')) == 1


def test_port_and_config_file(box):
    path = box.write('listen 127.0.0.1 82 { remote: 127.0.0.1 8080; }')
    daemon = box.forward('-c', path)
    assert any('will ignore config file' in line for line in daemon.errors)
    daemon.wait('listening on: 127.0.0.1:81 ')
    assert daemon.reload() == 2
    daemon.wait('listening on: 127.0.0.1:81 ', count=2)
    assert not daemon.find('listening on: 127.0.0.1:82 ')


def test_listener_options_without_port(box):
    path = box.write('listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }')
    daemon = box.start('-c', path, '-l', '127.0.0.1')
    assert any('-l' in line and 'ignored' in line for line in daemon.errors)


def test_relative_paths(box):
    """They are taken from where sallyport is started, for all its life."""
    box.write('listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }')
    log = box.tmp / 'my.log'
    done = box.run('-c', 'sallyport.conf', '-P', 'pid', '-L',
                               'file:5,my.log', cwd=box.tmp)
    assert done.returncode == 0, done.stderr
    pid = int((box.tmp / 'pid').read_text())
    log.rename(box.tmp / 'old.log')
    os.kill(pid, signal.SIGHUP)
    until(lambda: log.exists() and 'generation 2 is running'
          in log.read_text(), 'reload')
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    assert not (box.tmp / 'pid').exists()


def test_debug(box):
    """-U is -D -L stdout:5; nothing goes to syslog then."""
    command = box.command('-U', '--log-format', 'json', '--workers', 1,
                          '-l', '127.0.0.1', *LISTENER)
    daemon = Daemon(command)
    box.daemons.append(daemon)
    daemon.running().wait('listening on')


@pytest.mark.parametrize('count', [1, 3, 8])
def test_workers(box, count):
    daemon = box.forward(workers=count)
    box.server(peers.echo)
    assert [p.worker for p in daemon.processes('relay')] == \
        list(range(1, count + 1))
    assert len(daemon.processes('dialer')) == count
    for _ in range(20):
        assert box.served()


def test_workers_auto(box):
    daemon = box.forward(workers='auto')
    assert len(daemon.processes('relay')) == min(os.cpu_count(), 8)


# --- becoming a daemon ---

class Detached:
    """A real daemon, known by its pid file and log file."""

    def __init__(self, box, *args):
        self.box = box
        self.log = box.tmp / 'log'
        self.done = box.run('-P', box.tmp / 'pid', '-L', f'file:5,{self.log}',
                            '--workers', 2, '-l', '127.0.0.1', *LISTENER,
                            *args)
        self.pid = int((box.tmp / 'pid').read_text() or 0)

    def stop(self, sig=signal.SIGTERM):
        os.kill(self.pid, sig)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_daemon(box):
    """The caller returns when, and not before, clients are served."""
    box.server(peers.echo)
    daemon = Detached(box)
    assert daemon.done.returncode == 0
    assert daemon.done.stdout == daemon.done.stderr == ''
    assert box.served()
    assert proc.alive(daemon.pid)
    state, ppid, group, session = proc.stat(daemon.pid)[:4]
    assert int(session) == int(group) != os.getsid(0)
    assert os.readlink(f'/proc/{daemon.pid}/cwd') == '/' or not box.privileged
    everybody = proc.children(daemon.pid)
    assert len(everybody) == 5
    assert daemon.stop() == 0
    until(lambda: not any(proc.alive(p.pid) for p in everybody), 'the end')


@pytest.mark.root
def test_daemon_descriptors(box):
    daemon = Detached(box)
    fds = proc.Process(daemon.pid).fds()
    assert [fds[n] for n in range(3)] == 3 * ['/dev/null']
    assert daemon.stop() == 0


def test_daemon_leaves_no_descriptor(box):
    """Who reads the caller's output sees its end at READY."""
    popen = subprocess.Popen(
        box.command('-P', box.tmp / 'pid', '-L', f'file:5,{box.tmp}/log',
                    '-l', '127.0.0.1', *LISTENER),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out, _ = popen.communicate(timeout=30)
    assert (popen.returncode, out) == (0, b'')
    pid = int((box.tmp / 'pid').read_text())
    os.kill(pid, signal.SIGINT)
    os.waitpid(pid, 0)


def test_pid_file(box):
    """Readable by all; locked against a second one; removed at the end."""
    daemon = Detached(box)
    path = box.tmp / 'pid'
    assert (path.stat().st_mode & 0o777) == 0o644
    before = path.read_text()
    again = box.run('-P', path, '-l', '127.0.0.1', '-p', 82, '-r',
                    '127.0.0.1', '-o', 8080)
    assert again.returncode == 1
    assert f'pid {daemon.pid}' in again.stderr
    assert path.read_text() == before
    assert daemon.stop() == 0
    assert not path.exists()


def test_stale_pid_file(box):
    path = box.tmp / 'pid'
    path.write_text('1\n')
    if not box.privileged:
        path.chmod(0o666)
    daemon = Detached(box)
    assert daemon.done.returncode == 0
    assert daemon.pid != 1
    assert daemon.stop() == 0


def test_second_instance(box):
    """The same port is an error, never shared in silence."""
    box.server(peers.echo)
    box.forward()
    done = box.run('-l', '127.0.0.1', *LISTENER, '-L',
                   f'file:5,{box.tmp}/log2')
    assert done.returncode == 1 and 'in use' in done.stderr
    for _ in range(20):
        assert box.served()


# --- instead of running ---

def test_ready_fd(box):
    """A byte when it runs; the end of the stream when it does not."""
    for port, answer in ((81, b'\0'), (82, b'')):
        box.listen(port=82) if port == 82 else None
        ours, theirs = socket.socketpair()
        ours.settimeout(LIMIT)
        box.keep(ours)
        words = ['-l', '127.0.0.1', '-p', port, '-r', '127.0.0.1', '-o', 80,
                 '--ready-fd', theirs.fileno()]
        daemon = box.start(*words, ready=False, pass_fds=[theirs.fileno()])
        theirs.close()
        assert ours.recv(2) == answer
        assert ours.recv(1) == b''      # nobody keeps it
        daemon.deaths_expected = port == 82
        if port == 82:
            assert daemon.wait_exit() == 1


def test_ready_fd_is_full(box):
    """Nobody reads there: no reason to wait."""
    ours, theirs = (box.keep(sock) for sock in socket.socketpair())
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            theirs.send(bytes(4096))
    daemon = box.forward('--ready-fd', theirs.fileno(),
                         pass_fds=[theirs.fileno()])
    assert daemon.stop() == 0
    assert ours.recv(1)


def test_working_directory(box):
    """Nobody works in the caller's directory, in the foreground neither."""
    daemon = box.forward(preexec=lambda: os.chdir(box.tmp))
    for pid in (daemon.pid, *(p.pid for p in daemon.processes())):
        assert os.readlink(f'/proc/{pid}/cwd') in ('/', str(box.jail))


def test_ready_fd_is_a_socket(box):
    """And not one of the standard descriptors."""
    ours, theirs = socket.socketpair()
    with open(os.devnull, 'rb') as file, ours, theirs:
        for fd in (0, file.fileno()):
            done = box.run('--ready-fd', fd, stdin=theirs,
                           pass_fds=[file.fileno()])
            assert done.returncode == 2 and '--ready-fd' in done.stderr


def test_check(box):
    path = box.write('listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }')
    done = box.run('--check', '-c', path)
    assert done.returncode == 0 and done.stderr == ''
    assert str(path) in done.stdout and 'valid' in done.stdout
    path = box.write('listen 127.0.0.1 81 { remote: 127.0.0.1; }')
    done = box.run('--check', '-c', path)
    assert done.returncode == 1 and done.stdout == ''
    assert f'{path}:1:' in done.stderr


def test_check_binds_nothing(box):
    """Nor does it need root, or mind a daemon that runs."""
    daemon = box.start(config='listen 127.0.0.1 81 { remote: ::1 8080; }')
    for root in (None, False):
        done = box.run('--check', '-c', box.conf, root=root)
        assert done.returncode == 0, done.stderr
    assert daemon.popen.poll() is None


def test_check_of_the_command_line(box):
    assert box.run('--check', *LISTENER).returncode == 0
    done = box.run('--check', '-p', '81')
    assert done.returncode == 1 and '-r' in done.stderr


ALL = '''# everything
connect-timeout: 1500ms; drain-timeout: 5m;
listen * http {
  resolv: IPv4; remote: www.example.org http; remote: [2001:db8::1] 8080;
  remote-resolv: ipv6; source: 2001:db8::2; timeout: 60;
  half-close-timeout: none; keepalive: no; buffer-size: 4k;
  max-connections: 7; backlog: 9; name: "a \\"b\\" \\\\"; on-error: skip;
  resolve-interval: 5s;
};
listen [::1] 81 { remote:127.0.0.1 1;}
listen name.example 82 { remote: fe80::1%1 2; } # end'''


def test_print_config(box):
    """What it prints is read as the same configuration."""
    first = box.run('--print-config', '-c', box.write(ALL))
    assert first.returncode == 0, first.stderr
    for text in ('1500ms', 'www.example.org', 'on-error: skip'):
        assert text in first.stdout
    second = box.run('--print-config', '-c', box.write(first.stdout))
    assert second.stdout == first.stdout and second.stderr == ''
    assert box.check(first.stdout)[0] == 0


def test_print_config_of_the_command_line(box):
    done = box.run('--print-config', '-l', '127.0.0.1', '-s', '127.0.0.7',
                   '-b', 1000, '-R', 4, *LISTENER)
    assert done.returncode == 0 and done.stderr == ''
    daemon = box.start(config=done.stdout)
    _, server = box.pair(box.listen())
    assert server.getpeername()[0] == '127.0.0.7'
    daemon.wait('listening on: 127.0.0.1:81')


def test_print_sandbox(box):
    done = box.run('--print-sandbox')
    assert done.returncode == 0 and done.stderr == ''
    for word in ('relay', 'dialer', 'resolver', 'logger', 'epoll_wait'):
        assert word in done.stdout
    assert 'no privileges' in box.run('--print-sandbox', root=False).stdout
