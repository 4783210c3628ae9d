"""Who is measured: configurations that do the same work.

None logs single sessions, all listen with a backlog of 4096 where they can
be told so, have room for 9,900 sessions, no limit in time, and may use both
processors (where they know how): README.md says more.
"""
import os
import pathlib
import pwd
import subprocess

from machine import PROXY, SERVER

SESSIONS = 9900     # HAProxy wants its descriptors: two for each, some more
NOBODY = pwd.getpwnam('nobody')

HAPROXY = """global
	maxconn {sessions}
	maxpipes 80
	nbthread {threads}
	user nobody
	group nogroup
	chroot {work}/jail
defaults
	mode tcp
	backlog 4096
	timeout connect 10s
	timeout client 1h
	timeout server 1h
{more}
listen bench
	bind {addr}:{port}
	server bench {server}:{server_port}
"""

NGINX = """load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
user nobody nogroup;
pid {work}/nginx.pid;
error_log {work}/nginx.log crit;
worker_processes auto;
worker_rlimit_nofile 20000;
events {{ worker_connections {sessions}; }}
stream {{
	access_log off;
	server {{
		listen {addr}:{port} reuseport backlog=4096;
		proxy_pass {server}:{server_port};
		proxy_connect_timeout 10s;
		proxy_timeout 1h;
	}}
}}
"""

RINETD = '{addr} {port} {server} {server_port}\n'


class Peer:
    """One program with one configuration."""
    package = None
    user = None             # started as this one, not as root
    once = False            # measured in the first round only
    most = SESSIONS         # sessions that it can have here
    workers = None          # None: as many as it likes

    def __init__(self, name):
        self.name = name

    def version(self):
        return subprocess.run(
            ['dpkg-query', '-W', '-f', '${Version}', self.package],
            capture_output=True, text=True, check=False).stdout

    def _conf(self, work, text, net, **more):
        path = pathlib.Path(work, f'{self.name}.conf')
        path.write_text(text.format(
            work=work, sessions=SESSIONS, addr=net.proxy_addr, port=PROXY,
            server=net.server_addr, server_port=SERVER, **more))
        return str(path)


class Sallyport(Peer):
    def __init__(self, name, tree='build', user=None, workers=None):
        super().__init__(name)
        self.tree, self.user, self.workers = tree, user, workers

    def version(self):
        return subprocess.run(['git', 'describe', '--always', '--dirty'],
                              capture_output=True, text=True, check=False,
                              cwd=os.path.dirname(__file__)).stdout.strip()

    def command(self, work, net):
        words = [f'{work}/{self.tree}/sbin/sallyport', '-D', '-L', 'stderr:3',
                 '-l', net.proxy_addr, '-p', PROXY,
                 '-r', net.server_addr, '-o', SERVER,
                 '--workers', self.workers or 'auto',
                 '--max-connections', SESSIONS]
        if self.user is None:
            words += ['-u', 'nobody', '-C', f'{work}/jail']
        return words


class Haproxy(Peer):
    package = 'haproxy'

    def __init__(self, name, threads, splice):
        super().__init__(name)
        self.workers = threads
        self.more = '\toption splice-auto\n' if splice else ''

    def command(self, work, net):
        return ['/usr/sbin/haproxy', '-db', '-f', self._conf(
            work, HAPROXY, net, threads=self.workers, more=self.more)]


class Nginx(Peer):
    package = 'libnginx-mod-stream'

    def __init__(self, name, workers=None):
        super().__init__(name)
        self.workers = workers

    def command(self, work, net):
        text = NGINX
        if self.workers:
            text = text.replace('processes auto', f'processes {self.workers}')
        return ['/usr/sbin/nginx', '-e', f'{work}/nginx.log', '-c',
                self._conf(work, text, net)]


class Rinetd(Peer):
    package, once = 'rinetd', True

    def command(self, work, net):
        return ['/usr/sbin/rinetd', '-f', '-c', self._conf(work, RINETD, net)]


class Socat(Peer):
    package, once, most = 'socat', True, 1000       # a process for each

    def command(self, work, net):
        return ['/usr/bin/socat', '-b65536',
                f'TCP-LISTEN:{PROXY},bind={net.proxy_addr},reuseaddr,fork,'
                'backlog=4096', f'TCP:{net.server_addr}:{SERVER}']


class Proxyd(Peer):
    package, once, most = 'systemd', True, 3000     # six descriptors for each

    def command(self, work, net):
        return ['/usr/bin/systemd-socket-activate', '-l',
                f'{net.proxy_addr}:{PROXY}',
                '/lib/systemd/systemd-socket-proxyd',
                f'--connections-max={SESSIONS}',
                f'{net.server_addr}:{SERVER}']


class Redir(Peer):
    package, once, most = 'redir', True, 1000       # a process for each

    def command(self, work, net):
        return ['/usr/bin/redir', '-n', '-l', 'none',
                f'{net.proxy_addr}:{PROXY}', f'{net.server_addr}:{SERVER}']


class Direct(Peer):
    """No proxy: what the load generator costs."""

    def version(self):
        return ''

    def command(self, work, net):
        return None


OURS = 'sallyport'
HAPROXIES = ['haproxy-1', 'haproxy-2', 'haproxy-1-splice', 'haproxy-2-splice']
ALL = [
    Direct('direct'),
    Sallyport(OURS),
    Haproxy('haproxy-1', 1, False),
    Haproxy('haproxy-2', 2, False),
    Haproxy('haproxy-1-splice', 1, True),
    Haproxy('haproxy-2-splice', 2, True),
    Nginx('nginx'),
    Rinetd('rinetd'),
    Socat('socat'),
    Proxyd('socket-proxyd'),
    Redir('redir'),
    # one worker each, for what happens inside one
    Sallyport('sallyport-w1', workers=1),
    Nginx('nginx-w1', 1),
    # the price of the sandbox: both started by an ordinary user
    Sallyport('user-sandbox', user=NOBODY),
    Sallyport('user-bare', tree='bare', user=NOBODY),
]
