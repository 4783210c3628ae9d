"""Outgoing connections: remotes in order, names, time-outs, sources."""
import socket
import subprocess

import pytest

from lib import peers
from lib.dns import Dns
from lib.wait import until


def stanza(*statements, port=81):
    return (f'listen 127.0.0.1 {port} {{\n' +
            ''.join(f'  {s};\n' for s in statements) + '}\n')


@pytest.fixture
def dns(box):
    """The only name server there is."""
    server = Dns()
    box.hosts('127.0.0.1 localhost\n')
    box.resolv_conf('nameserver 127.0.0.53\n'
                    'options timeout:1 attempts:1\n')
    box.servers.append(server)
    return server


@pytest.fixture
def hole(box):
    """An address that never answers: the queue of who listens is full."""
    with peers.listen('127.0.0.99', backlog=0):
        while True:
            sock = box.keep(socket.socket())
            sock.settimeout(0.2)
            try:
                sock.connect(('127.0.0.99', 8080))
            except TimeoutError:
                sock.close()
                break
        yield '127.0.0.99'


def greet(box, host, port=8080):
    """A server that says who it is."""
    box.server(peers.says(host.encode()), host, port)


def reached(box, port=81):
    """Who answers?"""
    with peers.connect(port=port) as client:
        return peers.read_all(client).decode()


# --- remotes ---

def test_first_remote_that_answers(box):
    daemon = box.start(config=stanza('remote: 127.0.0.1 8080',
                                     'remote: 127.0.0.2 8080',
                                     'remote: ::1 8080'))
    greet(box, '::1')
    assert reached(box) == '::1'
    assert daemon.session()['remote'] == '[::1]:8080'
    greet(box, '127.0.0.2')
    assert reached(box) == '127.0.0.2'
    greet(box, '127.0.0.1')
    assert reached(box) == '127.0.0.1'


def test_no_remote_answers(box):
    daemon = box.start(config=stanza('remote: 127.0.0.1 8080',
                                     'remote: 127.0.0.2 8081'))
    assert peers.cut_off()
    line = daemon.session(level='warning', reason='connect-refused')
    assert line['remote'] == '127.0.0.2:8081'


def test_unreachable_network(box):
    daemon = box.start(config=stanza('remote: 203.0.113.1 8080',
                                     'remote: 127.0.0.1 8080'))
    greet(box, '127.0.0.1')
    assert reached(box) == '127.0.0.1'
    daemon.reload(stanza('remote: 203.0.113.1 8080'))
    daemon.wait_gone(1)
    assert peers.cut_off()
    line = daemon.session(reason='connect-failed')
    assert 'unreachable' in line['error']


def test_connect_timeout(box, hole):
    """Each try has its own time."""
    daemon = box.start(config='connect-timeout: 300ms;' + stanza(
        f'remote: {hole} 8080', f'remote: {hole} 8080',
        'remote: 127.0.0.1 8080'))
    greet(box, '127.0.0.1')
    assert reached(box) == '127.0.0.1'
    assert daemon.session()['connect_ms'] >= 600
    daemon.reload(stanza(f'remote: {hole} 8080', 'connect-timeout: 200ms'))
    daemon.wait_gone(1)
    assert peers.cut_off()
    line = daemon.session(reason='connect-timeout', level='warning')
    assert line['remote'] == f'{hole}:8080' and line['duration_ms'] >= 200


def test_client_gives_up_while_connecting(box, hole):
    """The attempt ends with the client."""
    daemon = box.start(config=stanza(f'remote: {hole} 8080'))
    client = box.connect()

    def connecting():
        return subprocess.run(['ss', '-Htn', 'state', 'syn-sent'],
                              stdout=subprocess.PIPE, check=True).stdout

    until(connecting, 'the dialer connects')
    peers.reset(client)
    daemon.session(reason='client-reset')
    until(lambda: not connecting(), 'the dialer gives up')


def test_many_wait_one_is_served(box, hole):
    """Slow remotes are no matter to other stanzas."""
    box.start(config=stanza(f'remote: {hole} 8080') +
              stanza('remote: 127.0.0.1 8080', port=82))
    for _ in range(100):
        box.connect()
    box.server(peers.echo)
    for _ in range(20):
        assert box.served(port=82)


def test_refused_connections_leak_nothing(box):
    daemon = box.start(config=stanza('remote: 127.0.0.1 8080'), workers=1,
                       log='stdout:3')
    for _ in range(300):
        assert peers.cut_off()
    assert subprocess.run(['ss', '-Htn', 'state', 'connected'], check=True,
                          stdout=subprocess.PIPE).stdout == b''
    box.server(peers.echo)
    assert box.served()
    if box.privileged:
        relay, = daemon.processes('relay')
        until(lambda: len(relay.fds()) < 16, 'descriptors are closed')
        dialer, = daemon.processes('dialer')
        assert len(dialer.fds()) < 16


# --- source ---

def test_source(box):
    box.start(config=stanza('remote: 127.0.0.1 8080', 'source: 127.0.0.7'))
    _, server = box.pair(box.listen())
    assert server.getpeername()[0] == '127.0.0.7'


@pytest.mark.superuser
def test_source_of_ipv6(box):
    for address in ('2001:db8::7', '2001:db8::8'):
        box.net.ip('addr', 'add', address + '/64', 'dev', 'lo', 'nodad')
    box.start(config=stanza('remote: 2001:db8::8 8080',
                            'source: 2001:db8::7'))
    _, server = box.pair(box.listen('2001:db8::8'))
    assert server.getpeername()[0] == '2001:db8::7'


def test_foreign_source(box):
    """It costs this client its session, not others theirs."""
    daemon = box.start(config=stanza('remote: 127.0.0.1 8080',
                                     'source: 192.0.2.7') +
                       stanza('remote: 127.0.0.1 8080', port=82))
    box.server(peers.echo)
    assert peers.cut_off()
    line = daemon.session(level='warning')
    assert line['reason'] == 'source'
    assert box.served(port=82)


def test_source_by_name(box, dns):
    dns.set('me.test', '127.0.0.7', '::1')
    dns.set('www.test', '127.0.0.1')
    box.start(config=stanza('remote: www.test 8080', 'source: me.test'))
    _, server = box.pair(box.listen())
    assert server.getpeername()[0] == '127.0.0.7'


def test_source_of_no_fitting_family(box, dns):
    dns.set('me.test', '::1')
    daemon = box.start(config=stanza('remote: 127.0.0.1 8080',
                                     'source: me.test'), workers=1)
    daemon.wait('me.test is')
    box.server(peers.echo)
    assert peers.cut_off()
    assert daemon.session()['reason'] == 'source'


# --- names ---

def test_all_addresses_of_a_name(box, dns):
    dns.set('www.test', '127.0.0.1', '127.0.0.2', '127.0.0.3', '::1')
    box.start(config=stanza('remote: www.test 8080'))
    greet(box, '127.0.0.3')
    assert reached(box) == '127.0.0.3'


def test_family_of_a_name(box, dns):
    dns.set('www.test', '127.0.0.1', '::1')
    greet(box, '127.0.0.1')
    greet(box, '::1')
    daemon = box.start(config=stanza('remote: www.test 8080',
                                     'remote-resolv: ipv6') +
                       stanza('remote: www.test 8080', 'remote-resolv: ipv4',
                              port=82), workers=1)
    daemon.wait('www.test is', count=2)
    assert reached(box) == '::1'
    assert reached(box, 82) == '127.0.0.1'


def test_name_of_the_hosts_file(box, dns):
    box.hosts('127.0.0.2 server.lan\n')
    box.start(config=stanza('remote: server.lan 8080'))
    greet(box, '127.0.0.2')
    assert reached(box) == '127.0.0.2'


def test_name_that_appears_later(box, dns):
    """The daemon starts anyway, says so, and finds it without help."""
    daemon = box.start(config=stanza('remote: new.test 8080'), workers=1)
    daemon.wait('cannot resolve new.test: no such name', level='warning')
    assert peers.cut_off()
    line = daemon.session(reason='no-address')
    assert line['remote'] == 'new.test:8080' and line['level'] == 'warning'
    greet(box, '127.0.0.1')
    dns.set('new.test', '127.0.0.1')
    daemon.wait('new.test can be resolved now: 127.0.0.1', level='notice')
    assert reached(box) == '127.0.0.1'


def test_second_remote_while_a_name_is_missing(box, dns):
    box.start(config=stanza('remote: nosuch.test 8080',
                            'remote: 127.0.0.1 8080'))
    greet(box, '127.0.0.1')
    assert reached(box) == '127.0.0.1'


def test_looked_up_again(box, dns):
    """After resolve-interval, without any client."""
    dns.set('www.test', '127.0.0.1')
    greet(box, '127.0.0.1')
    greet(box, '127.0.0.2')
    daemon = box.start(config=stanza('remote: www.test 8080',
                                     'resolve-interval: 1s'), workers=1)
    assert reached(box) == '127.0.0.1'
    dns.set('www.test', '127.0.0.2')
    daemon.wait('www.test has changed to 127.0.0.2')
    assert reached(box) == '127.0.0.2'


def test_looked_up_after_a_failure(box, dns):
    """Not after an hour, then."""
    dns.set('www.test', '127.0.0.1')
    greet(box, '127.0.0.2')
    daemon = box.start(config=stanza('remote: www.test 8080',
                                     'resolve-interval: 1h'), workers=1)
    daemon.wait('www.test is 127.0.0.1')
    dns.set('www.test', '127.0.0.2')

    def moves():
        peers.cut_off()
        return daemon.find('www.test has changed to 127.0.0.2')

    until(moves, 'the new address')
    assert reached(box) == '127.0.0.2'


@pytest.mark.parametrize('how', ['broken', 'silent', 'gone'])
def test_last_good_answer(box, dns, how):
    """It stays while the name service fails."""
    dns.set('www.test', '127.0.0.1')
    greet(box, '127.0.0.1')
    daemon = box.start(config=stanza('remote: www.test 8080',
                                     'resolve-interval: 1s'), workers=1)
    assert reached(box) == '127.0.0.1'
    if how == 'gone':
        dns.drop('www.test')
    else:
        setattr(dns, how, True)
    daemon.wait('cannot resolve www.test', level='warning')
    since = dns.mark()
    for _ in range(10):
        assert reached(box) == '127.0.0.1'
    dns.wait_asked('www.test', since)           # it goes on trying
    assert reached(box) == '127.0.0.1'
    if how != 'gone':
        setattr(dns, how, False)
    dns.set('www.test', '127.0.0.1')
    daemon.wait('www.test can be resolved now')
    assert len(daemon.find('cannot resolve')) == 1      # told once


def test_slow_name_holds_up_nobody(box, dns):
    dns.silent = True
    box.start(config=stanza('remote: slow.test 8080') +
              stanza('remote: 127.0.0.1 8080', port=82))
    waiting = box.connect()
    box.server(peers.echo)
    for _ in range(10):
        assert box.served(port=82)
    dns.set('slow.test', '127.0.0.1')
    dns.silent = False
    try:
        assert peers.ask(waiting)
    except ConnectionResetError:
        pass            # its look-up had failed by then
    until(lambda: quietly(box.served), 'a later one is served')


def quietly(function):
    try:
        return function()
    except (ConnectionError, AssertionError):
        return False


def test_many_names(box, dns):
    """More than the resolver looks up at once."""
    config = ''
    for n in range(100):
        dns.set(f'n{n}.test', f'127.0.1.{n + 1}')
        config += stanza(f'remote: n{n}.test 8080', port=1000 + n)
    daemon = box.start(config=config)
    greet(box, '127.0.1.100')
    daemon.wait('n99.test is 127.0.1.100')
    assert reached(box, 1099) == '127.0.1.100'
    for n in range(100):
        assert daemon.wait(rf'^n{n}\.test is 127\.0\.1\.{n + 1}$')


def test_mapped_answer(box, dns):
    """An IPv4 address must not come in as an IPv6 one."""
    dns.set('www.test', '::ffff:127.0.0.1')
    box.server(peers.echo)
    box.start(config=stanza('remote: www.test 8080'))
    assert peers.cut_off()


# --- listen NAME ---

def test_listen_name(box, dns):
    """A listener for each of its addresses; the looker-up is gone then."""
    box.hosts('127.0.0.2 front\n127.0.0.3 front\n::1 front\n')
    daemon = box.start(config='listen front 81 { remote: 127.0.0.1 8080; }')
    box.server(peers.echo)
    for host in ('127.0.0.2', '127.0.0.3', '::1'):
        assert box.served(host)
    with pytest.raises(ConnectionRefusedError):
        box.connect()
    assert not daemon.processes('resolver')


def test_listen_name_of_one_family(box, dns):
    box.hosts('127.0.0.2 front\n::1 front\n')
    box.start(config='listen front 81 { resolv: ipv6; '
              'remote: 127.0.0.1 8080; }')
    box.server(peers.echo)
    assert box.served('::1')
    with pytest.raises(ConnectionRefusedError):
        box.connect('127.0.0.2')


def test_listen_name_moves_with_a_reload(box, dns):
    box.hosts('127.0.0.2 front\n')
    daemon = box.start(config='listen front 81 { remote: 127.0.0.1 8080; }')
    box.server(peers.echo)
    assert box.served('127.0.0.2')
    box.hosts('127.0.0.3 front\n')
    daemon.reload()
    assert box.served('127.0.0.3')
    daemon.wait_gone(1)
    with pytest.raises(ConnectionRefusedError):
        box.connect('127.0.0.2')


@pytest.mark.parametrize('answer', ['0.0.0.0', '::', '224.0.0.1', 'ff02::1',
                                    '::ffff:127.0.0.1'])
def test_listen_name_odd_answer(box, dns, answer):
    """Such a name must not open more than it says."""
    dns.set('front.test', '127.0.0.2', answer)
    config = 'listen front.test 81 { remote: 127.0.0.1 8080; }'
    done = box.run('-c', box.write(config), '-L', f'file:5,{box.tmp}/log')
    assert done.returncode == 1
    assert 'front.test' in done.stderr and 'wildcard' in done.stderr
    daemon = box.start(config=stanza('remote: 127.0.0.1 8080'))
    daemon.reload_refused(config, 'front.test.*wildcard')
    daemon.deaths_expected = True
    box.server(peers.echo)
    assert box.served()


def test_listen_name_unknown(box, dns):
    done = box.run('-c', box.write(
        'listen nosuch.test 81 { remote: 127.0.0.1 8080; }'), '-L',
        f'file:5,{box.tmp}/log')
    assert done.returncode == 1
    assert 'nosuch.test:81: the name has no such address' in done.stderr


def test_listen_name_without_name_service(box, dns):
    dns.silent = True
    done = box.run('-l', 'front.test', '-p', 81, '-r', '127.0.0.1', '-o',
                   8080, '-L', f'file:5,{box.tmp}/log')
    assert done.returncode == 1
    assert 'name service does not answer' in done.stderr
