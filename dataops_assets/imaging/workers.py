"""Child processes that look at untrusted pictures: bounded in memory and time, each death costs one picture.

Children talk over a socket and are forked by a nursery, not by multiprocessing: nothing of the caller's main module is imported
again (a Dagster process would cost seconds a child), no lock of another thread is inherited, and the code runs the same from a
Dagster run, pytest or a shell. Off Linux each is an interpreter of its own. POSIX only.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from dataops_assets.blobs import Blobs
from dataops_assets.imaging import nursery

MEMORY_BYTES = 2 * 2**30
SECONDS = 20.0
ITEMS_PER_CHILD = 8  # starting a child costs about as much as this many photos
ITEMS_PER_MESSAGE = 16  # asking and answering one by one costs as much as measuring a small photo
MESSAGES_AHEAD = 2  # a child has the next message while it is at one: it never waits for this process, which has other things to do too
AHEAD_BYTES = 6 << 10  # a larger message isn't sent ahead: where a socket holds no more, both sides would wait for the other one to read

PATIENCE = 10  # times the processor time: a busy machine may need so much longer, what hangs ends then

KILLED_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)
REASON_BY_SIGNAL = {-signal.SIGPROF: "TOO_LARGE", -signal.SIGALRM: "TOO_LARGE", -signal.SIGKILL: "TOO_LARGE", -signal.SIGTERM: "TOO_LARGE"}

FORKS = sys.platform.startswith("linux")
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from dataops_assets.imaging.workers import serve; serve(int(sys.argv[2]))"
NURSERY = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from dataops_assets.imaging import headers, illustrations, nursery, portraits, screening, workers
workers.warm_up()
nursery.keep(workers.serve, int(sys.argv[2]))
"""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "NO_ALBUMENTATIONS_UPDATE": "1",
}


class WorkerError(RuntimeError):
    """Workers don't start; or, as the cause of what a task raised, the traceback in the worker."""


@dataclass(frozen=True)
class Died:
    """What comes in place of a result when the child died, hung or ran out of memory on an item."""

    reason: str  # CORRUPT: crashed the decoder; TOO_LARGE: more memory or time than allowed
    detail: str


class Unfinished:
    """What a task may return of an item where the rest goes faster for all items of a message together. It stays in the child."""

    @classmethod
    def finish(cls, begun: Sequence[Any]) -> Sequence[Any]:
        """The results of what the items of this class began, in their order."""
        raise NotImplementedError


def map_blobs(
    task: Callable[[Blobs, Any], Any],
    items: Sequence[Any],
    blobs: Blobs,
    *,
    workers: int | Callable[[], int] | None = None,
    memory_bytes: int = MEMORY_BYTES,
    seconds: float = SECONDS,
    items_per_child: int = ITEMS_PER_CHILD,
    items_per_message: int = 1,
) -> Iterator[tuple[int, Any]]:
    """Yield `(index, task(blobs, items[index]))` in order, each call in a bounded child process.

    A picture on which the child crashes or takes more than it may gives `Died` in place of a result; the child is
    replaced and the rest goes on. Where something else may have ended the child (the kernel for want of memory, a person, a
    failing disk), the item gets a second try. Children end when this process does, however it ends: at the latest after that time.

    Args:
        task: A function, or `functools.partial` of one, at the top of an importable module; the lighter the module's
            imports, the faster a child starts. It should catch what is wrong with a picture itself. It may return an `Unfinished`.
        items: Anything that pickles; mostly sha256s.
        blobs: Handed to the task, in the child.
        workers: Child processes; None: the machine's cores. Few items start fewer. A function is asked again and again: where it says less
            than before, children that are through with what they are at end.
        memory_bytes: Address space a child may take beyond its libraries.
        seconds: Most processor time for one item; ten times as long by the clock.
        items_per_child: Items that are worth another child.
        items_per_message: Items handed to a child together. Where one of them kills it, each gets a child's whole attention.

    Raises:
        WorkerError: when children don't start. What the task itself raises (a missing blob, a full disk, a bug: nothing
            of the picture's) is raised here again and ends the map.
    """
    pool = Workers(
        task, blobs, workers=workers, memory_bytes=memory_bytes, seconds=seconds, items_per_child=items_per_child,
        items_per_message=items_per_message,
    )  # fmt: skip
    with pool:
        yield from pool.map(items)


class Workers:
    """Children that stay for several maps; the arguments are those of `map_blobs`. Use it in a `with` block, one thread at a time."""

    def __init__(
        self,
        task: Callable[[Blobs, Any], Any],
        blobs: Blobs,
        *,
        workers: int | Callable[[], int] | None = None,
        memory_bytes: int = MEMORY_BYTES,
        seconds: float = SECONDS,
        items_per_child: int = ITEMS_PER_CHILD,
        items_per_message: int = 1,
    ) -> None:
        self._most = workers if callable(workers) else lambda: workers or os.cpu_count() or 1
        self._items_per_child = items_per_child
        self._items_per_message = items_per_message
        self._setup = (task, blobs, memory_bytes, seconds)
        self._idle: list[_Child] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._idle:
            child.process.kill()  # all at once: a process takes milliseconds to end
        while self._idle:
            self._idle.pop().stop()

    def map(self, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """As `map_blobs`."""
        useful = -(-len(items) // self._items_per_child)
        busy: list[_Child] = []
        results: dict[int, Any] = {}
        waiting = self._messages(len(items), min(self._most(), useful))
        tried_twice: set[int] = set()
        due = 0
        try:
            while due < len(items):
                most = max(1, self._most())
                while self._idle and len(self._idle) + len(busy) > most:
                    self._idle.pop().stop()
                while waiting and len(busy) < min(most, useful):
                    child = self._idle.pop() if self._idle else _Child(self._setup)
                    busy.append(child)
                    child.give(waiting.pop(), items)
                for child in busy if len(busy) <= most else ():
                    if waiting and len(child.given) < MESSAGES_AHEAD and child.give(waiting[-1], items):
                        waiting.pop()
                ready = wait([child.connection for child in busy])
                for child in [child for child in busy if child.connection in ready]:
                    given, answers = child.answers()
                    if not any(isinstance(answer, Died) for answer in answers):
                        results.update(zip(given, answers, strict=True))
                        if not child.given:
                            busy.remove(child)
                            self._idle.append(child)
                        continue
                    busy.remove(child)
                    child.stop()
                    waiting += reversed(child.given)  # it hadn't begun with these
                    if len(given) > 1:
                        waiting += [(index,) for index in reversed(given)]
                    elif child.may_try_again and given[0] not in tried_twice:
                        tried_twice.add(given[0])
                        waiting.append(given)
                    else:
                        results[given[0]] = answers[0]
                while due in results:
                    yield due, results.pop(due)
                    due += 1
        finally:
            for child in busy:
                child.stop()

    def _messages(self, items: int, children: int) -> list[tuple[int, ...]]:
        """Which items go together, last first; ever fewer towards the end, so that children end together."""
        messages, start = [], 0
        while start < items:
            size = max(1, min(self._items_per_message, (items - start) // (4 * children or 1)))
            messages.append(tuple(range(start, start + size)))
            start += size
        return messages[::-1]


class _Child:
    """One process and the messages that it has: the one it is at, and the next."""

    def __init__(self, setup: tuple[Any, ...]) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.process = _start(theirs.fileno())
            self.connection = Connection(ours.detach())
        self.given: deque[tuple[int, ...]] = deque()
        self.code: int | None = None
        self.started = False
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # noticed when the answer is read
                self.connection.send(sys.path)  # before the task, which is imported from there
                self.connection.send(setup)
        except BaseException:  # a task that doesn't pickle
            self.stop()
            raise

    def give(self, indices: tuple[int, ...], items: Sequence[Any]) -> bool:
        """Hand it a message; False where that is too large to be sent while it is at another one."""
        message = pickle.dumps([items[index] for index in indices])
        if self.given and len(message) > AHEAD_BYTES:
            return False
        self.given.append(indices)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # noticed when the answer is read
            self.connection.send_bytes(message)
        return True

    def answers(self) -> tuple[tuple[int, ...], list[Any]]:
        """The items of the message at hand and their results, `Died` for each that the child died on; raises what the task raised."""
        given = self.given.popleft()
        try:
            if not self.started:
                self.connection.recv()
                self.started = True
            answers = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.connection.close()
            self.code = self.process.wait()
            if not self.started and self.code not in KILLED_FROM_OUTSIDE:
                raise WorkerError(f"a worker process ended with code {self.code} before it was ready") from None
            detail = f"the decoding process ended by {_name(self.code)}"
            return given, [Died(REASON_BY_SIGNAL.get(self.code, "CORRUPT"), detail)] * len(given)
        for ok, value in answers:
            if not ok:
                error, trace = value
                raise error from WorkerError(trace)
        return given, [value for _, value in answers]

    @property
    def may_try_again(self) -> bool:
        """Whether something else than the picture may have ended the child: someone killed it, or it couldn't answer."""
        return self.code is not None and (self.code in KILLED_FROM_OUTSIDE or self.code > 0)

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


def _start(descriptor: int) -> subprocess.Popen[bytes] | nursery.Child:
    """A process that serves the socket."""
    environment, paths = os.environ | ENVIRONMENT, json.dumps(sys.path)
    if not FORKS:
        return subprocess.Popen(
            [sys.executable, "-c", START, paths, str(descriptor)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[descriptor],
            env=environment,
        )
    for _ in range(2):  # a nursery may have been killed, or have ended by itself
        kept = nursery.held() or nursery.spawn([sys.executable, "-c", NURSERY, paths], environment)
        try:
            return kept.fork(descriptor)
        except OSError:
            nursery.forget(kept)
    raise WorkerError(f"worker processes don't start: {sys.executable} ends before it is ready; what it says stands above")


def _name(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def serve(descriptor: int) -> None:
    """Life of a child: read the task, then items, until the parent closes the socket or is gone."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    for ending in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(ending, signal.SIG_DFL)  # ends the process even inside a C library
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGALRM})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = Connection(descriptor)
    try:
        sys.path[:] = connection.recv()
        task, blobs, memory_bytes, seconds = connection.recv()
        warm_up()
        sys.modules["cv2"].setNumThreads(1)
        limit = _address_space_bytes() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        connection.send("ready")
        while True:
            answers = []
            for item in connection.recv():
                _allow(seconds)
                answers.append(_tried(task, blobs, item))
            _allow(seconds)
            answers = _finished(answers)
            _allow(0)
            connection.send(answers)
    except (EOFError, ConnectionResetError, BrokenPipeError):
        return


def _allow(seconds: float) -> None:
    """So much time from now on, of the processor, and by the clock ten times as much; 0: any."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)


def _finished(answers: list[tuple[bool, Any]]) -> list[tuple[bool, Any]]:
    """The answers, with what was only begun finished; what goes wrong then goes wrong for each of them."""
    begun = {place: value for place, (_, value) in enumerate(answers) if isinstance(value, Unfinished)}
    if not begun:
        return answers
    ok, results = _tried(type(next(iter(begun.values()))).finish, list(begun.values()))
    every = [(ok, results)] * len(begun) if not ok or isinstance(results, Died) else [(ok, result) for result in results]
    found = dict(zip(begun, every, strict=True))
    return [found.get(place, answer) for place, answer in enumerate(answers)]


def _tried(call: Callable[..., Any], *inputs: Any) -> tuple[bool, Any]:
    try:
        return True, call(*inputs)
    except MemoryError:
        return True, Died("TOO_LARGE", "the picture needs more memory than a worker may take")
    except Exception as error:
        trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an exception that can't travel
            error = WorkerError(f"{type(error).__name__}: {error}")
        return False, (error, trace)


def warm_up() -> None:
    """Import what every picture needs: before memory is limited, and best before children are forked."""
    import cv2  # noqa: F401
    import simplejpeg  # noqa: F401
    from PIL import Image, ImageCms, ImageOps  # noqa: F401

    Image.preinit()


def _address_space_bytes() -> int:
    """Address space in use; 0 where /proc doesn't say (the limit isn't enforced there either)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
