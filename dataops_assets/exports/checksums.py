"""What a delivered folder must hold, to the byte: `checksums.sha256`, as `sha256sum --check` reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

NAME = "checksums.sha256"


def write(root: Path) -> str:
    """List every file below `root`, by path; returns the text."""
    known: dict[tuple[int, int], str] = {}  # a hard link is read once
    lines = []
    for path in _files(root):
        stat = path.stat()
        place = stat.st_dev, stat.st_ino
        sha256 = known.get(place) or digest(path)
        known[place] = sha256
        lines.append(f"{sha256}  {path.relative_to(root).as_posix()}\n")
    text = "".join(lines)
    (root / NAME).write_text(text, encoding="utf-8")
    return text


def read(root: Path) -> dict[str, str]:
    """path -> sha256 as listed; empty without a list."""
    try:
        text = (root / NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return {path: sha256 for sha256, _, path in (line.partition("  ") for line in text.splitlines() if line)}


def verify(folder: Path) -> list[str]:
    """Sentences about every file that isn't as it was delivered; empty when all are."""
    if not folder.is_dir():
        return [f"{folder} is not there"]
    listed = read(folder)
    if not listed:
        return [f"{folder} has no {NAME}, or an empty one: nothing can be checked"]
    present = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    problems = []
    for name in sorted(listed.keys() | present.keys()):
        if name not in present:
            problems.append(f"{folder.name}/{name} is missing")
        elif name not in listed:
            problems.append(f"{folder.name}/{name} is not part of the delivery")
        elif digest(present[name]) != listed[name]:
            problems.append(f"{folder.name}/{name} was changed after delivery")
    return problems


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(root: Path) -> list[Path]:
    files = [path for path in root.rglob("*") if path.is_symlink() or path.is_file()]
    return sorted((path for path in files if path != root / NAME), key=lambda path: path.relative_to(root).as_posix())
