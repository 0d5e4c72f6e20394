"""How long work says how far it is: a line in the run's log now and then, and a bar where a person watches."""

from __future__ import annotations

import time
from collections.abc import Callable

LOG_EVERY_S = 5.0
Listener = Callable[[str, int, int], None]
_listeners: list[Listener] = []


class Progress:
    """Callable as `progress(done, total)`; cheap enough to call for every image."""

    def __init__(self, what: str, log: Callable[[str], object]) -> None:
        self.what, self.log = what, log
        self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        for listener in _listeners:
            listener(self.what, done, total)
        if done >= total or time.monotonic() - self.last >= LOG_EVERY_S:
            self.last = time.monotonic()
            self.log(f"{self.what}: {done} of {total}")


def listen(listener: Listener) -> Callable[[], None]:
    """Hear all progress of this process; returns a function that stops it."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)
