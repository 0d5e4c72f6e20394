"""Deliveries in landing that wait to be taken in: what one look finds, in a time of its own however much lies there.

A look of a sensor (`Round`) takes so many seconds and no more than one delivery longer. First come deliveries that are new, that
wait, or whose folder or archive changed since it was taken; with the rest of its time it goes on through those that are done with,
where the last look stopped. So a file that was changed deep inside an old delivery, which its folder's own time doesn't tell, is
found when its turn comes: within a look as long as all fit into one, else after as many looks as they need. What isn't reached
stands as it was seen last. A person's command looks at everything, and reads whatever it must.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dataops_assets import drops as drops_
from dataops_assets.flow import shared
from dataops_assets.intake import identity, landing, readiness
from dataops_assets.intake.delivery_manifest import ADDRESSES
from dataops_assets.manifest import records
from dataops_assets.outcomes import DROP_CHAIN, is_concluded, last_outcomes, noes
from dataops_assets.redeliveries import is_cleared, read_content
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

READ_BYTES = 256 << 20  # so much of deliveries' content is read at one look, a second or less; more is read by a run
FILE_BYTES = 16 << 10  # opening a file costs as much as reading so many bytes
OPEN_SHARE = 2 / 3  # of a look's time for what is open: the rest goes to what is done with, however much is open
AGAIN_S = 3600.0  # what holds too many files is counted again after so long, or when its own folder changes
WHOLE = 0.0  # "has lain there since ever": what was seen to be complete isn't checked again while it stays as it is
MENDABLE = ("LOOSE_FILE", "UNREADABLE")  # what is no delivery as it lies there, but waits for a hand; else it has to come again
UNREACHED = "waits for its turn to be looked at"
CLEARED = "files of it were taken away since it was taken in, and none was delivered: it stays as it was taken"
LESS = "less"  # stands in `Seen.content` for what is CLEARED
log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """What is remembered of a delivery.

    Attributes:
        fingerprint: How it lay there.
        at: When it was first seen so, UNIX seconds.
        content: Digest of its content, once it was read; or LESS.
        listing: Of one that is complete, by which it can be asked for without another look.
        bytes: Its size, of one that is complete.
    """

    fingerprint: str
    at: float
    content: str = ""
    listing: str = ""
    bytes: int = 0


Looks = Mapping[str, Seen]
T = TypeVar("T")


@dataclass(frozen=True)
class Waiting:
    """One thing to run: a partition key, the fingerprint of what lies there, and what to call it.

    Attributes:
        bytes: Size of a delivery; null for what needs no room of its own.
        has_addresses: Whether it leads to files elsewhere: nobody knows how large it is, and its run waits for hosts.
        since: Runs that were made before don't count as attempts, UNIX seconds.
        facts: What the ledger should say of it should it be parked.
    """

    partition: str
    fingerprint: str
    name: str
    bytes: int | None = None
    since: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)
    has_addresses: bool = False


@dataclass
class Found:
    """What waits, and what isn't complete yet: with its reason, and the look to remember.

    `unread` are deliveries that only their content tells from what was delivered before, and too large to be read at a look.
    """

    ready: list[Waiting] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    looks: dict[str, Seen] = field(default_factory=dict)
    unread: list[Waiting] = field(default_factory=list)


@dataclass
class Round:
    """One look of many: how long it may take, and where the last one stopped.

    Attributes:
        seconds: For looking at deliveries.
        turns: Of what is `open` and what is `closed`, each vendor's delivery that was looked at last, and under `""` the vendor.
        held: What the last look said of what it held.
    """

    seconds: float = math.inf
    turns: dict[str, dict[str, str]] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic

    def in_turn(self, kind: str, deliveries: Iterable[landing.Delivery], until: float) -> Iterator[landing.Delivery]:
        """Deliveries while there is time, at least one: vendors in turn, each from where it stopped."""
        last = self.turns.setdefault(kind, {})
        queues: dict[str, list[landing.Delivery]] = {}
        for delivery in deliveries:
            queues.setdefault(delivery.vendor, []).append(delivery)
        for vendor in last.keys() - queues.keys() - {""}:
            del last[vendor]
        vendors = _after(sorted(queues), last.get("", ""), str)
        rows = [iter(_after(queues[vendor], last.get(vendor, ""), lambda delivery: delivery.name)) for vendor in vendors]
        is_first = True
        while rows:
            for row in list(rows):
                try:
                    delivery = next(row)
                except StopIteration:
                    rows.remove(row)
                    continue
                if not is_first and self.clock() >= until:
                    return
                is_first = False
                last[""], last[delivery.vendor] = delivery.vendor, delivery.name
                yield delivery


def _after(items: list[T], last: str, name: Callable[[T], str]) -> list[T]:
    """Sorted items, begun after the one of a name."""
    start = next((place for place, item in enumerate(items) if name(item) > last), 0)
    return items[start:] + items[:start]


def drops(store: Store, spec: ProjectSpec, looks: Looks, now: float, is_settled: bool = False, round_: Round | None = None) -> Found:
    """Deliveries that are complete and not yet through the drop chain.

    A redelivery of the same bytes is entered into the ledger and not taken again. `is_settled` takes what lies there as
    complete and reads whatever it must: a person who runs a command says so. A `round_` bounds the look, and is left as the next
    one needs it; without one everything is looked at.
    """
    look = _Look(store, spec, looks, now, is_settled, round_ or Round())
    landed = landing.scan(store.home.root / "landing", spec.name)
    root = store.home.landing(spec.name)
    if root.is_symlink() and not root.exists():
        landed.faults[f"landing/{spec.name}"] = "is a link to nothing: what it leads to isn't there, or not mounted"
    look.at_all(landed)
    drops_.enter_drops(store, [row for row in look.entered if not drops_.stands(look.past(row["vendor"], row["name"]), row)])
    look.found.ready.sort(key=lambda item: item.name)
    return look.found


class _Look:
    """One look at the landing folder: what it knew before, and what it finds.

    Attributes:
        entered: Rows for the `drops` ledger.
        doubtful: Deliveries that were delivered before with the same names and sizes: only their content tells whether they changed.
    """

    def __init__(self, store: Store, spec: ProjectSpec, looks: Looks, now: float, is_settled: bool, round_: Round) -> None:
        self.store, self.spec, self.looks, self.now, self.is_settled, self.round = store, spec, looks, now, is_settled, round_
        ledger = shared.rows_of(store.drops.rows(), spec.name)
        self.known: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in records(ledger.drop(columns=list(drops_.CHAINED))):
            self.known.setdefault((row["vendor"], row["name"]), []).append(row)
        self.owners = {row["drop_id"]: name for name, rows in self.known.items() for row in rows}
        self.since = drops_.counted_from(ledger)
        self.outcomes = last_outcomes(store, spec.name, DROP_CHAIN, drops_.retried(ledger))
        self.noes = noes(store, spec.name, DROP_CHAIN[0])
        self.withdrawn, _ = store.withdrawn(spec.name)
        self.may_read = READ_BYTES
        self.found = Found()
        self.entered: list[dict[str, Any]] = []
        self.doubtful: list[tuple[landing.Delivery, landing.Look]] = []

    def past(self, vendor: str, name: str) -> list[dict[str, Any]]:
        """The ledger's rows of a name."""
        return self.known.get((vendor, name), [])

    def at_all(self, landed: landing.Landed) -> None:
        """Look at what lies there, as far as there is time; what isn't reached stands as it was seen last."""
        started = self.round.clock()
        self.found.held = landed.faults
        for stray in landed.strays:
            self.pass_by(stray)
        open_: list[landing.Delivery] = []
        closed: list[landing.Delivery] = []
        for delivery in landed.deliveries:
            (open_ if self._is_open(delivery) else closed).append(delivery)
        reached = set()
        for kind, deliveries, share in (("open", open_, OPEN_SHARE if closed else 1.0), ("closed", closed, 1.0)):
            for delivery in self.round.in_turn(kind, deliveries, started + share * self.round.seconds):
                reached.add((delivery.vendor, delivery.name))
                self.at(delivery)
        for delivery in open_:
            if (delivery.vendor, delivery.name) not in reached:
                self.remember(delivery)
        for delivery, seen in sorted(self.doubtful, key=lambda held: held[1].bytes):
            self.into(delivery, seen)

    def _is_open(self, delivery: landing.Delivery) -> bool:
        """Whether there may be something to do about a delivery, as far as one look at its folder or archive tells."""
        past = self.past(delivery.vendor, delivery.name)
        if not past or past[-1]["received_at"] is None or label_of(delivery) in self.looks or not self._is_through(past[-1]):
            return True
        try:
            return bool(delivery.path.lstat().st_ctime > past[-1]["received_at"].timestamp())
        except OSError:
            return True

    def pass_by(self, stray: landing.Delivery) -> None:
        """Enter what is no delivery, once it has rested."""
        past, label, print_ = self.past(stray.vendor, stray.name), label_of(stray), landing.fingerprint(stray)
        self.found.looks[label] = first = self._first(label, print_)
        if self.is_settled or has_rested(first, print_, self.now, self.spec):
            self._hold(stray, landing.VANISHED, past, stray.fault, "held" if stray.fault in MENDABLE else "rejected")

    def at(self, delivery: landing.Delivery) -> None:
        """See whether a delivery is new, complete, or through; whatever is wrong with it, the next look sees it again."""
        past, label, seen = self.past(delivery.vendor, delivery.name), label_of(delivery), landing.VANISHED
        last = past[-1] if past else None
        if last is None and not self._owns_its_id(delivery):
            return
        try:
            if self._is_known_to_be_too_many(delivery, past):
                return
            seen = landing.look(delivery)
            is_taken = last is not None and last["fingerprint"] == seen.fingerprint
            if last is not None and is_taken and self._is_through(last):
                return
            first = self.looks.get(label)
            if last is not None and not is_taken and self._is_cleared(delivery, seen, last, first):
                self.found.looks[label], self.found.held[label] = Seen(seen.fingerprint, self.now, LESS), CLEARED
                return
            if first is not None and first.fingerprint == seen.fingerprint:
                self.found.looks[label] = self._first(label, seen.fingerprint)
            is_due = self.is_settled or (last is not None and is_taken and (last["status"] != "held" or drops_.is_found(last)))
            if is_due or self._is_complete(delivery, seen, first, past):
                which = identity.of(delivery, seen, past)
                if which is None:
                    self.doubtful.append((delivery, seen))
                else:
                    self._take(delivery, seen, which)
        except Exception as error:
            self._unread(delivery, seen, past, error)

    def remember(self, delivery: landing.Delivery) -> None:
        """A delivery that this look didn't reach stands as it was seen last."""
        past, label = self.past(delivery.vendor, delivery.name), label_of(delivery)
        seen = self.looks.get(label)
        if seen is not None:
            self.found.looks[label] = seen
        if seen is None or not seen.listing:
            self.found.held[label] = self.round.held.get(label, UNREACHED)
            return
        if past and past[-1]["fingerprint"] == seen.fingerprint and self._is_through(past[-1]):
            del self.found.looks[label]
            return
        look = landing.Look(seen.fingerprint, seen.listing, seen.bytes)
        which = identity.of(delivery, look, past, seen.content or None)
        if which is not None and not (which.is_redelivery and self._is_through(past[-1])):
            self._take(delivery, look, which)

    def into(self, delivery: landing.Delivery, seen: landing.Look) -> None:
        """Read a doubtful delivery, unless it was read before or there is too much to read at this look."""
        past, label = self.past(delivery.vendor, delivery.name), label_of(delivery)
        first = self.found.looks.get(label) or Seen(seen.fingerprint, self.now)
        try:
            content, cost = first.content or read_content(self.store.home, delivery, seen.fingerprint), seen.bytes + seen.count * FILE_BYTES
            if not content:
                if not self.is_settled and cost > self.may_read:
                    self.found.held[label] = f"waits to be read ({seen.bytes} bytes): delivered before with the same names and sizes"
                    self.found.looks[label] = first
                    if cost > READ_BYTES:
                        self.found.unread.append(Waiting(past[-1]["drop_id"], f"{seen.fingerprint}-content", label))
                    return
                content = landing.content_sha256(delivery, seen)
                self.may_read -= cost
                if landing.look(delivery).fingerprint != seen.fingerprint:
                    self.found.held[label] = "INCOMPLETE"  # it changed while it was read
                    return
            which = identity.of(delivery, seen, past, content)
            if which is None:
                return
            if which.is_redelivery:
                known = next(row for row in reversed(past) if row["drop_id"] == which.drop_id)  # a later name may have been given up
                self.entered.append({**known, "fingerprint": seen.fingerprint, "listing": seen.listing})
                if self._is_through(known):
                    return
            self.found.looks[label] = first._replace(content=content)
            self._take(delivery, seen, which)
        except Exception as error:
            self._unread(delivery, seen, past, error)

    def _owns_its_id(self, delivery: landing.Delivery) -> bool:
        """Whether a new name's id isn't another's; else it is held."""
        drop_id = identity.drop_id_of(delivery.vendor, delivery.name)
        owner = self.owners.setdefault(drop_id, (delivery.vendor, delivery.name))
        if owner == (delivery.vendor, delivery.name):
            return True
        self.found.held[label_of(delivery)] = f"its id {drop_id} is that of {'/'.join(owner)}: rename it"
        return False

    def _is_through(self, last: Mapping[str, Any]) -> bool:
        """Whether nothing is to be done about a drop, as its newest row says."""
        drop_id = last["drop_id"]
        if last["status"] == "parked" or drop_id in self.withdrawn:
            return True
        return is_concluded(self.outcomes, DROP_CHAIN, drop_id) and not self._may_pass(last)

    def _may_pass(self, last: Mapping[str, Any]) -> bool:
        """Whether a run found what may be otherwise by now, and not yet so often that it is left to a person."""
        if not drops_.is_found(last) or last["reason"] not in drops_.PASSING:
            return False
        drop_id, since = last["drop_id"], self.since.get(last["drop_id"], 0.0)
        rows = [row for row in self.past(last["vendor"], last["name"]) if row["drop_id"] == drop_id and row["received_at"] is not None]
        times = [row["received_at"].timestamp() for row in rows if row["fingerprint"] == last["fingerprint"]]
        began = min((at for at in times if at > since), default=since)
        return sum(at >= began for at in self.noes.get(drop_id, ())) < drops_.TRIES

    def _is_cleared(self, delivery: landing.Delivery, seen: landing.Look, last: Mapping[str, Any], first: Seen | None) -> bool:
        """Whether a delivery that was taken, and that no gate refused, has only lost files since: who corrects one puts something there."""
        if any(self.outcomes.get((asset, last["drop_id"])) == "fail" for asset in DROP_CHAIN):
            return False
        is_known = first is not None and (first.fingerprint, first.content) == (seen.fingerprint, LESS)
        return is_known or is_cleared(self.store, delivery, last, seen)

    def _first(self, label: str, print_: str) -> Seen:
        """When something was first seen as it is; a time that lies ahead is one of a clock that was wrong."""
        first = self.looks.get(label)
        is_same = first is not None and first.fingerprint == print_ and first.at <= self.now and first.content != LESS
        return first if first is not None and is_same else Seen(print_, self.now)

    def _is_complete(self, delivery: landing.Delivery, seen: landing.Look, first: Seen | None, past: list[dict[str, Any]]) -> bool:
        """Whether a delivery has all its files; one that hasn't is held."""
        told = readiness.of(delivery, self.spec, first and (first.fingerprint, first.at), self.now, seen, self.may_read)
        self.may_read -= told.bytes_read
        label = label_of(delivery)
        if told.is_ready:
            if told.bytes_read:
                self.found.looks[label] = Seen(seen.fingerprint, WHOLE)
            return True
        self.found.held[label] = told.reason
        self.found.looks.setdefault(label, Seen(seen.fingerprint, self.now))
        self._hold(delivery, seen, past, told.reason)
        return False

    def _take(self, delivery: landing.Delivery, seen: landing.Look, which: identity.Identity) -> None:
        label = label_of(delivery)
        facts = {"vendor": delivery.vendor, "name": delivery.name, "drop_id": which.drop_id, "supersedes": which.supersedes}
        facts |= {"fingerprint": seen.fingerprint, "listing": seen.listing}
        since = self.since.get(which.drop_id, 0.0)
        first = self.found.looks.get(label) or Seen(seen.fingerprint, self.now)
        self.found.looks[label] = first._replace(listing=seen.listing, bytes=seen.bytes)
        is_list = not delivery.is_archive and os.path.lexists(delivery.path / ADDRESSES)
        self.found.ready.append(Waiting(which.drop_id, seen.fingerprint, label, seen.bytes, since, facts, is_list))

    def _is_known_to_be_too_many(self, delivery: landing.Delivery, past: list[dict[str, Any]]) -> bool:
        """Whether a folder held too many files when they were counted last, and neither changed itself nor was that long ago."""
        print_, first = _print_of_too_many(delivery.path), self.looks.get(label_of(delivery))
        if first is None or first.fingerprint != print_ or not 0 <= self.now - first.at < AGAIN_S:
            return False
        self._unread(delivery, landing.VANISHED, past, landing.TooMany(0, f"more than {landing.MOST_ENTRIES:,} files and folders"))
        return True

    def _unread(self, delivery: landing.Delivery, seen: landing.Look, past: list[dict[str, Any]], error: Exception) -> None:
        """Hold what can't be looked at, and enter it once that has lasted: what somebody moves away at this moment is no fault."""
        label, is_too_many = label_of(delivery), isinstance(error, landing.TooMany)
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        self.found.held[label] = f"can't be read: {why}"
        print_ = _print_of_too_many(delivery.path) if is_too_many else seen.fingerprint
        first = self._first(label, print_)
        if first is not self.looks.get(label):
            log.warning("%s can't be looked at", label, exc_info=not isinstance(error, OSError))
        lasts = self.is_settled or has_rested(first, print_, self.now, self.spec)
        if is_too_many and self.now - first.at >= AGAIN_S:
            first = Seen(print_, self.now)  # it was counted anew
        self.found.looks[label] = first
        if lasts:
            reason, status = ("TOO_MANY_MEMBERS", "rejected") if is_too_many else ("UNREADABLE", "held")
            self._hold(delivery, seen, past, reason, status)

    def _hold(self, delivery: landing.Delivery, seen: landing.Look, past: list[dict[str, Any]], reason: str, status: str = "held") -> None:
        """Enter why something waits, or can't be taken at all; what was taken under its name before stands as it is."""
        if past and past[-1]["status"] != "held":
            return
        which = identity.of(delivery, seen, past)
        if which is not None:
            self.entered.append({**drops_.held(self.spec, delivery, which, reason), "status": status})


def label_of(delivery: landing.Delivery) -> str:
    """What a delivery is called: `vendor/name`."""
    return f"{delivery.vendor}/{delivery.name}"


def _print_of_too_many(folder: Path) -> str:
    try:
        stat = folder.lstat()
    except OSError:  # it was moved away since it was counted
        return landing.VANISHED.fingerprint
    return f"many-{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_ctime_ns}"


def has_rested(first: Seen | None, print_: str, now: float, spec: ProjectSpec) -> bool:
    """Whether something lay there as it is long enough."""
    return first is not None and first.fingerprint == print_ and now - first.at >= spec.sources.settle_s
