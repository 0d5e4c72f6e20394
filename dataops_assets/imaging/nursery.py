"""A small process that forks children for this one, which has threads by the time it wants them and can't fork itself.

Children then cost a fork, not an interpreter and its imports. A run that was forked from the fork server `start`s its nursery first of all,
by a fork: still single-threaded, everything imported. Elsewhere one is `spawn`ed, an interpreter of its own, when it is wanted first; it
ends when nothing has been wanted of it for a minute. Linux only: elsewhere libraries don't bear a fork, and sockets are of other kinds.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

IDLE_SECONDS = 60.0

MESSAGE = struct.Struct("qi")  # number of the question; a pid, 0 to ask for a child, or how it ended
_held: Nursery | None = None
_spawning = threading.Lock()


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
            except BaseException as error:  # it has ended or is about to; whose its pid is from now on nobody knows
                self.code = -signal.SIGKILL
                if not isinstance(error, OSError):  # the nursery was killed, and who would know
                    raise
        return self.code


@dataclass(frozen=True)
class Nursery:
    """The near end of a nursery: asks it for children and for how they ended. Threads take turns."""

    pid: int
    control: socket.socket
    process: subprocess.Popen[bytes] | None = None
    turn: threading.Lock = field(default_factory=threading.Lock)
    numbers: Iterator[int] = field(default_factory=count)

    def fork(self, descriptor: int) -> Child:
        """A child that serves the socket `descriptor`, with this process's stderr.

        Raises:
            OSError: when the nursery is gone.
        """
        return Child(self._ask(0, [descriptor, 2]), self)

    def wait(self, pid: int) -> int:
        """How a child ended, once it has.

        Raises:
            OSError: when the nursery is gone.
        """
        return self._ask(pid, [])

    def end(self) -> None:
        """Children that still run end by themselves."""
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_RDWR)
        self.control.close()
        if self.process is not None:
            self.process.wait()
        else:
            os.waitpid(self.pid, 0)

    def _ask(self, pid: int, descriptors: list[int]) -> int:
        with self.turn:
            number = next(self.numbers)
            socket.send_fds(self.control, [MESSAGE.pack(number, pid)], descriptors)
            while data := self.control.recv(MESSAGE.size):
                answered, value = MESSAGE.unpack(data)
                if answered == number:  # others are to questions whose asker was interrupted
                    return int(value)
        raise ConnectionError("the nursery is gone")


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


def spawn(command: Sequence[str], environment: Mapping[str, str]) -> Nursery:
    """The nursery that this process has, or else one that is an interpreter of its own.

    It stays as this process is now: its children have the environment, the folder and the code of the moment in which it was spawned.

    Args:
        command: Runs `keep`; the descriptor is appended.
        environment: Of it and its children.
    """
    global _held
    with _spawning:
        kept = held()
        if kept is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours, theirs:
                process = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=dict(environment),
                )
                near = socket.socket(fileno=ours.detach())
            kept = _held = Nursery(process.pid, near, process)
    return kept


def forget(lost: Nursery) -> None:
    """It was killed, or has ended by itself: the next child needs another one."""
    global _held
    with _spawning:
        if _held is lost:
            _held = None
            lost.end()


def stop() -> None:
    """End this process's nursery."""
    kept = held()
    if kept is not None:
        forget(kept)


def held() -> Nursery | None:
    """This process's nursery, where it has one."""
    return _held


def _leave_to_parent() -> None:
    """A fork of this process has no nursery: the one whose near end it has a copy of is its parent's."""
    global _held, _spawning
    if _held is not None:
        _held.control.close()
    _held, _spawning = None, threading.Lock()


os.register_at_fork(after_in_child=_leave_to_parent)
atexit.register(stop)  # once, however many there are in a long life


def keep(serve: Callable[[int], None], descriptor: int) -> None:
    """Life of a spawned nursery."""
    _keep(socket.socket(fileno=descriptor), serve, IDLE_SECONDS)


def _keep(control: socket.socket, serve: Callable[[int], None], idle_seconds: float | None = None) -> None:
    """Life of the nursery, until its parent closes the socket or is gone, or wants nothing of it for long."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    control.settimeout(idle_seconds)
    codes: dict[int, int | None] = {}  # of its children; None: it hasn't been waited for. An interrupted question is asked again
    with contextlib.suppress(ConnectionError):
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(control, MESSAGE.size, 2)
            except TimeoutError:
                if all(_ended(codes, pid, os.WNOHANG) is not None for pid in codes):
                    return
                continue
            if not data:
                return
            number, asked = MESSAGE.unpack(data)
            if not asked:
                asked = _fork(control, serve, descriptors)
                codes[asked] = None
                control.sendall(MESSAGE.pack(number, asked))
            else:
                control.sendall(MESSAGE.pack(number, _ended(codes, asked)))


def _ended(codes: dict[int, int | None], pid: int, options: int = 0) -> int | None:
    """How a child ended; None: it lives."""
    if codes[pid] is None:
        ended, status = os.waitpid(pid, options)
        codes[pid] = os.waitstatus_to_exitcode(status) if ended else None
    return codes[pid]


def _fork(control: socket.socket, serve: Callable[[int], None], descriptors: Sequence[int]) -> int:
    """The pid of a child that serves the first descriptor and has the second one as its stderr."""
    pid = os.fork()
    if pid == 0:
        control.close()
        os.dup2(descriptors[1], 2)
        os.close(descriptors[1])
        _end_after(lambda: serve(descriptors[0]))
    for descriptor in descriptors:
        os.close(descriptor)
    return pid


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
