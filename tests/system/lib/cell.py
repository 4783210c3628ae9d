"""A root directory of its own, made of nothing but /usr, a few files of /etc
and what was installed: init scripts and the tools that they need run in it
as on a machine, and nothing of the real one can be written to.  Its processes
end with it."""
import json
import os
import pathlib
import shutil
import subprocess

from .wait import LIMIT

COPIED = ('passwd', 'group', 'shadow', 'nsswitch.conf', 'ld.so.cache',
          'hosts')


class Cell:
    def __init__(self, top):
        """top: the tree with usr/local and etc"""
        self.etc = top / 'etc'
        for name in COPIED:
            if not (self.etc / name).exists() and \
                    pathlib.Path('/etc', name).exists():
                shutil.copy(pathlib.Path('/etc', name), self.etc / name)
        self.info, other = os.pipe()
        words = ['bwrap', '--unshare-pid', '--unshare-ipc', '--unshare-uts',
                 '--die-with-parent', '--clearenv', '--cap-add', 'ALL',
                 '--info-fd', str(other), '--ro-bind', '/usr', '/usr']
        for name in ('bin', 'sbin', 'lib', 'lib64'):
            words += ['--symlink', f'usr/{name}', f'/{name}']
        words += ['--ro-bind', str(top / 'usr/local'), '/usr/local',
                  '--bind', str(self.etc), '/etc', '--proc', '/proc',
                  '--ro-bind', '/proc/sys', '/proc/sys', '--dev', '/dev',
                  '--tmpfs', '/run', '--tmpfs', '/tmp', '--tmpfs', '/var',
                  '--dir', '/var/log', '--dir', '/var/lib/logrotate',
                  'sh', '-c', 'echo; exec cat']
        self.popen = subprocess.Popen(
            words, pass_fds=[other], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        os.close(other)
        assert self.popen.stdout.read(1) == b'\n', 'bwrap failed'
        with os.fdopen(self.info, encoding='ascii') as file:
            self.pid = json.load(file)['child-pid']

    def run(self, *words, drop=(), **more):
        """A command in it, to its end: (status, output)"""
        done = subprocess.run(
            ['nsenter', '-t', str(self.pid), '-m', '-p', '-i', '-u',
             *drop, 'env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
             *map(str, words)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=LIMIT, check=False, **more)
        return done.returncode, done.stdout

    def path(self, name):
        """The same file, seen from outside."""
        return pathlib.Path(f'/proc/{self.pid}/root{name}')

    def close(self):
        self.popen.stdin.close()
        self.popen.stdout.close()
        self.popen.wait(LIMIT)
