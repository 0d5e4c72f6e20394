"""Python runs this at start where the folder is on its path: makes one operation of this process, or of a child, fail."""

import builtins
import errno
import io
import os
import stat
from collections.abc import Callable
from typing import Any

FAULT, COUNT = "FAULT_OPERATION", "FAULT_COUNT"


def break_operations() -> None:
    """Make the nth call of an operation fail, counted over this process and its children."""
    name, nth = os.environ[FAULT].split(":")
    counter, write = os.environ[COUNT], os.write

    def is_due() -> bool:
        descriptor = os.open(counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            write(descriptor, b".")
            return os.fstat(descriptor).st_size == int(nth)
        finally:
            os.close(descriptor)

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            is_file = name != "write" or stat.S_ISREG(os.fstat(args[0]).st_mode)  # what goes through pipes and sockets isn't meant
            if is_file and is_due():
                raise OSError(errno.EIO, f"injected: {name} {nth}")
            return real(*args, **kwargs)

        return call

    if name == "write":  # Python's own file objects write with os.write too when they are those of _pyio
        import _pyio

        builtins.open = io.open = _pyio.open  # type: ignore[assignment]
    if name in ("write", "fsync", "replace", "link"):
        setattr(os, name, failing(getattr(os, name)))
    elif name == "syncfs":
        from dataops_assets import atomic

        atomic.sync = failing(atomic.sync)
    elif name == "commit":
        from dataops_assets import ledger, store

        ledger.write_deltalake = failing(ledger.write_deltalake)  # type: ignore[attr-defined]
        store.write_deltalake = failing(store.write_deltalake)  # type: ignore[attr-defined]


if os.environ.get(FAULT, "").split(":")[0] in ("write", "fsync", "replace", "link"):
    break_operations()
