"""Results of long work, kept as they come, so that a run killed half-way goes on from there.

A checkpoint is a note to ourselves in `scratch/`: losing it costs doing the work again, never a result.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KEPT_TOGETHER = 256


class Checkpoint:
    """Values by name, in a file whose name says what they depend on beside their own name; without a path, in memory only.

    Values are what JSON carries. A line that a kill has torn is passed over.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.held = _read(path) if path is not None else {}
        self._new: dict[str, Any] = {}

    def add(self, name: str, value: Any, is_lasting: bool = True) -> None:
        """Keep a value; it is on its way to the disk at the latest with the 256th, unless it isn't lasting: that is found anew."""
        self.held[name] = value
        if is_lasting:
            self._new[name] = value
        if len(self._new) >= KEPT_TOGETHER:
            self.flush()

    def flush(self) -> None:
        if self.path is not None and self._new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="ascii") as file:
                file.write("".join("\n" + json.dumps(pair) for pair in self._new.items()))  # a torn line ends at the next one's start
        self._new = {}

    def discard(self) -> None:
        """Delete the file, and those of the same work under other settings."""
        self._new = {}
        if self.path is not None:
            for path in self.path.parent.glob(f"{self.path.name.split('@')[0]}@*"):
                path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    held = {}
    try:
        lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    except FileNotFoundError:
        return {}
    for line in filter(None, lines):
        try:
            name, value = json.loads(line)
        except (ValueError, TypeError):
            continue
        held[name] = value
    return held
