"""Control groups that limit memory, of version 2 or 1."""
import os
import pathlib

from .wait import until

TOP = pathlib.Path('/sys/fs/cgroup')


def limit():
    """Where groups are made, and the file that limits one; or None."""
    try:
        if 'memory' in (TOP / 'cgroup.subtree_control').read_text().split():
            return TOP, 'memory.max'
    except FileNotFoundError:
        pass
    if os.access(TOP / 'memory/memory.limit_in_bytes', os.W_OK):
        return TOP / 'memory', 'memory.limit_in_bytes'
    return None


LIMIT = limit()


class Group:
    """Whoever is put there and wants memory is killed."""

    def __enter__(self):
        top, file = LIMIT
        self.path = top / f'sallyport-test.{os.getpid()}'
        self.path.mkdir()
        (self.path / file).write_text('65536')
        return self

    def put(self, pid):
        (self.path / 'cgroup.procs').write_text(str(pid))

    def __exit__(self, *args):
        until(lambda: not (self.path / 'cgroup.procs').read_text(),
              'the end of all in the group')
        self.path.rmdir()
