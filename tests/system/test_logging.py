"""The log of a whole sallyport: targets, levels, formats, session lines."""
import fcntl
import json
import os
import re
import select
import subprocess
import time

import pytest

from lib import peers
from lib.syslog import Dev, Syslogd
from lib.wait import LIMIT, until

STAMP = r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d'
LEVELS = ['off', 'error', 'warning', 'notice', 'info', 'debug']
TEXT = re.compile(
    f'{STAMP} (error|warning|notice|info|debug) '
    r'(sallyport|logger|(relay|dialer|resolver)\[[\d.]+\]): [ -~]+')
F_SETPIPE_SZ = 1031


def session_line(daemon, box, client, server):
    client.sendall(b'x' * 10)
    assert peers.read_some(server, 10)
    server.sendall(b'y' * 20)
    assert peers.read_some(client, 20)
    client.close()
    server.close()
    return daemon.session()


def test_session_line(box):
    daemon = box.start(config='''listen 127.0.0.1 81 {
        name: "the \\"web\\""; remote: 127.0.0.1 8080; }''')
    client, server = box.pair(box.listen())
    host, port = client.getsockname()
    line = session_line(daemon, box, client, server)
    assert re.fullmatch(STAMP, line.pop('time'))
    duration, connect = line.pop('duration_ms'), line.pop('connect_ms')
    assert 0 <= connect <= duration + 1 < 1000 * LIMIT
    assert line.pop('worker') in (1, 2)
    assert line == {
        'level': 'info', 'role': 'relay', 'gen': 1, 'msg': 'session',
        'name': 'the "web"', 'client': f'{host}:{port}',
        'listener': '127.0.0.1:81', 'remote': '127.0.0.1:8080',
        'to_server': 10, 'to_client': 20, 'reason': 'client-eof'}


def test_session_lines_all(box):
    """--log-sessions all: what happens is told when it does."""
    daemon = box.forward('--log-sessions', 'all')
    client, server = box.pair(box.listen())
    name = ':'.join(map(str, client.getsockname()))
    begin = daemon.wait('^session accepted$', client=name)
    connected = daemon.wait('^session connected$', client=name)
    assert 'server_fd' not in begin and begin['fd'] == connected['fd']
    assert connected['server_fd'] != connected['fd']
    assert not daemon.find('^session$')
    client.close()
    server.close()
    line = daemon.session(client=name)
    assert (line['fd'], line['server_fd']) == \
        (connected['fd'], connected['server_fd'])


def test_session_line_of_ipv6(box):
    daemon = box.start('-l', '::1', '-p', 81, '-r', '::1', '-o', 8080)
    client, server = box.pair(box.listen('::1'), '::1')
    port = client.getsockname()[1]
    line = session_line(daemon, box, client, server)
    assert line['client'] == f'[::1]:{port}'
    assert line['listener'] == '[::1]:81'
    assert line['remote'] == '[::1]:8080'


def test_text(box):
    """Each line is one line, printable, with ISO 8601 time and offset."""
    path = box.tmp / 'text.log'
    daemon = box.start('--log-format', 'text', '-L', f'file:5,{path}',
                       config='''listen 127.0.0.1 81 {
        name: "the \\"web\\" \\\\"; remote: localhost 8080; }''',
                       log='stderr:1', ready=False)
    until(lambda: path.exists() and 'is running' in path.read_text(), 'ready')
    box.server(peers.echo)
    assert box.served()
    until(lambda: ': session ' in path.read_text(), 'session')
    assert daemon.stop() == 0
    lines = path.read_text().splitlines()
    for line in lines:
        assert TEXT.fullmatch(line), line
    line, = (line for line in lines if ': session ' in line)
    assert r'name="the \"web\" \\" client=127.0.0.1:' in line
    assert ' reason=client-eof' in line
    assert lines[-1].endswith('notice sallyport: stopped')


def test_levels(box):
    """A target has the lines up to its own level; there can be several."""
    paths = [box.tmp / f'log{level}' for level in range(6)]
    targets = [word for n, path in enumerate(paths)
               for word in ('-L', f'file:{n},{path}')]
    daemon = box.start(*targets,
                       config='''listen 127.0.0.1 81 { remote: ::1 8080; }
        listen 127.0.0.1 82 { remote: nosuch.invalid 1; }''')
    assert peers.cut_off()
    daemon.session()
    daemon.reload_refused('listen', r':1:\d+')
    daemon.wait('was not started')
    daemon.deaths_expected = True
    assert daemon.stop() == 0
    lines = [path.read_text().splitlines() for path in paths]
    every = [json.loads(line) for line in lines[5]]
    assert {e['level'] for e in every} >= set(LEVELS[1:5])
    for level in range(6):
        assert [json.loads(line) for line in lines[level]] == [
            e for e in every if LEVELS.index(e['level']) <= level]
    assert not lines[0]


def test_file_is_appended_to(box):
    path = box.tmp / 'log'
    path.write_text('what was there before\n')
    if not box.privileged:
        path.chmod(0o666)
    for _ in range(2):
        box.forward('-L', f'file:3,{path}').stop()
    lines = path.read_text().splitlines()
    assert lines[0] == 'what was there before'
    assert sum('"stopped"' in line for line in lines) == 2


@pytest.mark.root
def test_file_is_private(box):
    path = box.tmp / 'log'
    box.forward('-L', f'file:3,{path}')
    assert (path.stat().st_mode & 0o077) & ~0o040 == 0
    assert path.stat().st_uid == 0


def test_renamed_file(box):
    """logrotate: rename, SIGHUP, a new file."""
    path, old = box.tmp / 'log', box.tmp / 'log.1'
    daemon = box.forward('-L', f'file:5,{path}')
    box.server(peers.echo)
    assert box.served()
    daemon.session()
    until(lambda: 'session' in path.read_text(), 'a line')
    path.rename(old)
    assert box.served()
    until(lambda: old.read_text().count('"session"') == 2, 'the old one')
    daemon.reload()
    daemon.wait_gone(1)
    size = old.stat().st_size
    assert box.served()
    until(lambda: path.exists() and '"session"' in path.read_text(), 'new')
    assert old.stat().st_size == size


@pytest.mark.root
def test_file_that_cannot_be_reopened(box):
    """It goes on as it was; the log says so."""
    path, old = box.tmp / 'dir/log', box.tmp / 'dir/log.1'
    path.parent.mkdir()
    daemon = box.forward('-L', f'file:5,{path}')
    path.rename(old)
    path.mkdir()
    box.server(peers.echo)
    daemon.reload()
    assert daemon.find(f'cannot open the log {path}')
    daemon.wait_gone(1)
    assert box.served()
    until(lambda: '"session"' in old.read_text(), 'the old one is used')


@pytest.mark.root
def test_directory_without_permission(box):
    """Root without DAC_OVERRIDE is told what that means."""
    path = box.tmp / 'theirs'
    path.mkdir(mode=0o700)
    os.chown(path, 65534, 65534)
    daemon = box.forward('-L', f'file:3,{path}/log', ready=False)
    until(lambda: daemon.find('is running') or daemon.popen.poll(), 'start')
    if daemon.popen.poll():             # a root that never had it
        daemon.deaths_expected = True
        daemon.wait_exit()
        assert f'cannot open file:3,{path}/log (root itself needs ' \
            'permission' in daemon.errors[0]
        assert daemon.errors[0].endswith('Permission denied')
        return
    daemon.reload()
    line = daemon.wait(f'cannot open the log {path}/log again')
    assert 'DAC_OVERRIDE' in line['msg'] and 'Permission' in line['msg']
    until(lambda: 'generation 2 is running' in (path / 'log').read_text(),
          'it goes on as it was')


# --- targets that don't take lines ---

def test_blocked_pipe(box):
    """Standard error is a pipe that nobody reads."""
    read, write = os.pipe()
    fcntl.fcntl(write, F_SETPIPE_SZ, 4096)
    daemon = box.forward('-L', 'stderr:5', stderr=write)
    os.close(write)
    box.server(peers.echo)
    for _ in range(200):
        assert box.served()
    daemon.session(count=200)           # the other target has them all
    daemon.reload()
    assert box.served()
    # read now, it hears how much it has missed
    got = b''
    os.set_blocking(read, False)
    end = time.monotonic() + LIMIT
    while b'lines lost' not in got:
        assert time.monotonic() < end
        if not select.select([read], [], [], 0.1)[0]:
            assert box.served()         # a line more, to come with it
            continue
        got += os.read(read, 65536)
    for line in got.splitlines():
        assert json.loads(line)
    assert daemon.stop() == 0
    os.close(read)


def test_closed_pipe(box):
    """The reader of standard error is gone: no SIGPIPE, no stall."""
    read, write = os.pipe()
    daemon = box.forward('-L', 'stderr:5', stderr=write)
    os.close(write)
    os.close(read)
    box.server(peers.echo)
    for _ in range(20):
        assert box.served()
    daemon.session(count=20)
    daemon.reload()
    assert len(daemon.processes('logger')) == 1


# --- syslog ---

@pytest.fixture
def dev(box):
    return Dev(box.tmp / 'dev')


@pytest.fixture
def syslogd(box, dev):
    """Who listens there now; start() lets the next one listen."""
    class Now:
        def start(self):
            self.daemon = Syslogd(dev.log)
            box.servers.append(self.daemon)
            return self.daemon

        def heard(self):
            """Until a line about a session has come."""
            self.daemon.sock.settimeout(0.2)

            def heard():
                assert box.served()
                try:
                    return self.daemon.wait('session ')
                except TimeoutError:
                    return None

            until(heard, 'lines for syslogd')
            return self.daemon.got

    return Now()


def test_syslog(box, dev, syslogd):
    heard = syslogd.start()
    daemon = box.forward('-L', 'syslog:4,front,local3', preexec=dev.mount)
    box.server(peers.echo)
    assert box.served()
    line = heard.wait('session ')
    assert re.fullmatch(
        r'<%d>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d front\[%d\]: '
        r'relay\[1\.[12]\]: session client=.* reason=client-eof'
        % (19 * 8 + 6, daemon.pid), line), line
    line = heard.wait('generation 1 is running')
    assert line.startswith(f'<{19 * 8 + 5}>')


def test_default_target(box, dev, syslogd):
    """Without -L: syslog:3,sallyport,daemon."""
    heard = syslogd.start()
    popen = subprocess.Popen(
        box.command('-D', '-l', '127.0.0.1', '-p', 81, '-r', '127.0.0.1',
                    '-o', 8080), preexec_fn=dev.mount)
    box.programs.append(popen)
    line = heard.wait('generation 1 is running')
    assert re.match(rf'<{3 * 8 + 5}>.* sallyport\[{popen.pid}\]: ', line)
    popen.terminate()
    assert popen.wait(LIMIT) == 0
    assert not any('session' in line for line in heard.got)


def test_syslogd_restarts(box, dev, syslogd):
    """A new socket is found without SIGHUP."""
    first = syslogd.start()
    daemon = box.forward('-L', 'syslog:4', preexec=dev.mount)
    box.server(peers.echo)
    first.wait('generation 1 is running')
    first.stop()
    for _ in range(5):
        assert box.served()
    daemon.session(count=5)
    syslogd.start()
    assert any('lines lost' in line for line in syslogd.heard())


def test_syslogd_that_comes_later(box, dev, syslogd):
    daemon = box.forward('-L', 'syslog:4', preexec=dev.mount)
    box.server(peers.echo)
    assert box.served()
    daemon.session()
    syslogd.start()
    syslogd.heard()


def test_syslogd_that_sleeps(box, dev, syslogd):
    """Its socket is full: nobody waits for it."""
    syslogd.start()
    daemon = box.forward('-L', 'syslog:5', preexec=dev.mount)
    box.server(peers.echo)
    for _ in range(700):
        assert box.served()
    daemon.session(count=700)
    assert daemon.reload() == 2
