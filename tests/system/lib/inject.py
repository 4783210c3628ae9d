"""Makes another process do a system call: it ends by its own hand, and its
filter sees a call as it would an intruder's.  For root on x86-64."""
import ctypes
import os

from .wait import until

PTRACE_GETREGS, PTRACE_SETREGS = 12, 13
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
WALL = 0x40000000
RAX, RDI, ORIG_RAX, RIP = 10, 14, 15, 16
SYSCALL_SIZE = 2        # of the instruction
NONE = 2 ** 64 - 1
EXECVE, EXIT_GROUP = 59, 231

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] + 3 * [ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=None):
    if libc.ptrace(request, pid, None, data) == -1:
        error = ctypes.get_errno()
        raise OSError(error, f'ptrace {request}: {os.strerror(error)}')


def call(pid, number, arg):
    """Instead of the call that the process waits in.  False: it is in none
    just now."""
    registers = (ctypes.c_uint64 * 64)()
    ptrace(PTRACE_ATTACH, pid)
    _, status = os.waitpid(pid, WALL)
    assert os.WIFSTOPPED(status), status
    ptrace(PTRACE_GETREGS, pid, registers)
    waits = registers[ORIG_RAX] != NONE
    if waits:
        registers[RAX], registers[RDI] = number, arg
        registers[RIP] -= SYSCALL_SIZE
        registers[ORIG_RAX] = NONE      # nothing to be restarted
        ptrace(PTRACE_SETREGS, pid, registers)
    ptrace(PTRACE_DETACH, pid)
    return waits


def leave(pid, status=7):
    until(lambda: call(pid, EXIT_GROUP, status), f'exit of {pid}')


def trespass(pid):
    """Tries to run a program."""
    until(lambda: call(pid, EXECVE, 0), f'execve of {pid}')
