"""The configuration file: what is said about mistakes, by --check and at
start, and what a file may be."""
import os
import re

import pytest

from lib import peers

GOOD = 'remote: 127.0.0.1 8080;'

# text, where (line:column, or '' for none), what
MISTAKES = [
    ('listen * 81 { %s colour: blue; }' % GOOD, '1:39',
     "unknown keyword 'colour'"),
    ('listen * 81 {\n\t%s\n' % GOOD, '3:1', 'stanza of line 1'),
    ('\n\nlisten * 81\n', '4:1', "expected '{'"),
    ('', '', 'empty file'),
    ('# nothing\n', '', 'no listeners defined'),
    ('listen * 81 { }', '1:1', "without 'remote:'"),
    ('listen * 65536 { %s }' % GOOD, '1:10', "'65536' is no port"),
    ('listen * nosuch { %s }' % GOOD, '1:10', "'nosuch'"),
    ('listen * 81 { remote: 127.0.0.1 0; }', '1:33', "'0' is no port"),
    ('listen 1.2.3.4.5 81 { %s }' % GOOD, '1:8', '1.2.3.4.5'),
    ('listen * 81 { remote: a\0b 1; }', '1:24', 'NUL byte'),
    ('listen * 81 { %s timeout: 5x; }' % GOOD, '1:48', "'5x' is no value"),
    ('listen * 81 { %s timeout: -5; }' % GOOD, '1:48', "'-5'"),
    ('listen * 81 { %s keepalive: maybe; }' % GOOD, '1:50', "'maybe'"),
    ('listen * 81 { %s buffer-size: 2m; }' % GOOD, '1:52', "'2m'"),
    ('listen * 81 { %s backlog: 65536; }' % GOOD, '1:48', "'65536'"),
    ('listen * 81 { %s on-error: panic; }' % GOOD, '1:49', "'panic'"),
    ('listen * 81 { %s resolv: ipv5; }' % GOOD, '1:47', "'ipv5'"),
    ('listen * 81 { %s drain-timeout: 5s; }' % GOOD, '1:39',
     'expected it outside'),
    ('listen * 81 { %s }\nlisten * 81 { %s }' % (GOOD, GOOD), '2:1',
     'stanza of line 1'),
    ('name: x; listen * 81 { %s }' % GOOD, '1:1', "'name'"),
    ('listen * 81 { %s remote-resolv: ipv6; }' % GOOD, '1:23', '127.0.0.1'),
    ('listen * 81 { %s source: ::1; }' % GOOD, '', '::1'),
    ('listen * 81 { remote: "a 1; }\n', '1:23', 'string without end'),
    (';', '1:1', "unexpected ';'"),
    ('Listen * 81 { %s }' % GOOD, '1:1', "'Listen'"),
    ('listen * 81 { remote: %s 1; }' % (254 * 'a'), '1:23', '254 bytes'),
    ('\x1b[2J { }', '1:1', r'\x1b'),
    (''.join('listen * %d { remote: a 1; }' % n for n in range(1, 2051)),
     '', 'expected at most 4096'),
]


@pytest.mark.parametrize('text, where, what', MISTAKES,
                         ids=[w or t[:20] for t, _, w in MISTAKES])
def test_mistakes(box, text, where, what):
    status, errors = box.check(text)
    assert status == 1
    first = errors.splitlines()[0]
    assert first.startswith(f'{box.conf}:{where}: ' if where else
                            str(box.conf)), errors
    assert what in first
    assert 'expected' in first or 'did you mean' in first
    # a sallyport that starts with it says the same to its caller
    done = box.run('-c', box.conf, '-L', f'file:5,{box.tmp}/log')
    assert done.returncode == 1
    assert 'sallyport: ' + first in done.stderr.replace(r'\\', '\\').splitlines()


def test_all_mistakes_in_one_run(box):
    text = ''.join(f'listen * {n} {{ {GOOD} timeout: x; }}\n'
                   for n in range(1, 20))
    status, errors = box.check(text)
    assert status == 1
    assert re.findall(r':(\d+):\d+: ', errors) == [str(n)
                                                   for n in range(1, 20)]
    assert len(re.findall(r'^ +\^$', errors, re.M)) == 19


def test_no_more_than_twenty(box):
    text = ''.join(f'listen * {n} {{ {GOOD} timeout: x; }}\n'
                   for n in range(1, 200))
    status, errors = box.check(text)
    assert status == 1
    assert len(re.findall(r'is no value', errors)) <= 20


def test_caret(box):
    """The line is quoted, the place marked."""
    _, errors = box.check('listen * 81 {\n  timeout: 5x; remote: a 1;\n}')
    _, quoted, caret = errors.splitlines()
    assert quoted.strip() == 'timeout: 5x; remote: a 1;'
    assert quoted[caret.index('^'):].startswith('5x')


@pytest.mark.parametrize('text, what', [
    ('listen * 81 { %s timeout: 5; timeout: 6; }' % GOOD, 'repeated'),
    ('listen * 81 { remote: 127.1 8080; }', '127.0.0.1')])
def test_warnings_change_nothing(box, text, what):
    status, errors = box.check(text)
    assert status == 0 and what in errors and 'warning' in errors
    daemon = box.start(config=text)
    box.server(peers.echo)
    assert box.served()
    assert daemon.find(what, level='warning')


@pytest.mark.parametrize('text', [
    'listen 127.0.0.1 81 { remote: 127.0.0.1 8080; };\n',
    'listen 127.0.0.1 81 {remote:127.0.0.1 8080;}',
    'listen\n127.0.0.1\t81\r\n{remote : 127.0.0.1 8080 ; } ; # end',
    '#x\nlisten 127.0.0.1 81#y\n{ remote: "127.0.0.1" "8080"; };#',
    'remote: 127.0.0.1 8080; listen 127.0.0.1 81 {};',
    'listen [::1] 81 { remote: [::1] 8080; };'])
def test_accepted_forms(box, text):
    box.start(config=text)
    host = '::1' if '::1' in text else '127.0.0.1'
    box.server(peers.echo, host)
    assert box.served(host)


def test_defaults_for_the_stanzas_below(box):
    box.start(config=f'''listen 127.0.0.1 81 {{ {GOOD} }}
        source: 127.0.0.7;
        listen 127.0.0.1 82 {{ {GOOD} }}
        listen 127.0.0.1 83 {{ {GOOD} source: *; }}''')
    listener = box.listen()
    for port, source in ((81, '127.0.0.1'), (82, '127.0.0.7'),
                         (83, '127.0.0.1')):
        _, server = box.pair(listener, port=port)
        assert server.getpeername()[0] == source


# --- what may be a configuration file ---

def refused(box, path, *messages):
    done = box.run('-D', '-L', 'stderr:5', '-c', path)
    assert done.returncode == 1
    for message in messages:
        assert message in done.stderr, done.stderr
    assert str(path) in done.stderr


def test_too_large(box):
    text = 'listen 127.0.0.1 81 { %s }\n' % GOOD
    fill = '#' * ((1 << 20) - len(text))
    box.start(config=text + fill).stop()
    refused(box, box.write(text + fill + '#'), 'at most 1 MiB')
    status, errors = box.check(text + fill + '#')
    assert status == 1 and 'at most 1 MiB' in errors


def test_fifo(box):
    path = box.tmp / 'fifo'
    os.mkfifo(path)
    refused(box, path, 'regular file')


def test_directory(box):
    refused(box, box.tmp, 'regular file')


def test_missing(box):
    refused(box, box.tmp / 'nothing', 'No such file')
    done = box.run('--check', '-c', box.tmp / 'nothing')
    assert done.returncode == 1 and 'No such file' in done.stderr


@pytest.mark.parametrize('mode', [0o664, 0o646, 0o602])
def test_writable_by_others(box, mode):
    path = box.write('listen 127.0.0.1 81 { %s }' % GOOD)
    path.chmod(mode)
    refused(box, path, 'nobody else can write')


@pytest.mark.root
def test_of_somebody_else(box):
    path = box.write('listen 127.0.0.1 81 { %s }' % GOOD)
    os.chown(path, 65534, 0)
    refused(box, path, "file of root's")


@pytest.mark.root
def test_private(box):
    """Only P opens it: the others need no permission."""
    path = box.write('listen 127.0.0.1 81 { %s }' % GOOD)
    path.chmod(0o400)
    box.server(peers.echo)
    box.start('-c', path)
    assert box.served()


def test_symbolic_link(box):
    """A link is what it leads to, also at the next reload."""
    path = box.write('listen 127.0.0.1 81 { %s }' % GOOD)
    link = box.tmp / 'link'
    link.symlink_to(path)
    daemon = box.start('-c', link)
    other = box.tmp / 'other'
    path.rename(other)
    link.unlink()
    link.symlink_to(other)
    assert daemon.reload() == 2


# --- on-error ---

def test_skip(box):
    """Other stanzas go on; the log says what was left out, and why."""
    box.listen('127.0.0.1', 82)
    daemon = box.start(config=f'''on-error: skip;
        listen 127.0.0.1 81 {{ {GOOD} }}
        listen 127.0.0.1 82 {{ {GOOD} }}
        listen 192.0.2.1 83 {{ {GOOD} }}
        listen nosuch.invalid 84 {{ {GOOD} }}''')
    box.server(peers.echo)
    assert box.served()
    for line, text in ((3, '127.0.0.1:82: Address already in use'),
                       (4, '192.0.2.1:83: Cannot assign'),
                       (5, 'nosuch.invalid:84: ')):
        assert daemon.wait(re.escape(f'{box.conf}:{line}: cannot listen on '
                                     f'{text}'), level='warning')


def test_fail(box):
    """All failures are told, and nothing is served."""
    box.listen('127.0.0.1', 82)
    path = box.write(f'''listen 127.0.0.1 81 {{ {GOOD} }}
        listen 127.0.0.1 82 {{ {GOOD} }}
        listen 192.0.2.1 83 {{ {GOOD} }}''')
    done = box.run('-c', path, '-L', f'file:5,{box.tmp}/log')
    assert done.returncode == 1
    assert f'{path}:2: cannot listen on 127.0.0.1:82: ' in done.stderr
    assert f'{path}:3: cannot listen on 192.0.2.1:83: ' in done.stderr
    with pytest.raises(ConnectionRefusedError):
        box.connect()


def test_nothing_left(box):
    path = box.write(f'listen 192.0.2.1 83 {{ {GOOD} on-error: skip; }}')
    done = box.run('-c', path, '-L', f'file:5,{box.tmp}/log')
    assert done.returncode == 1
    assert 'no address left' in done.stderr
