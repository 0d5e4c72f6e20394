"""A small process that forks children of this one, which has threads by the time it wants them and can't fork itself.

A run that was forked from the fork server starts a nursery first of all: still single-threaded, everything imported. Children
then cost a fork, not an interpreter and its imports. Elsewhere there is no nursery, and `workers.py` starts interpreters.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import traceback
from collections.abc import Callable
from dataclasses import dataclass

NUMBER = struct.Struct("i")
_held: Nursery | None = None


@dataclass
class Child:
    """A forked child; of `subprocess.Popen`'s methods those that its keeper needs."""

    pid: int
    nursery: Nursery
    code: int | None = None

    def kill(self) -> None:
        """End it; nothing happens where `wait` has said how it ended."""
        if self.code is None:  # until `wait`, the pid is its own
            with contextlib.suppress(ProcessLookupError):  # reaped by another where the nursery was killed
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, or the negative number of the signal that ended it."""
        if self.code is None:
            try:
                self.code = self.nursery.wait(self.pid)
            except OSError:  # the nursery was killed, and who would know
                self.code = -signal.SIGKILL
        return self.code


@dataclass(frozen=True)
class Nursery:
    """The near end of a nursery: asks it for children and for how they ended."""

    pid: int
    control: socket.socket

    def fork(self, descriptor: int) -> Child:
        """A child that serves the socket `descriptor`, with this process's stderr.

        Raises:
            OSError: when the nursery is gone.
        """
        socket.send_fds(self.control, [NUMBER.pack(0)], [descriptor, 2])
        return Child(self._answer(), self)

    def wait(self, pid: int) -> int:
        self.control.sendall(NUMBER.pack(pid))
        return self._answer()

    def _answer(self) -> int:
        data = self.control.recv(NUMBER.size)
        if not data:
            raise ConnectionError("the nursery is gone")
        return int(NUMBER.unpack(data)[0])


def start(serve: Callable[[int], None]) -> None:
    """Fork this process's nursery; its children run `serve(descriptor)`. Only while there is one thread."""
    global _held
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _end_after(lambda: _keep(theirs, serve))
    theirs.close()
    _held = Nursery(pid, ours)


def stop() -> None:
    """End the nursery; children that still run end by themselves."""
    global _held
    if _held is not None:
        _held.control.close()
        os.waitpid(_held.pid, 0)
        _held = None


def held() -> Nursery | None:
    """This process's nursery, where it has one."""
    return _held


def _keep(control: socket.socket, serve: Callable[[int], None]) -> None:
    """Life of the nursery, until its parent closes the socket or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(control, NUMBER.size, 2)
        except ConnectionError:
            return
        if not data:
            return
        if not descriptors:
            asked = NUMBER.unpack(data)[0]
            control.sendall(NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1])))
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            os.dup2(descriptors[1], 2)
            os.close(descriptors[1])
            _end_after(lambda: serve(descriptors[0]))  # noqa: B023
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(NUMBER.pack(pid))


def _end_after(work: Callable[[], None]) -> None:
    """What a forked process does in place of returning into its parent's code."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
