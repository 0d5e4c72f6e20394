"""A delivery that is a list of addresses, `urls.csv`: what may be asked for, and the asking.

An address is a vendor's word, so it is never trusted to lead outside: https only, hosts the spec lists, names that resolve to
public addresses only, one lookup a request with the connection pinned to its answer, every redirect judged like the first address.
"""

from __future__ import annotations

import csv
import http.client
import io
import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote, urljoin

from dataops_assets.intake import delivery_manifest, landing
from dataops_assets.intake.delivery_manifest import Listed, ManifestError
from dataops_assets.intake.members import Member, Refused, TooLarge, readable
from dataops_assets.spec import IntakeLimits, UrlLists

NAME = "urls.csv"
RESERVED = (NAME, *delivery_manifest.NAMES, *landing.MARKERS)  # names that say something about a delivery
CHUNK_BYTES = 1 << 20
URL_CHARS = 8192
PATH_BYTES = 1024
CONNECT_SECONDS = 10.0  # for one of several resolved addresses, so that a dead one leaves time for the next
HEADERS = {"User-Agent": "dataops-assets", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
REDIRECTS = (301, 302, 303, 307, 308)
AGAIN = (408, 425, 429)

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?")
AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@%]+)(?::([0-9]{1,5}))?")
HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label like this makes resolvers read the host as an IPv4 address
PRINTABLE = "!#$%&'()*+,/:;=?@[]~"

# What `is_global` of Python 3.11 lets through though it isn't the open Internet (IANA special-purpose registries), or is the
# inside of a cloud (168.63.129.16, the host of an Azure machine).
V4_SPECIAL = [ipaddress.IPv4Network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "224.0.0.0/4", "240.0.0.0/4")]
V6_UNICAST = ipaddress.IPv6Network("2000::/3")
V6_SPECIAL = [ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]  # Teredo, 6to4 among them
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
ISATAP = (0x00005EFE, 0x02005EFE)


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


@dataclass(frozen=True)
class Target:
    """An address that may be asked: ASCII host, port, and what to ask it for."""

    host: str
    port: int
    target: str = field(repr=False)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}{'' if self.port == 443 else f':{self.port}'}{self.target}"


def parse(data: bytes, limit: int = IntakeLimits().members) -> UrlList:
    """Read a list of addresses of at most `limit` rows.

    Columns: `url`; optional `path`, the file's name in the drop (default `<row, 6 digits>-<last part of the address>`), and the
    columns of a manifest. Nothing is judged here but the list itself: see `check`.

    Raises:
        ManifestError: MANIFEST_INVALID when it isn't CSV, MANIFEST_SCHEMA when its content doesn't fit, UNSAFE_PATH,
            TOO_MANY_MEMBERS.
    """
    files: dict[str, Address] = {}
    rows, warnings = _rows(data, limit)
    for number, row in enumerate(rows, start=1):
        url = row.pop("url", "")
        if not url or len(url) > URL_CHARS:
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number} needs a url of at most {URL_CHARS} characters")
        path, odd = readable(row.get("path") or _default_path(number, url))
        listed = delivery_manifest.read_row({**row, "path": path}, number)
        if path in RESERVED or len(path.encode()) > PATH_BYTES:
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: path {path[:80]!r} is reserved, or longer than {PATH_BYTES} bytes")
        if path in files:
            raise ManifestError("MANIFEST_SCHEMA", f"entry {number}: path {path[:80]!r} is listed twice")
        files[path] = Address(number, url, listed, odd)
    return UrlList(tuple(files.values()), warnings)


def _rows(data: bytes, limit: int) -> tuple[list[dict[str, str]], tuple[str, ...]]:
    if len(data) > delivery_manifest.MAX_BYTES:
        raise ManifestError("MANIFEST_INVALID", f"{len(data)} bytes are more than {delivery_manifest.MAX_BYTES}")
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        rows: list[dict[Any, Any]] = list(islice(reader, limit + 1))
    except UnicodeDecodeError as error:
        raise ManifestError("MANIFEST_INVALID", f"{NAME}: not UTF-8 at byte {error.start}") from error
    except csv.Error as error:
        raise ManifestError("MANIFEST_INVALID", f"{NAME}: {error}") from error
    columns = reader.fieldnames or []
    if "url" not in columns or len(set(columns)) != len(columns):
        raise ManifestError("MANIFEST_SCHEMA", f"{NAME}: expected a header with `url`, each column once")
    if len(rows) > limit:
        raise ManifestError("TOO_MANY_MEMBERS", f"{NAME}: more than {limit} addresses")
    if any(None in row or None in row.values() for row in rows):
        raise ManifestError("MANIFEST_SCHEMA", f"{NAME}: a row has more or fewer cells than the header")
    unknown = set(columns) - {"url", *delivery_manifest.FIELDS}
    return [{key: value for key, value in row.items() if value != ""} for row in rows], ("MANIFEST_UNKNOWN_FIELD",) if unknown else ()


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


def judge(url: str, rules: UrlLists) -> Target:
    """What an address asks of whom.

    Raises:
        ValueError: when the rules don't let it be asked; the message says which.
    """
    if not rules.enabled:
        raise ValueError("`sources.urls.enabled` is off")
    found = URL.fullmatch(url)
    if found is None or re.search(r"[\s\\\x00-\x1f\x7f]", url):
        raise ValueError("not a web address, or one with spaces, backslashes or control characters")
    scheme, authority, path, query = found.group(1), found.group(2), found.group(3), found.group(4) or ""
    if scheme.lower() != "https":
        raise ValueError("only https is taken")
    if "@" in authority:
        raise ValueError("a user name or password in an address is not taken")
    try:
        host, port = _host_port(authority)
    except ValueError:
        raise ValueError("its host or port can't be read") from None
    if not any(_lets(pattern, host, port) for pattern in rules.hosts):
        name = host if port == 443 else f"{host}:{port}"
        raise ValueError(f"{name} is not in `sources.urls.hosts`")
    return Target(host, port, quote(path or "/", safe=PRINTABLE) + quote(query, safe=PRINTABLE))


def _host_port(authority: str) -> tuple[str, int]:
    """Host as lower-case ASCII (or an IP literal in its one form) and port; ValueError when it is neither."""
    found = AUTHORITY.fullmatch(authority)
    if found is None or len(authority) > 260:
        raise ValueError(authority)
    host, port = found.group(1), int(found.group(2) or 443)
    if not 0 < port < 65536:
        raise ValueError(port)
    if host.startswith("["):
        return str(ipaddress.IPv6Address(host[1:-1])), port
    name = host.encode("idna").decode().lower().removesuffix(".")  # full-width digits and the like become plain here
    if len(name) > 253 or HOST.fullmatch(name) is None:
        raise ValueError(host)
    if NUMBER.fullmatch(name.rpartition(".")[2]):
        return str(ipaddress.IPv4Address(name)), port
    return name, port


@lru_cache(maxsize=1024)
def _pattern(text: str) -> tuple[bool, str, int]:
    is_wild = text.startswith("*.")
    if text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"
    try:
        host, port = _host_port(text[2:] if is_wild else text)
    except ValueError:
        return False, "", 0
    return is_wild, host, port


def _lets(pattern: str, host: str, port: int) -> bool:
    is_wild, name, allowed = _pattern(pattern)
    is_number = ":" in host or NUMBER.fullmatch(host.rpartition(".")[2]) is not None
    return port == allowed and ((host.endswith(f".{name}") and not is_number) if is_wild else host == name)


def shown(url: str) -> str:
    """An address for people: without query, fragment, and whatever may be a password."""
    head = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, mark, rest = head.rpartition("://") if "://" in head else ("", "", head)
    if "@" in url and ":" in head.removeprefix(f"{scheme}{mark}"):
        return f"{scheme}{mark}…" if re.fullmatch(r"[A-Za-z]{1,8}", scheme) else "…"
    if "@" in rest.partition("/")[0]:
        rest = "…@" + rest.partition("@")[2]
    return readable(f"{scheme}{mark}{rest}"[:200])[0]


def is_public(text: str) -> bool:
    """Whether an IP address lies in the open Internet, and so does the IPv4 address that may be wrapped in it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in net for net in V4_SPECIAL)
    if address.scope_id is not None:
        return False
    wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None or address in NAT64:
        return is_public(str(wrapped))
    if int(address) >> 32 & 0xFFFFFFFF in ISATAP and not is_public(str(wrapped)):
        return False
    return address in V6_UNICAST and address.is_global and not any(address in net for net in V6_SPECIAL)


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
        yield Member(address.path, address.warnings, asker.chunks(address))


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
    free_at: Counter[str] = field(default_factory=Counter)  # host -> when it may be asked next

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
            if why := _fault(url, self.rules):
                raise Refused("URL_BLOCKED", f"{name}: {f'leads on to {shown(url)}: ' if hop else ''}{why}")
            target = judge(url, self.rules)
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
        wait = max(0.0, self.free_at[host] - now) if host in self.free_at else 0.0
        if wait:
            self.sleep(wait)
        self.free_at[host] = now + wait + 1 / self.rules.files_per_second  # type: ignore[assignment]
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
        is_literal = ":" in target.host or NUMBER.fullmatch(target.host.rpartition(".")[2])
        found = [target.host] if is_literal else _within(left(), lambda: list(self.resolve(target.host)))
        for text in found:
            if not self.is_allowed(text):
                raise Refused("URL_BLOCKED", f"{name}: {target.host} leads to {readable(text)[0]}, which is not a public address")
        error: OSError = ConnectionError(f"the name {target.host} leads nowhere")
        for text in found:
            raw = socket.socket(socket.AF_INET6 if ":" in text else socket.AF_INET, socket.SOCK_STREAM)
            try:
                raw.settimeout(min(left(), CONNECT_SECONDS))
                raw.connect((text, target.port))
                return raw
            except OSError as failure:
                raw.close()
                error = ConnectionError(f"no connection to {target.host}: {failure.strerror or 'no answer'}")
        raise error

    def _body(self, response: http.client.HTTPResponse, name: str) -> Iterator[bytes]:
        status = response.status
        if status in AGAIN or status < 200 or status >= 500:
            raise Unreachable(f"{name}: answered {status}")
        if status != 200:
            raise Missing(f"{name}: answered {status}")
        if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
            raise Missing(f"{name}: answered with packed content, which was not asked for")
        lengths = set(response.headers.get_all("Content-Length", []))
        coding = response.headers.get_all("Transfer-Encoding", [])
        if (
            len(lengths) > 1
            or not all(re.fullmatch(r"[0-9]{1,18}", text) for text in lengths)
            or [c.lower() for c in coding] not in ([], ["chunked"])
        ):
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
