"""README's tables: each message of its troubles is produced for real, and its
figures are those of today."""
import os
import re
import resource
import signal
import subprocess

import pytest

from conftest import BUILD, TOP
from lib import peers

README = (TOP / 'README.md').read_text(encoding='utf-8')

ONE = ('-l', '127.0.0.1', '-p', 81, '-r', '127.0.0.1', '-o', 8080)
STANZA = 'listen 127.0.0.1 81 {{ remote: {}; }}\n'


def table():
    """The messages, in the first column below `## Troubleshooting'."""
    text = README.split('\n## Troubleshooting\n')[1].split('\n## ')[0]
    return re.findall(r'^\| `([^`]+)` \|', text, re.M)


def errors(done):
    assert done.returncode in (0, 1), done.stderr
    return done.stderr


def log(daemon):
    """As text targets have it, more or less."""
    return '\n'.join(' '.join([line['msg']] + [
        f'{k}={v}' for k, v in line.items()]) for line in daemon.lines)


# --- at start ---

def address_in_use(box):
    box.listen('127.0.0.1', 81)
    return errors(box.run('-D', *ONE))


def address_not_here(box):
    return errors(box.run('-D', '-l', '192.0.2.1', *ONE[2:]))


def low_port(box):
    return errors(box.run('-D', *ONE, root=False))


def pid_file(box):
    box.forward('-P', box.tmp / 'pid')
    return errors(box.run('-D', '-P', box.tmp / 'pid', *ONE))


def writable_file(box):
    box.write(STANZA.format('127.0.0.1 8080')).chmod(0o666)
    return errors(box.run('-D', '-c', box.conf))


def mistake(box):
    return box.check(STANZA.format('127.0.0.1 8080; timout: 1m'))[1]


def unknown_user(box):
    return errors(box.run('-u', 'no-such-user', *ONE, drop=False))


def no_user(box):
    box.listen('127.0.0.1', 81)
    return errors(box.run('-D', *ONE, drop=False))


def open_jail(box):
    box.jail.chmod(0o777)
    return errors(box.run('-D', *ONE))


def closed_directory(box):
    """Root has no more rights than others there."""
    path = box.tmp / 'log'
    path.mkdir(mode=0o755)
    os.chown(path, 54321, 54321)
    return errors(box.run('-D', '-L', f'file:4,{path}/log', *ONE))


def few_descriptors(box):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    return errors(box.run('-D', '--max-connections', 5000, *ONE, root=False,
                          preexec_fn=limit))


def no_program(box):
    copy = box.tmp / 'tree'
    subprocess.run(['cp', '-r', box.tree.top / 'usr', copy], check=True)
    (copy / 'libexec/sallyport/dialer').unlink()
    done = subprocess.run([copy / 'sbin/sallyport', '-D', '-u', 'nobody',
                           *map(str, ONE)], check=False, text=True,
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return errors(done)


# --- running ---

def refused_reload(box):
    box.listen('127.0.0.1', 82)
    daemon = box.start(config='listen 127.0.0.1 83 { remote: 127.0.0.1 1; }')
    daemon.deaths_expected = True
    daemon.write('listen 127.0.0.1 82 { remote: 127.0.0.1 1; }')
    daemon.kill(signal.SIGHUP)
    daemon.wait('was not started')
    return log(daemon)


def death(box):
    daemon = box.forward()
    daemon.deaths_expected = True
    os.kill(daemon.processes('dialer')[0].pid, signal.SIGKILL)
    daemon.running(2)
    return log(daemon)


def other_version(box):
    done = subprocess.run([box.tree.libexec / 'relay', 'version=1'],
                          check=False, stderr=subprocess.PIPE, text=True)
    return errors(done)


def full(box):
    box.server(peers.echo)
    daemon = box.forward('--max-connections', 1, workers=1)
    clients = [box.connect(), box.connect()]
    assert peers.ask(clients[0])
    daemon.wait('^clients of ')
    return log(daemon)


def no_name(box):
    box.hosts('127.0.0.1 localhost\n')
    box.resolv_conf('nameserver 127.0.0.1\noptions timeout:1 attempts:1\n')
    daemon = box.start(config=STANZA.format('no-such-name.test 80'))
    daemon.wait('^cannot resolve')
    assert peers.cut_off()
    daemon.session()
    return log(daemon)


def no_server(box):
    daemon = box.forward()
    assert peers.cut_off()
    daemon.session()
    return log(daemon)


def silent_server(box):
    """One whose queue is full takes no more."""
    box.listen('127.0.0.1', 8080, backlog=0)
    box.connect(port=8080)
    daemon = box.start(config=STANZA.format(
        '127.0.0.1 8080; connect-timeout: 100ms'))
    assert peers.cut_off()
    daemon.session()
    return log(daemon)


def no_walls(box):
    return log(box.forward('-p', 8100, root=False))


TROUBLES = [
    ('cannot listen on ...: Address already in use', address_in_use),
    ('cannot listen on ...: Cannot assign', address_not_here),
    ('cannot listen on ...: Permission denied', low_port),
    ('pid file ...: sallyport is running already', pid_file),
    ('configuration file ...: expected a file of root', writable_file),
    ("unknown keyword '...'", mistake),
    ('option -u: unknown user', unknown_user),
    ('no -u and no user _sallyport', no_user),
    ('option -C: jail ...', open_jail),
    ('option -L: cannot open ...', closed_directory),
    ('--max-connections ...', few_descriptors),
    ('cannot execute ...', no_program),
    ('this program (...) has protocol version', other_version),
    ('generation ... was not started', refused_reload),
    ('... died of signal ...', death),
    ('a process has died', death),
    ('clients of ... wait', full),
    ('cannot resolve ...', no_name),
    ('... reason=no-address', no_name),
    ('... reason=connect-refused', no_server),
    ('... reason=connect-timeout', silent_server),
    ('sandbox without', no_walls),
]


@pytest.mark.root
@pytest.mark.parametrize('begin, produce', TROUBLES,
                         ids=[b for b, _ in TROUBLES])
def test_trouble(box, begin, produce):
    """The row that begins so is what sallyport says."""
    message, = (m for m in table() if m.startswith(begin))
    assert re.search(re.escape(message).replace(r'\.\.\.', '.+'),
                     produce(box))


def test_no_other_troubles():
    rows = table()
    assert len(rows) == len(TROUBLES) > 20
    assert all(sum(row.startswith(begin) for begin, _ in TROUBLES) == 1
               for row in rows)


# --- figures ---

def figures():
    """{figure: (is, at most or '')}"""
    text = README.split('\n## Figures\n')[1].split('\n## ')[0]
    return {name: (int(value), most) for name, value, most in
            re.findall(r'^\| ([^|]+) \| (\d+) \| (\d*) ?\|', text, re.M)}


BUDGET = {
    'lines of code that stay privileged': 'priv/*.c: lines of code',
    'the same with what they use of `common/`':
        'priv/ and its common/, *.c: lines of code',
    'lines of code that read what a child says':
        'priv/reader.c: lines of code',
    'functions that the parent takes from libraries':
        'parent: undefined symbols',
    'system calls open to a relay that forwards':
        'relay after GO: system calls',
}


@pytest.mark.sandbox
def test_figures():
    """The table shows what `make budget' prints today."""
    done = subprocess.run(['tests/lint/budget', BUILD], cwd=TOP, check=True,
                          stdout=subprocess.PIPE, text=True)
    printed = {name: (int(value), most) for name, value, most in
               re.findall(r'^(\S.*?) +(\d+) +(\d+)$', done.stdout, re.M)}
    assert {name: figures()[name] for name in BUDGET} == {
        name: printed[row] for name, row in BUDGET.items()}
    assert len(figures()) == len(BUDGET) + 1


def test_memory_figure(box):
    daemon = box.forward('--max-connections', 10000)
    line = daemon.wait('^at most ')['msg']
    sessions, size = map(int, re.match(
        r'at most (\d+) sessions in .*: (\d+) KiB of tables', line).groups())
    value, _ = figures()['bytes of a relay\'s tables for each connection']
    assert value == round(size * 1024 / sessions)
