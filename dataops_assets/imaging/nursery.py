"""A small process that forks children for this one, which has threads by the time it wants them and can't fork itself.

Children then cost a fork, not an interpreter and its imports. A run that was forked from the fork server `start`s its nursery first of all,
by a fork: still single-threaded, everything imported. Elsewhere one is `spawn`ed, an interpreter of its own, when it is wanted first; it
ends when nothing has been wanted of it for a minute.
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
            except OSError:  # the nursery was killed, and who would know
                self.code = -signal.SIGKILL
        return self.code


@dataclass(frozen=True)
class Nursery:
    """The near end of a nursery: asks it for children and for how they ended. Threads take turns."""

    pid: int
    control: socket.socket
    keeper: int = field(default_factory=os.getpid)  # a fork of this process has it too, and has to leave it alone
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

    Args:
        command: Runs `keep`; the descriptor is appended.
        environment: Of it and its children.
    """
    global _held
    with _spawning:
        kept = held()
        if kept is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                process = subprocess.Popen(
                    [*command, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=dict(environment),
                )
            kept = _held = Nursery(process.pid, ours, process=process)
            atexit.register(stop)
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
    return _held if _held is not None and _held.keeper == os.getpid() else None


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
    children: set[int] = set()
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(control, MESSAGE.size, 2)
        except TimeoutError:
            if children:
                continue
            return
        except ConnectionError:
            return
        if not data:
            return
        number, asked = MESSAGE.unpack(data)
        if asked:
            control.sendall(MESSAGE.pack(number, os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1])))
            children.discard(asked)
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            os.dup2(descriptors[1], 2)
            os.close(descriptors[1])
            _end_after(lambda: serve(descriptors[0]))  # noqa: B023
        children.add(pid)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(MESSAGE.pack(number, pid))


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
