"""A delivery that is a list of addresses, `urls.csv`: what may be asked for, and the asking.

An address is a vendor's word, so it is never trusted to lead outside: https only, hosts the spec lists, names that resolve to
public addresses only, one lookup a request with the connection pinned to its answer, every redirect judged like the first address.
"""

from __future__ import annotations

import http.client
import io
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote, urljoin

from dataops_assets.intake import delivery_manifest, landing
from dataops_assets.intake.delivery_manifest import Listed, ManifestError
from dataops_assets.intake.members import Member, Refused, TooLarge, readable
from dataops_assets.intake.web_policy import PRINTABLE, Target, is_public, judge, shown
from dataops_assets.spec import IntakeLimits, UrlLists

NAME = delivery_manifest.ADDRESSES
RESERVED = (NAME, *delivery_manifest.NAMES, *landing.MARKERS)  # names that say something about a delivery
CHUNK_BYTES = 1 << 20
URL_CHARS = 8192
PATH_BYTES = 1024
CONNECT_SECONDS = 10.0  # for one of several resolved addresses, so that a dead one leaves time for the next
HEADERS = {"User-Agent": "dataops-assets", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
REDIRECTS = (301, 302, 303, 307, 308)
AGAIN = (408, 425, 429)


class Missing(Exception):
    """The address doesn't give the file, and asking again won't help; the message says why."""


class Unreachable(Exception):
    """The address didn't give the file this time; asking again may help. The message says why."""


@dataclass(frozen=True)
class Address:
    """One row of the list."""

    row: int
    url: str = field(repr=False)  # may carry a signature
    listed: Listed
    warnings: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Name of the file in the drop."""
        return self.listed.path


@dataclass(frozen=True)
class UrlList:
    files: tuple[Address, ...]
    warnings: tuple[str, ...] = ()


def parse(data: bytes, limit: int = IntakeLimits().members) -> UrlList:
    """Read a list of addresses of at most `limit` rows.

    Columns: `url`; optional `path`, the file's name in the drop (default `<row, 6 digits>-<last part of the address>`), and the
    columns of a manifest. Nothing is judged here but the list itself: see `check`.

    Raises:
        ManifestError: MANIFEST_INVALID when it isn't CSV, MANIFEST_SCHEMA when its content doesn't fit, UNSAFE_PATH,
            TOO_MANY_MEMBERS.
    """
    files: dict[str, Address] = {}
    rows, warnings = delivery_manifest.read_table(delivery_manifest.text_of(data, limit), "url", limit)
    for number, row in enumerate(rows, start=1):
        url = row.pop("url", "")
        if not url or len(url) > URL_CHARS:
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number} needs a url of at most {URL_CHARS} characters")
        row["path"] = row.get("path") or _default_path(number, url)
        path, odd = readable(row["path"])
        listed = replace(delivery_manifest.read_row(row, number), path=path)
        if path in RESERVED or len(path.encode()) > PATH_BYTES:
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: path {path[:80]!r} is reserved, or longer than {PATH_BYTES} bytes")
        if path in files:
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: path {path[:80]!r} is listed twice")
        files[path] = Address(number, url, listed, odd)
    return UrlList(tuple(files.values()), tuple(warnings))


def _default_path(number: int, url: str) -> str:
    last = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")[2].partition("/")[2].rsplit("/", 1)[-1]
    name = re.sub(r"[^\w.-]+", "_", unquote(last))[-60:]
    return f"{number:06d}-{name or 'file'}"


def check(listed: UrlList, rules: UrlLists) -> None:
    """See that every address of a list may be asked, as far as the address alone tells.

    Raises:
        Refused: URL_BLOCKED, with the first that may not, and how many more.
    """
    if not rules.enabled:
        raise Refused(
            "URL_BLOCKED", "lists of addresses are off; to take them set `sources.urls.enabled: true` and name `sources.urls.hosts`"
        )
    faults = [(address, why) for address in listed.files if (why := _fault(address.url, rules))]
    if faults:
        address, why = faults[0]
        raise Refused(
            "URL_BLOCKED", f"row {address.row}, {shown(address.url)}: {why} ({len(faults)} of {len(listed.files)} addresses refused)"
        )


def _fault(url: str, rules: UrlLists) -> str:
    try:
        judge(url, rules)
    except ValueError as error:
        return str(error)
    return ""


def addresses_of(host: str) -> list[str]:
    """IP addresses of a name, by the system's resolver."""
    return list(dict.fromkeys(str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)))


def fetch(
    listed: UrlList,
    rules: UrlLists,
    member_bytes: int,
    *,
    resolve: Callable[[str], Sequence[str]] = addresses_of,
    is_allowed: Callable[[str], bool] = is_public,
    context: ssl.SSLContext | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Member]:
    """A member an address, in the order of the list. Nothing is asked until a member's `chunks` are read.

    Reading them raises `Refused` (URL_BLOCKED: the rules are broken, here or by a redirect), `TooLarge` (beyond `member_bytes`),
    `Missing` or `Unreachable`.

    Args:
        listed: the list.
        rules: who may be asked, how often, for how long.
        member_bytes: most bytes of one file.
        resolve: IP addresses of a name; asked once a request.
        is_allowed: whether an IP address may be dialled.
        context: how certificates are checked; default: the system's authorities.
        clock: seconds that only go forward.
        sleep: waits so many of them.
    """
    if context is None:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
    asker = _Asker(rules, member_bytes, resolve, is_allowed, context, clock, sleep)
    for address in listed.files:
        yield Member(address.path, address.warnings, asker.chunks(address), lambda size: None)


def bounded(members: Iterable[Member], total_bytes: int) -> Iterator[Member]:
    """The same members; reading them raises `Refused` (BOMB) once they come to more than `total_bytes`."""
    total = 0

    def count(size: int) -> None:
        nonlocal total
        total += size
        if total > total_bytes:
            raise Refused("BOMB", f"the addresses give more than {total_bytes} bytes")

    def counted(chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            count(len(chunk))
            yield chunk

    for member in members:
        yield replace(member, chunks=counted(member.chunks), skip=count)


@dataclass
class _Asker:
    """Asks for one file after the other, each host no faster than the rules say."""

    rules: UrlLists
    member_bytes: int
    resolve: Callable[[str], Sequence[str]]
    is_allowed: Callable[[str], bool]
    context: ssl.SSLContext
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    free_at: dict[str, float] = field(default_factory=dict)  # host -> when it may be asked next

    def chunks(self, address: Address) -> Iterator[bytes]:
        name = f"row {address.row}, {shown(address.url)}"
        try:
            yield from self._follow(address.url, name)
        except TimeoutError:
            raise Unreachable(f"{name}: took longer than {self.rules.file_seconds:g} s (`sources.urls.file_seconds`)") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"{name}: {_words(error)}") from None  # the cause may quote the address whole

    def _follow(self, url: str, name: str) -> Iterator[bytes]:
        ends = self.clock() + self.rules.file_seconds

        def left() -> float:
            rest = ends - self.clock()
            if rest <= 0:
                raise TimeoutError
            return rest

        for hop in range(self.rules.redirects + 1):
            try:
                target = judge(url, self.rules)
            except ValueError as why:
                raise Refused("URL_BLOCKED", f"{name}: {f'leads on to {shown(url)}: ' if hop else ''}{why}") from None
            ends += self._wait(target.host)  # being polite isn't being slow
            with self._answer(target, left, name) as response:
                location = response.getheader("Location")
                if response.status not in REDIRECTS or not location:
                    yield from self._body(response, name)
                    return
            try:
                url = urljoin(target.url, quote(location.encode("latin-1"), safe=PRINTABLE))
            except ValueError:
                raise Refused("URL_BLOCKED", f"{name}: leads on to what is not a web address") from None
        raise Missing(f"{name}: leads on more than {self.rules.redirects} times (`sources.urls.redirects`)")

    def _wait(self, host: str) -> float:
        now = self.clock()
        wait = max(0.0, self.free_at.get(host, now) - now)
        if wait:
            self.sleep(wait)
        self.free_at[host] = now + wait + 1 / self.rules.files_per_second
        return wait

    @contextmanager
    def _answer(self, target: Target, left: Callable[[], float], name: str) -> Iterator[http.client.HTTPResponse]:
        with self._dial(target, left, name) as raw:
            raw.settimeout(left())
            # no ragged ends: a body without a length is whole only when the other side says so
            with self.context.wrap_socket(raw, server_hostname=target.host, suppress_ragged_eofs=False) as secured:
                connection = http.client.HTTPSConnection(target.host, target.port, context=self.context)
                connection.auto_open = 0  # it never dials by itself: that would be a second lookup
                connection.sock = _Wire(secured, left)
                connection.request("GET", target.target, headers=HEADERS)
                with connection.getresponse() as response:
                    yield response

    def _dial(self, target: Target, left: Callable[[], float], name: str) -> socket.socket:
        """A connection to one of the addresses of a host, all of which must be public."""
        found = [target.host] if target.is_literal else _within(left(), lambda: list(self.resolve(target.host)))
        for text in found:
            if not self.is_allowed(text):
                raise Refused("URL_BLOCKED", f"{name}: {target.host} leads to {readable(text)[0]}, which is not a public address")
        error: OSError = ConnectionError(f"the name {target.host} leads nowhere")
        for text in found:
            seconds = min(left(), CONNECT_SECONDS)
            try:
                return _connect(text, target.port, seconds)
            except OSError as failure:  # a machine without IPv6 ends here too, and goes on with the next
                error = ConnectionError(f"no connection to {target.host}: {failure.strerror or 'no answer'}")
        raise error

    def _body(self, response: http.client.HTTPResponse, name: str) -> Iterator[bytes]:
        status = response.status
        if status in AGAIN or status < 200 or status >= 500:
            raise Unreachable(f"{name}: answered {status}")
        if status != 200:
            raise Missing(f"{name}: answered {status}")
        lengths, framing, packing = (
            {text.strip().lower() for text in response.headers.get_all(head, [])}
            for head in ("Content-Length", "Transfer-Encoding", "Content-Encoding")
        )
        if packing - {"identity", ""}:
            raise Missing(f"{name}: answered with packed content, which was not asked for")
        if len(lengths) > 1 or not all(re.fullmatch(r"[0-9]{1,18}", text) for text in lengths) or framing - {"chunked"}:
            raise Unreachable(f"{name}: answered with a length that can't be read")
        if response.length is not None and response.length > self.member_bytes:
            raise TooLarge
        size = 0
        while chunk := response.read(min(CHUNK_BYTES, self.member_bytes - size + 1)):
            size += len(chunk)
            if size > self.member_bytes:
                raise TooLarge
            yield chunk
        if response.length:
            raise Unreachable(f"{name}: broke off {response.length} bytes before the end")


def _connect(address: str, port: int, seconds: float) -> socket.socket:
    raw = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        raw.settimeout(seconds)
        raw.connect((address, port))
    except OSError:
        raw.close()
        raise
    return raw


class _Wire(io.RawIOBase):
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
        return io.BufferedReader(self)

    def close(self) -> None:
        pass


def _within(seconds: float, call: Callable[[], list[str]]) -> list[str]:
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


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no secure connection ({error.reason or type(error).__name__})"
    if isinstance(error, OSError):
        return readable((error.strerror or str(error))[:200])[0]
    return f"an answer that can't be read ({type(error).__name__})"
