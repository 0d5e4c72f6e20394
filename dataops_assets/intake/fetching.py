"""The files of a list of addresses, from hosts that may be slow, broken or hostile.

An address is a vendor's word, so it is never trusted to lead outside: https only, hosts the spec lists, names that resolve to
public addresses only, one lookup a request with the connection pinned to its answer, every redirect judged like the first address.
A host is asked no faster than agreed by all runs together, is left alone for as long as it asks (`Retry-After`), and after minutes of
silence. A file is always asked for whole, never from where an earlier try broke off: it may be another one by then. A run asks for so
long and no longer; what is left then is for another one.
"""

from __future__ import annotations

import email.utils
import http.client
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from urllib.parse import quote, urljoin

from dataops_assets.intake.members import Member, Refused, TooLarge, readable
from dataops_assets.intake.turns import Turns
from dataops_assets.intake.urls import Address, UrlList
from dataops_assets.intake.web_policy import PRINTABLE, Target, is_public, judge, shown
from dataops_assets.intake.wire import Wire, connect, within, words_of
from dataops_assets.spec import IntakeLimits, UrlLists

CHUNK_BYTES = 1 << 20
CONNECT_SECONDS = 10.0  # for one of several resolved addresses, so that a dead one leaves time for the next
HEADERS = {"User-Agent": "dataops-assets", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
REDIRECTS = (301, 302, 303, 307, 308)
AGAIN = (408, 425, 429)
ASKED_SECONDS = 120.0  # the longest pause that a host may ask for (Retry-After) and get; a longer one is left to another run
TIMES = 3  # that a file is asked for where the host asks for such pauses
MISSING, TOO_LARGE = "missing", "too large"
SILENT_SECONDS = 300.0  # a host that gives nothing for so long is left alone for the rest of the run


class Missing(Exception):
    """The address doesn't give the file, and asking again won't help; the message says why."""


class Unreachable(Exception):
    """The address didn't give the file this time; asking again may help. The message says why."""


class _Later(Unreachable):
    """The host asked for a short pause before it gave anything."""


class _TimeIsUp(Unreachable):
    """This run's time is up."""


@dataclass
class Course:
    """How one run gets on with a list.

    Attributes:
        without: Addresses that give no file however often they are asked: path -> MISSING or TOO_LARGE. Those that an earlier run
            found aren't asked.
        settled: Addresses that this run got a file of, or found to give none.
        seconds: From the first address that was asked to the last.
        is_cut_short: Whether the run's time was up before every address was asked.
    """

    without: dict[str, str] = field(default_factory=dict)
    settled: int = 0
    seconds: float = 0.0
    is_cut_short: bool = False


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
    turns: Turns | None = None,
    course: Course | None = None,
) -> Iterator[Member]:
    """A member an address, in the order of the list. Nothing is asked until a member's `chunks` are read.

    Reading them raises `Refused` (URL_BLOCKED: the rules are broken, here or by a redirect), `TooLarge` (beyond `member_bytes`),
    `Missing` or `Unreachable`, as all do once `rules.run_seconds` are over.

    Args:
        listed: the list.
        rules: who may be asked, how often, for how long.
        member_bytes: most bytes of one file.
        resolve: IP addresses of a name; asked once a request.
        is_allowed: whether an IP address may be dialled.
        context: how certificates are checked; default: the system's authorities.
        clock: seconds that only go forward.
        sleep: waits so many of them.
        turns: whose turn it is at each host; default: nobody else asks.
        course: is told how the run gets on.
    """
    if context is None:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
    course = course if course is not None else Course()
    asker = _Asker(rules, member_bytes, resolve, is_allowed, context, clock, sleep, turns or Turns(clock=clock), course)
    for address in listed.files:
        yield Member(address.path, address.warnings, _in_time(asker, address), lambda size: None)


def _in_time(asker: _Asker, address: Address) -> Iterator[bytes]:
    """A file's bytes, as long as the run has time."""
    course, name = asker.course, _name(address)
    if address.path in course.without:
        raise TooLarge if course.without[address.path] == TOO_LARGE else Missing(f"{name}: an earlier run found nothing there")
    started = asker.begin()
    try:
        if asker.rest() <= 0:
            raise _TimeIsUp(f"{name}: not asked yet when this run's time was up (`sources.urls.run_seconds`)")
        yield from asker.chunks(address)
        course.settled += 1
    except (Missing, TooLarge) as error:
        course.without[address.path] = MISSING if isinstance(error, Missing) else TOO_LARGE
        course.settled += 1
        raise
    except _TimeIsUp:
        course.is_cut_short = True
        raise
    finally:
        course.seconds = asker.clock() - started


def bounded(members: Iterable[Member], limits: IntakeLimits) -> Iterator[Member]:
    """The same members, those of the delivery itself and those that its list leads to, all against one limit.

    Reading them raises `Refused`: BOMB once they come to more bytes than a delivery may have, TOO_MANY_MEMBERS. What a host gave of
    a file that then broke off doesn't count: nothing is kept of it.
    """
    total = 0

    def count(size: int) -> None:
        nonlocal total
        total += size
        if total > limits.total_bytes:
            raise Refused("BOMB", f"its files and addresses give more than {limits.total_bytes} bytes")

    def counted(member: Member) -> Iterator[bytes]:
        nonlocal total
        before = total
        try:
            for chunk in member.chunks:
                count(len(chunk))
                yield chunk
        except (Missing, Unreachable):
            total = before
            raise

    def skipped(member: Member, size: int) -> None:
        member.skip(size)
        count(size)

    for number, member in enumerate(members, start=1):
        if number > limits.members:
            raise Refused("TOO_MANY_MEMBERS", f"its files and addresses are more than {limits.members}")
        yield replace(member, chunks=counted(member), skip=partial(skipped, member))


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
    turns: Turns
    course: Course
    started: float | None = None
    silent: dict[str, float] = field(default_factory=dict)  # host and port of an address -> for how long it has given nothing

    def begin(self) -> float:
        """When the first address was asked: now, if none was."""
        self.started = self.clock() if self.started is None else self.started
        return self.started

    def rest(self) -> float:
        """Seconds that this run has left."""
        return self.begin() + self.rules.run_seconds - self.clock()

    def chunks(self, address: Address) -> Iterator[bytes]:
        name = _name(address)
        host = address.url.partition("://")[2].partition("/")[0]
        if self.silent.get(host, 0.0) >= SILENT_SECONDS:
            raise Unreachable(f"{name}: not asked, its host has given nothing for {self.silent[host]:.0f} s")
        started = self.clock()
        try:
            for left in reversed(range(TIMES)):
                try:
                    yield from self._tried(address.url, name)
                    break
                except _Later:
                    if not left:
                        raise
        except _TimeIsUp:
            raise
        except Unreachable:
            self.silent[host] = self.silent.get(host, 0.0) + self.clock() - started
            raise
        except (Missing, TooLarge):
            self.silent[host] = 0.0
            raise
        self.silent[host] = 0.0

    def _tried(self, url: str, name: str) -> Iterator[bytes]:
        try:
            yield from self._follow(url, name)
        except TimeoutError:
            if self.rest() <= 0:
                raise _TimeIsUp(f"{name}: not here yet when this run's time was up (`sources.urls.run_seconds`)") from None
            raise Unreachable(f"{name}: took longer than {self.rules.file_seconds:g} s (`sources.urls.file_seconds`)") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(f"{name}: {words_of(error)}") from None  # the cause may quote the address whole

    def _follow(self, url: str, name: str) -> Iterator[bytes]:
        ends = self.clock() + self.rules.file_seconds

        def left() -> float:
            rest = min(ends - self.clock(), self.rest())
            if rest <= 0:
                raise TimeoutError
            return rest

        for hop in range(self.rules.redirects + 1):
            try:
                target = judge(url, self.rules)
            except ValueError as why:
                raise Refused("URL_BLOCKED", f"{name}: {f'leads on to {shown(url)}: ' if hop else ''}{why}") from None
            ends += self._wait(target, name)  # being polite isn't being slow
            with self._answer(target, left, name) as response:
                location = response.getheader("Location")
                if response.status not in REDIRECTS or not location:
                    self._heed(target, response, name)
                    yield from self._body(response, name)
                    return
            try:
                url = urljoin(target.url, quote(location.encode("latin-1"), safe=PRINTABLE))
            except ValueError:
                raise Refused("URL_BLOCKED", f"{name}: leads on to what is not a web address") from None
        raise Missing(f"{name}: leads on more than {self.rules.redirects} times (`sources.urls.redirects`)")

    def _wait(self, target: Target, name: str) -> float:
        rest = max(0.0, self.rest())
        wait = self.turns.take(target.agreed, 1 / self.rules.files_per_second, min(ASKED_SECONDS, rest))
        if rest < wait <= ASKED_SECONDS:
            raise _TimeIsUp(f"{name}: this run's time was up before its turn at {target.host} (`sources.urls.run_seconds`)")
        if wait > ASKED_SECONDS:
            raise Unreachable(f"{name}: not asked, {target.host} wants to be left alone for {wait:.0f} s more")
        if wait:
            self.sleep(wait)
        return wait

    def _heed(self, target: Target, response: http.client.HTTPResponse, name: str) -> None:
        """Leave a host alone for as long as it asks (RFC 9110, 10.2.3)."""
        if response.status not in (*AGAIN, 503):
            return
        seconds = _seconds(response.getheader("Retry-After") or "")
        if seconds is None:
            return
        self.turns.leave_alone(target.agreed, seconds)
        if seconds <= ASKED_SECONDS:
            raise _Later(f"{name}: answered {response.status}, and asked for a pause of {seconds:.0f} s")

    @contextmanager
    def _answer(self, target: Target, left: Callable[[], float], name: str) -> Iterator[http.client.HTTPResponse]:
        with self._dial(target, left, name) as raw:
            raw.settimeout(left())
            # no ragged ends: a body without a length is whole only when the other side says so
            with self.context.wrap_socket(raw, server_hostname=target.host, suppress_ragged_eofs=False) as secured:
                connection = http.client.HTTPSConnection(target.host, target.port, context=self.context)
                connection.auto_open = 0  # it never dials by itself: that would be a second lookup
                connection.sock = Wire(secured, left)
                connection.request("GET", target.target, headers=HEADERS)
                with connection.getresponse() as response:
                    yield response

    def _dial(self, target: Target, left: Callable[[], float], name: str) -> socket.socket:
        """A connection to one of the addresses of a host, all of which must be public."""
        found = [target.host] if target.is_literal else within(left(), lambda: list(self.resolve(target.host)))
        for text in found:
            if not self.is_allowed(text):
                raise Refused("URL_BLOCKED", f"{name}: {target.host} leads to {readable(text)[0]}, which is not a public address")
        error: OSError = ConnectionError(f"the name {target.host} leads nowhere")
        for text in found:
            seconds = min(left(), CONNECT_SECONDS)
            try:
                return connect(text, target.port, seconds)
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


def _name(address: Address) -> str:
    return f"row {address.row}, {shown(address.url)}"


def _seconds(text: str) -> float | None:
    """How long a `Retry-After` asks to wait: it holds seconds or a date. None when neither can be read."""
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", text):
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
        return max(0.0, (until - datetime.now(until.tzinfo)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
