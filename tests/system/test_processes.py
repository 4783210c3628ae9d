"""Who the processes are, what they may, and what happens when one dies."""
import os
import pwd
import re
import signal

import pytest

from lib import peers, proc
from lib.wait import until

CONFIG = '''listen 127.0.0.1 81 { remote: 127.0.0.1 8080; }
listen 127.0.0.1 82 { remote: localhost 8080; remote-resolv: ipv4; }
'''
NOBODY = pwd.getpwnam('nobody')
# NET_BIND_SERVICE, SETUID, SETGID, SYS_CHROOT, KILL, SETPCAP
PARENT_CAPS = sum(1 << n for n in (10, 7, 6, 18, 5, 8))


@pytest.fixture
def daemon(box):
    box.server(peers.echo)
    return box.start(config=CONFIG)


def test_titles(box, daemon):
    version = box.run('-v', drop=False).stdout.split()[1]
    assert [p.title for p in daemon.processes()] == [
        f'sallyport: {who}, v{version}' for who in (
            'dialer [gen 1, 1/2]', 'dialer [gen 1, 2/2]', 'logger',
            'relay [gen 1, 1/2]', 'relay [gen 1, 2/2]',
            'resolver [gen 1]')]
    assert proc.cmdline(daemon.pid).startswith(
        f'sallyport: parent, v{version}')


def test_no_resolver_without_names(box):
    daemon = box.forward()
    assert not daemon.processes('resolver')


@pytest.mark.root
def test_identity(box):
    """From /proc: ids, capabilities, root directory, filters."""
    daemon = box.start(config=CONFIG, preexec=lambda: os.setgroups([0, 4]))
    parent = proc.Process(daemon.pid)
    assert parent.status('Uid') == 4 * ['0']
    for kind in ('CapEff', 'CapPrm', 'CapBnd'):
        assert int(parent.status(kind)[0], 16) == PARENT_CAPS
    for kind in ('CapInh', 'CapAmb'):
        assert int(parent.status(kind)[0], 16) == 0
    everybody = [parent, *daemon.processes()]
    for process in everybody:
        assert process.status('NoNewPrivs') == ['1']
        assert process.status('Seccomp') == ['2']
        with open(process.path('limits'), encoding='ascii') as limits:
            assert re.search(r'^Max core file size +0 +0 ', limits.read(),
                             re.M)
    for process in daemon.processes():
        assert process.status('Uid') == 4 * [str(NOBODY.pw_uid)]
        assert process.status('Gid') == 4 * [str(NOBODY.pw_gid)]
        assert process.status('Groups') == []
        for kind in ('CapEff', 'CapPrm', 'CapBnd', 'CapInh', 'CapAmb'):
            assert int(process.status(kind)[0], 16) == 0, (process, kind)
        jailed = process.role != 'resolver'
        assert os.path.samefile(process.path('root'),
                                box.jail if jailed else '/')
        with open(process.path('limits'), encoding='ascii') as limits:
            assert re.search(r'^Max processes +0 +0 ', limits.read(),
                             re.M) or process.role == 'resolver'


@pytest.mark.root
def test_filters_grow(daemon):
    """A relay that accepts has one filter more than before, and P's."""
    wanted = {'relay': 3, 'dialer': 2, 'logger': 2, 'resolver': 2}
    # a relay may still be on its way from GO to its first accept
    until(lambda: all(p.status('Seccomp_filters') == [str(wanted[p.role])]
                      for p in daemon.processes()), 'the second filter')
    assert {p.role for p in daemon.processes()} == set(wanted)
    assert proc.Process(daemon.pid).status('Seccomp_filters') == ['1']


@pytest.mark.root
def test_not_dumpable(daemon):
    """Their /proc files belong to root: nobody of the same uid gets in."""
    for process in [proc.Process(daemon.pid), *daemon.processes()]:
        assert os.stat(process.path('environ')).st_uid == 0


@pytest.mark.root
def test_environment(box):
    """Exactly TZ."""
    daemon = box.forward(env=dict(os.environ, TZ='Europe/Vienna', LD_DEBUG='',
                                  SECRET='x', MALLOC_PERTURB_='1'))
    for process in [proc.Process(daemon.pid), *daemon.processes()]:
        with open(process.path('environ'), 'rb') as environ:
            assert environ.read().rstrip(b'\0') == b'TZ=Europe/Vienna'
    assert re.search(r'\+0[12]:00$', daemon.lines[0]['time'])


@pytest.mark.root
def test_descriptors(daemon):
    """Each has what it needs, and nothing else."""
    for process in daemon.processes():
        if process.role == 'relay':    # which may not have seen GO yet
            until(lambda: len(process.fds()) == 10, 'its listeners')
        fds = process.fds()
        assert [fds[n] for n in range(3)] == 3 * ['/dev/null']
        rest = sorted(what.split(':')[0] for fd, what in fds.items()
                      if fd > 2)
        if process.role == 'logger':
            # control, own log pair, the target and each sender's pair
            rest.remove('pipe')
            assert set(rest) <= {'socket', 'anon_inode'}
        elif process.role == 'relay':
            # control, log, dialer, two listeners; epoll, stop
            assert rest == 2 * ['anon_inode'] + 5 * ['socket'], fds
        elif process.role == 'dialer':
            # control, log, relay, resolver; epoll
            assert rest == ['anon_inode'] + 4 * ['socket'], fds
        assert not any('/' in what and what != '/dev/null'
                       for what in fds.values() if 'anon_inode' not in what)


@pytest.mark.root
def test_no_descriptor_is_inherited(box):
    """What the caller had open, and forgot, ends at sallyport."""
    forgotten = os.open('/etc/passwd', os.O_RDONLY)
    os.set_inheritable(forgotten, True)
    try:
        daemon = box.forward(preexec=lambda: os.dup2(forgotten, 50))
    finally:
        os.close(forgotten)
    for process in [proc.Process(daemon.pid), *daemon.processes()]:
        assert not any('passwd' in what for what in process.fds().values())


@pytest.mark.root
def test_parent_keeps_its_number_of_descriptors(box, daemon):
    """Reloads, good and bad, and deaths leak none."""
    parent = proc.Process(daemon.pid)
    daemon.reload()
    daemon.wait_gone(1)
    # who has gone is buried a moment later
    until(lambda: sum('memfd' in fd for fd in parent.fds().values()) == 1,
          'the end of the first generation')
    before = sorted(parent.fds().values(), key=lambda w: w.split(':')[0])
    for n in range(5):
        gen = daemon.reload()
        daemon.wait_gone(gen - 1)
        daemon.reload_refused('listen', r':\d+:\d+: ')
        daemon.wait('was not started', count=n + 1)
        daemon.write(CONFIG)
    daemon.deaths_expected = True
    until(lambda: len(parent.fds()) == len(before),
          f'as many descriptors as before: {before}')


# --- deaths ---

def test_parent_killed(box, daemon):
    """Nobody is accepted any more, sessions go on, then all end."""
    client = box.connect()
    assert peers.ask(client)
    children = daemon.processes()
    os.kill(daemon.pid, signal.SIGKILL)
    assert daemon.popen.wait(30) == -signal.SIGKILL
    daemon.wait('the parent process has died', count=2)
    until(lambda: all(p.draining for p in map(proc.Process, (
        c.pid for c in children if c.role == 'relay')) if p.title), 'drain')
    with pytest.raises(ConnectionRefusedError):
        box.connect()
    assert peers.ask(client, peers.noise(100000))
    client.close()
    assert daemon.session()['reason'] == 'client-eof'
    daemon.wait_exit()
    for child in children:
        until(lambda pid=child.pid: reaped(pid), f'end of {child}')


def reaped(pid):
    """Orphans are children of this process."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not proc.alive(pid)


def test_parent_killed_while_idle(daemon):
    children = daemon.processes()
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait_exit()
    for child in children:
        until(lambda pid=child.pid: reaped(pid), f'end of {child}')


def test_parent_killed_while_draining(box, daemon):
    """Old generations end as well."""
    client = box.connect()
    assert peers.ask(client)
    daemon.reload()
    children = daemon.processes()
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.popen.wait(30)
    daemon.wait('the parent process has died', gen=1)
    client.close()
    daemon.wait_exit()
    for child in children:
        until(lambda pid=child.pid: reaped(pid), f'end of {child}')


def test_death_of_a_draining_generation(box, daemon):
    """No new generation for an old one's sake."""
    daemon.deaths_expected = True
    client = box.connect()
    assert peers.ask(client)
    daemon.reload()
    for process in daemon.processes(gen=1):
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass        # one ends when the other has gone
    daemon.wait_gone(1)
    with pytest.raises((ConnectionError, AssertionError)):
        peers.ask(client)
    assert daemon.reload() == 3
    assert box.served()


def test_clients_in_the_queue_survive_a_death(box, daemon):
    """Who waits at a listener is served by the next generation."""
    daemon.deaths_expected = True
    for relay in daemon.processes('relay'):
        os.kill(relay.pid, signal.SIGSTOP)
    clients = [box.connect() for _ in range(20)]
    for relay in daemon.processes('relay'):
        os.kill(relay.pid, signal.SIGKILL)
    daemon.running(2)
    assert all(map(peers.ask, clients))


def test_newest_relay_is_run(box):
    """A reload runs what is installed now."""
    done = box.run('--version')
    assert done.returncode == 0
    tree = box.tree.libexec
    box.server(peers.echo)
    daemon = box.forward()
    old = daemon.processes('relay')[0]
    inode = (tree / 'relay').stat().st_ino
    os.link(tree / 'relay', tree / 'relay.old')
    try:
        (tree / 'relay.new').write_bytes((tree / 'relay').read_bytes())
        (tree / 'relay.new').chmod(0o755)
        (tree / 'relay.new').rename(tree / 'relay')
        daemon.reload()
        assert box.served()
        if box.privileged:
            new = daemon.processes('relay', 2)[0]
            assert os.stat(new.path('exe')).st_ino != inode
    finally:
        (tree / 'relay.old').rename(tree / 'relay')
    assert old


def test_program_that_is_missing(box):
    """At a reload: a clear line, and what runs goes on."""
    tree = box.tree.libexec
    box.server(peers.echo)
    daemon = box.forward()
    daemon.deaths_expected = True
    (tree / 'dialer').rename(tree / 'dialer.away')
    try:
        since = daemon.mark()
        daemon.kill(signal.SIGHUP)
        daemon.wait('cannot execute .*/dialer: No such file', since)
        daemon.wait('generation 2 was not started', since)
        assert box.served()
    finally:
        (tree / 'dialer.away').rename(tree / 'dialer')
    daemon.reload()
    assert box.served()
