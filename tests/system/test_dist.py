"""What dist/ holds, and its installation."""
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile

import pytest

from conftest import BUILD, TOP
from lib import peers
from lib.cell import Cell
from lib.wait import LIMIT, until

DIST = TOP / 'dist'
UNIT = DIST / 'systemd/sallyport.service'
EXAMPLES = sorted(DIST.glob('examples/*.conf')) + [DIST / 'sallyport.conf']
PID = '/run/sallyport/sallyport.pid'
LOG = '/var/log/sallyport/sallyport.log'
INSTALLED = {
    '/etc/default/sallyport': 0o644,
    '/etc/init.d/sallyport': 0o755,
    '/etc/logrotate.d/sallyport': 0o644,
    **{f'/usr/lib/{name}': 0o644 for name in (
        'systemd/system/sallyport.service', 'sysusers.d/sallyport.conf',
        'tmpfiles.d/sallyport.conf')},
    **{f'/usr/libexec/sallyport/{name}': 0o755 for name in (
        'dialer', 'logger', 'parent', 'relay', 'resolver')},
    '/usr/sbin/sallyport': 0o755,
    **{f'/usr/share/doc/sallyport/{name}': 0o644 for name in (
        'LICENSE', 'README.md', 'SECURITY.md', 'sallyport.conf')},
    **{f'/usr/share/doc/sallyport/examples/{name}': 0o644 for name in (
        'database.conf', 'dns-tcp.conf', 'ipv6-ipv4.conf', 'limits.conf',
        'mail.conf', 'names.conf', 'sallyport.socket', 'source.conf',
        'ssh-jump.conf', 'unix-listen.conf', 'unix-remote.conf',
        'web-backends.conf', 'web.conf')},
    '/usr/share/man/man5/sallyport.conf.5': 0o644,
    '/usr/share/man/man8/sallyport.8': 0o644,
}


def make(top, *words):
    return subprocess.run(
        ['make', '-s', '-o', 'all', *words, f'B={BUILD}', f'DESTDIR={top}'],
        cwd=TOP, check=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True).stdout


@pytest.fixture
def dest():
    top = pathlib.Path(tempfile.mkdtemp(prefix='sallyport-dist.'))
    top.chmod(0o755)
    yield top
    subprocess.run(['chmod', '-R', 'u+w', top], check=True)
    shutil.rmtree(top)


@pytest.fixture
def cell(box, dest):
    """Installed as the README says, with a configuration; the network is
    the box's."""
    make(dest, 'install', 'install-dist')
    made = Cell(dest)
    try:
        for words in (['systemd-sysusers'],
                      ['systemd-tmpfiles', '--create', 'sallyport.conf']):
            assert made.run(*words)[0] == 0
        configure(made, 'listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }')
        options(made, f'-L file:4,{LOG}')
        box.server(peers.echo, port=8080)
        yield made
    finally:
        made.close()


def configure(cell, text):
    (cell.etc / 'sallyport.conf').write_text(text)
    (cell.etc / 'sallyport.conf').chmod(0o644)


def options(cell, text):
    (cell.etc / 'default/sallyport').write_text(f'SALLYPORT_OPTS="{text}"\n')


def log_has(cell, text, count=1, name=LOG):
    def there():
        path = cell.path(name)
        return path.exists() and path.read_text().count(text) >= count
    until(there, f'{count} times {text!r} in {name}')


# --- the files ---

@pytest.mark.parametrize('path', EXAMPLES, ids=lambda p: p.name)
def test_example(box, path):
    words = ['--socket-dir', box.jail] if 'listen unix:' in \
        path.read_text() else []
    assert box.check(path.read_text(), *words) == (0, '')
    assert path.parent == DIST or re.search(
        rf'^#   sallyport .*-c {path.name}$', path.read_text(), re.M)


def test_no_file_is_forgotten():
    """Each is installed, but for OpenRC's, which stands for sysv's."""
    names = {p.name for p in DIST.rglob('*') if p.is_file()}
    assert names <= {os.path.basename(p) for p in INSTALLED}


def test_openrc_script():
    subprocess.run(['sh', '-n', DIST / 'openrc/sallyport'], check=True)


# --- installing ---

def found(top):
    return {'/' + str(p.relative_to(top)): stat.S_IMODE(p.lstat().st_mode)
            for p in top.rglob('*') if not p.is_dir()}


def test_install_and_uninstall(dest):
    make(dest, 'install', 'install-dist', 'PREFIX=/usr')
    assert found(dest) == INSTALLED
    empty = dest / 'usr/libexec/sallyport/empty'
    assert stat.S_IMODE(empty.stat().st_mode) == 0o555
    for path in INSTALLED:
        if path.startswith('/etc') or path.endswith('.service'):
            assert '/usr/local' not in (dest / path[1:]).read_text()
    make(dest, 'uninstall', 'PREFIX=/usr')
    assert not list(dest.iterdir())


@pytest.mark.parametrize('order', [
    ('uninstall', 'uninstall-compat'), ('uninstall-compat', 'uninstall')],
    ids=' '.join)
def test_nothing_is_left(dest, order):
    make(dest, 'install', 'install-dist', 'install-compat', 'PREFIX=/usr')
    for target in order:
        make(dest, target, 'PREFIX=/usr')
    assert not list(dest.iterdir())


def test_openrc_is_installed_instead(dest):
    make(dest, 'install-dist', 'INIT=openrc', 'PREFIX=/usr')
    text = (dest / 'etc/init.d/sallyport').read_text()
    assert text == (DIST / 'openrc/sallyport').read_text().replace(
        '/usr/local/', '/usr/')


def test_what_was_changed_is_kept(dest):
    """By a second install, and by uninstall."""
    make(dest, 'install-dist')
    for name in ('etc/default/sallyport', 'etc/logrotate.d/sallyport'):
        (dest / name).write_text('# mine\n')
    for target in ('install-dist', 'uninstall'):
        said = make(dest, target)
        for name in ('etc/default/sallyport', 'etc/logrotate.d/sallyport'):
            assert (dest / name).read_text() == '# mine\n'
            assert re.search(f'{name}: .*kept', said)


# --- systemd ---

def unit():
    """Key to all its words."""
    values = {}
    for line in UNIT.read_text().splitlines():
        if match := re.fullmatch(r'(\w+)=(.*)', line):
            values.setdefault(match[1], []).extend(match[2].split())
    return values


@pytest.mark.superuser
def test_units_are_valid(cell):
    socket = '/usr/local/share/doc/sallyport/examples/sallyport.socket'
    (cell.etc / 'systemd/system').mkdir(parents=True)
    assert cell.run('cp', socket, '/etc/systemd/system')[0] == 0
    assert cell.run('systemd-analyze', 'verify', '--man=no',
                    'sallyport.service', 'sallyport.socket') == (0, '')


def test_exposure():
    """The figure is that of the README."""
    out = subprocess.run(
        ['systemd-analyze', 'security', '--offline=true', '--no-pager', UNIT],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    level = re.search(r'exposure level for sallyport.service: ([\d.]+)', out)
    said = re.search(r'systemd-analyze security[^|]*\| ([\d.]+)',
                     (TOP / 'README.md').read_text())
    assert level[1] == said[1]
    assert float(level[1]) <= 2.0


def test_capabilities_are_those_of_the_program():
    kept = set(re.findall(r'\bCAP_[A-Z_]+',
                          (TOP / 'start/caps.c').read_text()))
    for key in ('CapabilityBoundingSet', 'AmbientCapabilities'):
        assert set(unit()[key]) == kept - {'CAP_CHOWN'}


# Stands in for systemd: the restrictions of the unit that can be had without
# it, then the command.
RESTRICTED = '''
import errno, os, socket, sys
import seccomp
calls, families = sys.argv[1].split(), sys.argv[2].split()
f = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
for name in calls:
    if name == 'socket':
        for family in families:
            f.add_rule(seccomp.ALLOW, name,
                       seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
        continue
    try:
        f.add_rule(seccomp.ALLOW, name)
    except (RuntimeError, OSError):
        pass    # not one of this machine, or of this libseccomp
f.load()
os.execvp(sys.argv[3], sys.argv[3:])
'''


def system_calls():
    """What SystemCallFilter comes to."""
    out = subprocess.run(['systemd-analyze', 'syscall-filter', '--no-pager'],
                         check=True, stdout=subprocess.PIPE, text=True,
                         stderr=subprocess.DEVNULL).stdout
    groups, group = {}, None
    for line in out.splitlines():
        if line.startswith('@'):
            group = groups.setdefault(line.split()[0], [])
        elif group is not None and re.match(r' +[@\w]', line):
            group.append(line.strip())

    def expand(word):
        if not word.startswith('@'):
            return {word}
        return set().union(*map(expand, groups[word]))

    calls = expand('@default')
    for line in re.findall(r'SystemCallFilter=(.*)', UNIT.read_text()):
        words = set().union(*map(expand, line.lstrip('~').split()))
        calls = calls - words if line.startswith('~') else calls | words
    return calls


@pytest.mark.root
@pytest.mark.sandbox
def test_runs_under_the_restrictions_of_the_unit(box, cell):
    """Start, traffic, names, a reload that adds a port, the end."""
    cell.etc.joinpath('hosts').write_text('127.0.0.1 server\n')
    conf = 'listen 127.0.0.1 {} {{ remote: server 8080; }}\n'
    configure(cell, conf.format(81))
    values = unit()
    assert cell.run('install', '-d', '/run/test')[0] == 0
    cell.path('/run/test/restricted').write_text(RESTRICTED)
    bounds, ambient = ('-all' + ''.join(f',+{name[4:].lower()}'
                                        for name in values[key])
                       for key in ('CapabilityBoundingSet',
                                   'AmbientCapabilities'))
    status, said = cell.run(
        'setpriv', '--reuid', *values['User'], '--regid', *values['Group'],
        '--init-groups', '--inh-caps', ambient, '--ambient-caps', ambient,
        '--bounding-set', bounds, '--no-new-privs', 'prlimit', '--core=0', '/usr/bin/python3', '/run/test/restricted',
        ' '.join(sorted(system_calls())),
        ' '.join(values['RestrictAddressFamilies']),
        '/usr/local/sbin/sallyport', '-P', PID, '-L', f'file:4,{LOG}')
    assert status == 0, said
    assert cell.path(PID).stat().st_uid != 0
    log_has(cell, 'generation 1 is running')
    assert box.served('127.0.0.1', 81)
    configure(cell, conf.format(81) + conf.format(82))
    assert cell.run('pkill', '-HUP', '-L', '-F', PID)[0] == 0
    log_has(cell, 'generation 2 is running')
    assert box.served('127.0.0.1', 81) and box.served('127.0.0.1', 82)
    assert cell.run('pkill', '-TERM', '-L', '-F', PID)[0] == 0
    until(lambda: not cell.path(PID).exists(), 'the end')
    text = cell.path(LOG).read_text()
    assert not re.search(r'signal|forbidden|denied|warning', text), text


# --- users, directories, log rotation ---

@pytest.mark.superuser
def test_user_and_directories(cell):
    for user in '_sallyport', '_sallyport-parent':
        status, line = cell.run('getent', 'passwd', user)
        assert status == 0 and line.rstrip().endswith(':/usr/sbin/nologin')
        uid, gid = map(int, line.split(':')[2:4])
    for path, mode in (('/run/sallyport', 0o755),
                       ('/var/log/sallyport', 0o750)):
        info = cell.path(path).stat()
        assert (info.st_uid, info.st_gid) == (uid, gid)     # the parent's
        assert stat.S_IMODE(info.st_mode) == mode


def script(cell, word):
    return cell.run('/etc/init.d/sallyport', word)


@pytest.mark.root
def test_logrotate(box, cell):
    """Renamed, and gone over to; what is no daemon's is left alone."""
    rotate = ('logrotate', '-f', '-s', '/run/state',
              '/etc/logrotate.d/sallyport')
    assert script(cell, 'start')[0] == 0
    log_has(cell, 'generation 1 is running')
    assert cell.run(*rotate) == (0, '')
    log_has(cell, 'generation 2 is running')
    assert 'generation 1' in cell.path(LOG + '.1').read_text()
    assert 'generation 1 is running' not in cell.path(LOG).read_text()
    assert box.served('127.0.0.1', 81)
    log_has(cell, 'session')
    assert script(cell, 'stop')[0] == 0
    # a pid file that nobody has locked names somebody else
    other = cell.run('pgrep', '-x', 'cat')[1]
    assert other.strip().isdigit()
    cell.path(PID).write_text(other)
    cell.path(LOG).write_text('not empty\n')
    assert cell.run(*rotate) == (0, '')
    assert 'not empty' in cell.path(LOG + '.1').read_text()
    assert cell.run('pgrep', '-x', 'cat') == (0, other)
    status, said = cell.run('logrotate', '-d', '/etc/logrotate.d/sallyport')
    assert status == 0 and 'error' not in said, said


# --- the init script ---

@pytest.mark.root
def test_init_script(box, cell):
    assert script(cell, 'status')[0] == 3
    status, said = script(cell, 'start')
    assert status == 0, said
    assert script(cell, 'status') == (0, 'sallyport is running\n')
    assert box.served('127.0.0.1', 81)
    first = cell.path(PID).read_text()
    assert script(cell, 'start')[0] == 0            # it runs already
    assert cell.path(PID).read_text() == first

    configure(cell, 'listen 127.0.0.1 82 { remote: 127.0.0.1 8080; }')
    assert script(cell, 'reload')[0] == 0
    log_has(cell, 'generation 2 is running')
    assert box.served('127.0.0.1', 82)
    assert script(cell, 'force-reload')[0] == 0
    log_has(cell, 'generation 3 is running')
    assert cell.path(PID).read_text() == first

    assert script(cell, 'restart')[0] == 0
    assert cell.path(PID).read_text() != first
    assert box.served('127.0.0.1', 82)
    assert script(cell, 'stop')[0] == 0
    assert not cell.path(PID).exists()
    assert script(cell, 'status')[0] == 3
    assert script(cell, 'stop')[0] == 0
    assert script(cell, 'reload')[0] != 0
    assert script(cell, 'nonsense')[0] == 2


@pytest.mark.root
def test_init_script_and_a_mistake(box, cell):
    """It is shown, and ends nothing."""
    assert script(cell, 'start')[0] == 0
    first = cell.path(PID).read_text()
    configure(cell, 'listen 127.0.0.1 82 { remote: }')
    for word in ('reload', 'force-reload', 'restart'):
        status, said = script(cell, word)
        assert status != 0 and 'sallyport.conf:1:' in said
        assert cell.path(PID).read_text() == first
    assert box.served('127.0.0.1', 81)
    assert 'SIGHUP' not in cell.path(LOG).read_text()
    assert script(cell, 'stop')[0] == 0
    assert script(cell, 'start')[0] != 0
