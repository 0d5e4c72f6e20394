"""A member of a delivery, what it may cost, and the two ways to say no: to one member, or to the whole delivery."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from dataops_assets.intake.delivery_manifest import is_safe_path
from dataops_assets.spec import IntakeLimits

NAME_BYTES = 1024
NAME_CHARS = 1024
FREE_BYTES = 1 << 20  # the ratio of real to packed bytes counts from here
HEADER_BYTES = 1 << 10  # a tar's header and padding for one member, which pack to almost nothing and are no bomb
INVISIBLE = ("Cc", "Cf", "Co", "Cs")


class Refused(Exception):
    """The whole delivery can't be taken.

    Attributes:
        code: The reason code.
        paths: Readable names of members that are known to be there but were never yielded.
    """

    def __init__(self, code: str, message: str = "", paths: Iterable[str] = ()) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.paths = tuple(paths)


class TooLarge(Exception):
    """One member is beyond the limit of a member."""


class Unreadable(Exception):
    """The disk or its permissions don't give one member's bytes; the others may be in order."""


@dataclass(frozen=True)
class Member:
    """One file of a delivery: its name as valid text, and its bytes, to be read once and before the next member.

    Attributes:
        chunks: Its bytes. Reading them may raise `TooLarge`, `Unreadable` or `Refused`.
        skip: To be called with its size in bytes instead of reading it, when the reader has it already.
        fault: A reason code that makes reading it pointless.
        stamp: `<bytes>:<mtime in ns>` of a file in a folder; empty in an archive, whose own fingerprint covers it.
    """

    path: str
    warnings: tuple[str, ...]
    chunks: Iterable[bytes]
    skip: Callable[[int], None]
    fault: str = ""
    stamp: str = ""


@dataclass
class Budget:
    """Real bytes against the limits of a delivery, and against its packed size.

    Attributes:
        packed: Size of the archive in bytes; None for a folder.
        files: Files met so far by whoever lists them, before they become members.
        listed: Files there are by an archive's own directory, before any is read; None where there is none.
        rest: Names of members that are known and not yielded yet, for the rows of a delivery that is refused: all of them, however many
            more than the limits allow. A folder has no more than anybody looks at, an archive's directory no more than its limit.
    """

    limits: IntakeLimits
    packed: int | None = None
    total: int = 0
    members: int = 0
    files: int = 0
    listed: int | None = None
    rest: Callable[[], Iterable[str]] = field(default=tuple)

    def refused(self, code: str, message: str = "") -> Refused:
        """A refusal that names the members still to come."""
        return Refused(code, message[:300], (readable(name)[0] for name in self.rest()))

    def enter(self) -> None:
        """Count a member, a folder in an archive included."""
        self.members += 1
        if self.members > self.limits.members:
            raise self.refused("TOO_MANY_MEMBERS", f"more than {self.limits.members}")

    def weigh(self, size: int, slack: int = 0) -> None:
        """Judge `size` bytes in all, of which `slack` are no member's, without counting them."""
        if size - slack > self.limits.total_bytes:
            raise self.refused("BOMB", f"more than {self.limits.total_bytes} bytes")
        if self.packed is not None and size > FREE_BYTES and size > self.limits.ratio * max(1, self.packed):
            raise self.refused("BOMB", f"unpacks to more than {self.limits.ratio} times its size")

    def count(self, size: int) -> None:
        """Count real bytes of a member."""
        self.total += size
        self.weigh(self.total)

    def chunks(self, pieces: Iterable[bytes], declared: int) -> Iterator[bytes]:
        """A member's bytes, counted. What it declares is believed only against it."""
        size = 0
        if declared > self.limits.member_bytes:
            raise TooLarge
        for piece in pieces:
            size += len(piece)
            if size > self.limits.member_bytes:
                raise TooLarge
            self.count(len(piece))
            yield piece

    def member(self, name: str, pieces: Iterable[bytes], declared: int, stamp: str = "") -> Member:
        """The member of that raw name."""
        path, warnings = readable(name)
        is_long = len(name.encode("utf-8", "surrogateescape")) > NAME_BYTES
        return Member(path, warnings, self.chunks(pieces, declared), self.count, "NAME_TOO_LONG" if is_long else "", stamp)

    def safe(self, name: str, is_folder: bool) -> str:
        """A name inside an archive without its leading `./` and the closing slash of a folder.

        Raises:
            Refused: UNSAFE_PATH when it could lead out of the delivery.
        """
        if is_folder and name in (".", "./"):
            return "."
        bare = name.removeprefix("./")
        if is_folder:
            bare = bare.removesuffix("/")
        if not is_safe_path(bare):
            raise self.refused("UNSAFE_PATH", repr(name[:80]))
        return bare


def readable(name: str) -> tuple[str, tuple[str, ...]]:
    """A vendor's file name as valid text that keeps names apart, and what is odd about it as warning codes."""
    warnings = []
    raw = name.encode("utf-8", "surrogateescape")
    text = name
    if not (name.isascii() and name.isprintable()):
        text = raw.decode("utf-8", "backslashreplace")
        escaped = "".join(f"\\u{ord(char):04x}" if unicodedata.category(char) in INVISIBLE else char for char in text)
        if escaped != name:
            warnings.append("NAME_CONTROL_CHARS")
        text = escaped
    if "<" in text or ">" in text:
        warnings.append("NAME_MARKUP")
    if text.rsplit("/", 1)[-1].startswith(("=", "+", "-", "@")):
        warnings.append("NAME_FORMULA")
    if len(raw) > 255:
        warnings.append("NAME_LONG")
    if len(text) > NAME_CHARS:  # each invisible character became six: the rest is told by a digest, and the end for its suffix
        text = f"{text[:NAME_CHARS]}…{hashlib.sha256(raw).hexdigest()[:16]}…{text[-16:]}"
    return text, tuple(warnings)
