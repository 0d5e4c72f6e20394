"""A connection that ends when a file's time is up, whatever the other side does. Knows nothing of addresses' rules; see `fetching.py`."""

from __future__ import annotations

import io
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from dataops_assets.intake.members import readable


def connect(address: str, port: int, seconds: float) -> socket.socket:
    """A connection to an IP address, or an OSError."""
    raw = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        raw.settimeout(seconds)
        raw.connect((address, port))
    except OSError:
        raw.close()
        raise
    return raw


class Wire(io.RawIOBase):
    """A connection as http.client wants it, each read and write of which ends when the file's time is up.

    A timeout of the socket alone would start anew with each byte a slow server sends. Closing is left to who opened the socket.
    """

    def __init__(self, secured: ssl.SSLSocket, left: Callable[[], float]) -> None:
        self._secured, self._left = secured, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._secured.settimeout(self._left())
        return self._secured.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        self._secured.settimeout(self._left())
        self._secured.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return _Measured(self)

    def close(self) -> None:
        pass


class _Measured(io.BufferedReader):
    """What http.client reads from; it takes a chunk's size of -1 at its word and would read all there is into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise ValueError("a read without a size")
        return super().read(size)


def within(seconds: float, call: Callable[[], list[str]]) -> list[str]:
    """What a call gives, or TimeoutError: a lookup can't be interrupted, only left behind."""
    results: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(call())
        except Exception as error:
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(result, Exception):
        raise result
    return result


def words_of(error: Exception) -> str:
    """What went wrong with a connection or an answer, for people; what quotes an address isn't told."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no secure connection ({error.reason or type(error).__name__})"
    if isinstance(error, OSError):
        return readable((error.strerror or str(error))[:200])[0]
    return f"an answer that can't be read ({type(error).__name__})"
