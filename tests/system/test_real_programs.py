"""Real clients that reach real servers through sallyport on a port below
1024, as users run it."""
import glob
import os
import pwd
import subprocess
import threading

import pytest

from lib import peers
from lib.wait import LIMIT, until

FRONT = ('-l', '127.0.0.1', '-r', '127.0.0.1')


def run(*words, **more):
    """Standard output of a client that succeeds."""
    return subprocess.run([*map(str, words)], check=True, timeout=LIMIT,
                          stdout=subprocess.PIPE, **more).stdout


@pytest.fixture
def own(box):
    """A directory for servers that don't run as root."""
    path = box.tmp / 'own'
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam('nobody')
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return path


def test_nginx_and_curl(box, own):
    data = peers.noise(8 << 20)
    (own / 'file').write_bytes(data)
    (own / 'file').chmod(0o644)
    own.chmod(0o755)
    conf = box.tmp / 'nginx.conf'
    conf.write_text(f'''
        daemon off; master_process off; pid {own}/pid;
        error_log {own}/error.log;
        events {{ }}
        http {{
            access_log off; root {own}; client_max_body_size 64m;
            client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
            fastcgi_temp_path {own}/fast; uwsgi_temp_path {own}/uwsgi;
            scgi_temp_path {own}/scgi;
            server {{ listen 127.0.0.1:8080; }}
        }}''')
    box.program('nginx', '-c', conf, '-e', own / 'error.log', user=True)
    box.await_port(8080)
    daemon = box.start(*FRONT, '-p', 80, '-o', 8080)
    url = 'http://127.0.0.1:80/file'
    assert run('curl', '-sS', url) == data
    # one connection for many requests, then many connections at once
    out = run('curl', '-sS', '-o', '/dev/null', '-w', '%{http_code} ',
              '-r', '0-99', url + '?[1-50]')
    assert out == b'206 ' * 50
    clients = [subprocess.Popen(['curl', '-sS', url], stdout=subprocess.PIPE)
               for _ in range(8)]
    for client in clients:
        assert peers.digest(client.communicate(timeout=LIMIT)[0]) == \
            peers.digest(data)
    sizes = [e['to_client'] for e in
             [daemon.session(count=n) for n in range(1, 11)]]
    assert sum(size > len(data) for size in sizes) == 9


def test_redis(box, own):
    box.program('redis-server', '--port', 6379, '--bind', '127.0.0.1',
                '--save', '', '--appendonly', 'no', '--dir', own, user=True,
                cwd='/')
    box.await_port(6379)
    box.start(*FRONT, '-p', 79, '-o', 6379)
    cli = ('redis-cli', '-h', '127.0.0.1', '-p', 79)
    assert run(*cli, 'set', 'key', 'value') == b'OK\n'
    assert run(*cli, 'get', 'key') == b'value\n'
    big = peers.noise(1 << 20).hex()
    assert run(*cli, '-x', 'set', 'big', input=big.encode()) == b'OK\n'
    assert run(*cli, 'get', 'big') == big.encode() + b'\n'
    pipe = b''.join(b'INCR n\r\n' for _ in range(20000))
    assert b'errors: 0, replies: 20000' in run(*cli, '--pipe', input=pipe)
    assert run(*cli, 'get', 'n') == b'20000\n'


def test_postgres(box, own):
    programs = sorted(glob.glob('/usr/lib/postgresql/*/bin'))[-1]
    prefix = box.prefix(root=False)
    quick = ('-N', '-A', 'trust', '-U', 'me', '--locale=C', '-E', 'UTF8')
    run(*prefix, f'{programs}/initdb', '-D', own / 'data', *quick, cwd='/')
    box.program(f'{programs}/postgres', '-D', own / 'data', '-k', '', '-F',
                '-c', 'listen_addresses=127.0.0.1', '-p', 5432, user=True,
                cwd='/')
    box.await_port(5432)
    box.start(*FRONT, '-p', 543, '-o', 5432)
    sql = ('psql', '-X', '-A', '-t', '-h', '127.0.0.1', '-p', 543, '-U', 'me',
           '-d', 'postgres', '-v', 'ON_ERROR_STOP=1')
    assert run(*sql, '-c', 'select 6 * 7') == b'42\n'
    out = run(*sql, '-c', "select repeat('x', 1000) "
              'from generate_series(1, 3000)')
    assert out == (b'x' * 1000 + b'\n') * 3000
    rows = b''.join(b'%d\n' % n for n in range(100000))
    run(*sql, '-c', 'create table t (n int)')
    run(*sql, '-c', 'copy t from stdin', input=rows)
    assert run(*sql, '-c', 'select sum(n) from t') == b'4999950000\n'


@pytest.mark.superuser
def test_ssh(box, own):
    for name in ('host', 'user'):
        run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', '', '-f',
            own / name)
    keys = own / 'authorized_keys'
    keys.write_bytes((own / 'user.pub').read_bytes())
    conf = box.tmp / 'sshd_config'
    conf.write_text(f'''
        ListenAddress 127.0.0.1:2222
        HostKey {own}/host
        AuthorizedKeysFile {keys}
        PidFile none
        StrictModes no
        UsePAM no
        PasswordAuthentication no
        PermitRootLogin prohibit-password
        ''')
    os.makedirs('/run/sshd', exist_ok=True)
    box.program('/usr/sbin/sshd', '-D', '-e', '-f', conf)
    box.await_port(2222)
    box.start(*FRONT, '-p', 22, '-o', 2222)
    me = subprocess.check_output(['id', '-un'], text=True).strip()
    ssh = ('ssh', '-F', 'none', '-p', 22, '-i', own / 'user', '-o',
           'IdentitiesOnly=yes', '-o', 'StrictHostKeyChecking=no', '-o',
           f'UserKnownHostsFile={own}/known', '-o', 'BatchMode=yes', '-o',
           'LogLevel=ERROR', f'{me}@127.0.0.1')
    assert run(*ssh, 'echo hello', stdin=subprocess.DEVNULL) == b'hello\n'
    data = peers.noise(5 << 20)
    assert run(*ssh, f'cat >{own}/copy', input=data) == b''
    assert (own / 'copy').read_bytes() == data
    assert run(*ssh, f'cat {own}/copy', stdin=subprocess.DEVNULL) == data


def nc(box, *words, **more):
    popen = subprocess.Popen(['nc', *words], **more)
    box.programs.append(popen)
    return popen


def await_listener(port):
    """Without connecting: nc would take that for its only client."""
    until(lambda: b'127.0.0.1:%d ' % port in run('ss', '-Hltn'), 'nc listens')


def test_nc_upload(box):
    """nc ends its direction with its input, and the other end hears it."""
    data = peers.noise(4 << 20)
    box.forward()
    server = nc(box, '-l', '127.0.0.1', '8080', stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE)
    await_listener(8080)
    client = nc(box, '-N', '127.0.0.1', '81', stdin=subprocess.PIPE)
    sender = threading.Thread(target=client.communicate, args=(data,))
    sender.start()
    assert server.communicate(timeout=LIMIT)[0] == data
    sender.join(LIMIT)
    assert client.wait(LIMIT) == 0 and server.wait(LIMIT) == 0


def test_nc_download(box):
    data = peers.noise(4 << 20)
    box.forward()
    server = nc(box, '-l', '-N', '127.0.0.1', '8080', stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL)
    await_listener(8080)
    sender = threading.Thread(target=server.communicate, args=(data,))
    sender.start()
    assert run('nc', '-d', '127.0.0.1', 81) == data
    sender.join(LIMIT)


def test_nc_question_and_answer(box):
    """The answer may come long after the question has ended."""
    data = peers.noise(4 << 20)

    def handler(sock):
        sock.sendall(peers.digest(peers.read_all(sock)).encode())

    box.server(handler)
    box.forward()
    assert run('nc', '-N', '127.0.0.1', 81, input=data) == \
        peers.digest(data).encode()
