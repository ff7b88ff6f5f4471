"""The terminal of a job that has one: the job is on one end (the terminal), whoever runs it on the other.

Linux only. The terminal survives the job's namespaces: it comes in as open files, not by its name.
"""

import errno
import fcntl
import os
import signal
import termios


def take_terminal(fd: int) -> None:
    """The caller, which leads a session without one, has this terminal as its own and as its standard streams."""
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
    for target in (0, 1, 2):
        os.dup2(fd, target)


def come_to_front() -> None:
    """Keys and signals of the terminal on standard input are for the process group of the caller."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})  # it would stop who is not in front
    try:
        os.tcsetpgrp(0, os.getpgrp())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def read_output(fd: int, limit: int) -> bytes:
    """What was written, from a pipe or the far end of a terminal; b"" once nobody has the other end open."""
    try:
        return os.read(fd, limit)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""
