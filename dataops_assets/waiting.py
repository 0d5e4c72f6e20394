"""What waits: deliveries not yet taken, batches without tasks, returns not yet read. The same answer for sensors and commands.

Nothing here remembers anything: what is done is told by the ledgers, so a lost cursor or a killed run loses nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dataops_assets import drops as drops_
from dataops_assets import planning
from dataops_assets.flow import images, labels, shared
from dataops_assets.home import is_slug
from dataops_assets.intake import identity, landing, readiness
from dataops_assets.intake.delivery_manifest import ADDRESSES
from dataops_assets.manifest import records
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store

DROP_CHAIN = ("raw_images", "cleaned_set", "augmented_set")
RETURN_CHAIN = ("labeled_batches", "label_quality", "vendor_feedback")
READ_BYTES = 1 << 30  # so much of deliveries' content is read at one look; at 0.5 to 1 GB/s that is a second or two
WHOLE = 0.0  # "has lain there since ever": what was seen to be complete isn't checked again while it stays as it is
MENDABLE = ("LOOSE_FILE", "UNREADABLE")  # what is no delivery as it lies there, but waits for a hand; else it has to come again
Seen = tuple[str, float] | tuple[str, float, str]  # (fingerprint, when first seen so[, digest of the content, once it was read])
Looks = Mapping[str, Seen]
log = logging.getLogger(__name__)


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

    `is_unread` says that a delivery is too large to be read beside others.
    """

    ready: list[Waiting] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    looks: dict[str, Seen] = field(default_factory=dict)
    is_unread: bool = False


def drops(
    store: Store, spec: ProjectSpec, looks: Looks, now: float, limit: int | None = None, is_settled: bool = False, is_alone: bool = False
) -> Found:
    """Deliveries that are complete and not yet through the drop chain, at most `limit`.

    A redelivery of the same bytes is entered into the ledger and not taken again. `is_settled` takes what lies there as
    complete and reads whatever it must: a person who runs a command says so. `is_alone` reads one delivery of more than READ_BYTES.
    """
    look = _DropsLook(store, spec, looks, now, limit, is_settled, is_alone)
    landed = landing.scan(store.home.root / "landing", spec.name)
    look.found.held = landed.faults
    for stray in landed.strays:
        look.pass_by(stray)
    for delivery in landed.deliveries:
        if look.is_full:
            break
        look.at(delivery)
    for delivery, seen in sorted(look.doubtful, key=lambda held: held[1].bytes):
        look.into(delivery, seen)
    drops_.enter_drops(store, [row for row in look.entered if not drops_.stands(look.past(row["vendor"], row["name"]), row)])
    return look.found


class _DropsLook:
    """One look at the landing folder: what it knew before, and what it finds.

    Attributes:
        entered: Rows for the `drops` ledger.
        doubtful: Deliveries that were delivered before with the same names and sizes: only their content tells whether they changed.
    """

    def __init__(
        self, store: Store, spec: ProjectSpec, looks: Looks, now: float, limit: int | None, is_settled: bool, is_alone: bool
    ) -> None:
        self.spec, self.looks, self.now, self.limit, self.is_settled, self.is_alone = spec, looks, now, limit, is_settled, is_alone
        ledger = shared.rows_of(store.drops.rows(), spec.name)
        self.known: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in records(ledger.drop(columns=list(drops_.OF_ONE_ROW))):
            self.known.setdefault((row["vendor"], row["name"]), []).append(row)
        self.owners = {row["drop_id"]: name for name, rows in self.known.items() for row in rows}
        self.since = drops_.counted_from(ledger)
        self.outcomes = last_outcomes(store, spec.name, DROP_CHAIN)
        self.withdrawn, _ = store.withdrawn(spec.name)
        self.may_read = READ_BYTES
        self.found = Found()
        self.entered: list[dict[str, Any]] = []
        self.doubtful: list[tuple[landing.Delivery, landing.Look]] = []

    @property
    def is_full(self) -> bool:
        return self.limit is not None and len(self.found.ready) >= self.limit

    def past(self, vendor: str, name: str) -> list[dict[str, Any]]:
        """The ledger's rows of a name."""
        return self.known.get((vendor, name), [])

    def pass_by(self, stray: landing.Delivery) -> None:
        """Enter what is no delivery, once it has rested."""
        past, label, print_ = self.past(stray.vendor, stray.name), _label(stray), landing.fingerprint(stray)
        first = self.looks.get(label)
        self.found.looks[label] = first = first if first is not None and first[0] == print_ else (print_, self.now)
        if self.is_settled or _has_rested(first, print_, self.now, self.spec):
            self._hold(stray, landing.VANISHED, past, stray.fault, "held" if stray.fault in MENDABLE else "rejected")

    def at(self, delivery: landing.Delivery) -> None:
        """See whether a delivery is new, complete, or through; whatever is wrong with it, the next look sees it again."""
        past, label, seen = self.past(delivery.vendor, delivery.name), _label(delivery), landing.VANISHED
        last = past[-1] if past else None
        if last is None:
            drop_id = identity.drop_id_of(delivery.vendor, delivery.name)
            owner = self.owners.setdefault(drop_id, (delivery.vendor, delivery.name))
            if owner != (delivery.vendor, delivery.name):
                self.found.held[label] = f"its id {drop_id} is that of {'/'.join(owner)}: rename it"
                return
        try:
            seen = landing.look(delivery)
            is_taken = last is not None and last["fingerprint"] == seen.fingerprint
            if last is not None and is_taken and self._is_through(last):
                return
            first = self.looks.get(label)
            if first is not None and first[0] == seen.fingerprint:
                self.found.looks[label] = first
            is_due = self.is_settled or (last is not None and is_taken and last["status"] != "held")
            if is_due or self._is_complete(delivery, seen, first, past):
                which = identity.of(delivery, seen, past)
                if which is None:
                    self.doubtful.append((delivery, seen))
                else:
                    self._take(delivery, seen, which)
        except Exception as error:
            self._unread(delivery, seen, past, error)

    def into(self, delivery: landing.Delivery, seen: landing.Look) -> None:
        """Read a doubtful delivery, unless it was read before or there is too much to read at this look."""
        past, label = self.past(delivery.vendor, delivery.name), _label(delivery)
        first = self.found.looks.get(label, (seen.fingerprint, self.now))
        try:
            content = first[2] if len(first) == 3 else None
            if content is None:
                is_large = seen.bytes > READ_BYTES
                if not self.is_settled and (not self.is_alone if is_large else seen.bytes > self.may_read):
                    self.found.held[label] = f"waits to be read ({seen.bytes} bytes): delivered before with the same names and sizes"
                    self.found.looks[label] = first
                    self.found.is_unread = self.found.is_unread or is_large
                    return
                content = landing.content_sha256(delivery)
                self.may_read -= seen.bytes
                self.is_alone = self.is_alone and not is_large
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
            self.found.looks[label] = (first[0], first[1], content)
            if not self.is_full:
                self._take(delivery, seen, which)
        except Exception as error:
            self._unread(delivery, seen, past, error)

    def _is_through(self, last: Mapping[str, Any]) -> bool:
        """Whether nothing is to be done about a drop, as its newest row says."""
        drop_id = last["drop_id"]
        return last["status"] == "parked" or drop_id in self.withdrawn or is_concluded(self.outcomes, DROP_CHAIN, drop_id)

    def _is_complete(self, delivery: landing.Delivery, seen: landing.Look, first: Seen | None, past: list[dict[str, Any]]) -> bool:
        """Whether a delivery has all its files; one that hasn't is held."""
        told = readiness.of(delivery, self.spec, first, self.now, seen, self.may_read)
        self.may_read -= told.bytes_read
        if told.is_ready:
            if told.bytes_read:
                self.found.looks[_label(delivery)] = (seen.fingerprint, WHOLE)
            return True
        self.found.held[_label(delivery)] = told.reason
        self.found.looks.setdefault(_label(delivery), (seen.fingerprint, self.now))
        self._hold(delivery, seen, past, told.reason)
        return False

    def _take(self, delivery: landing.Delivery, seen: landing.Look, which: identity.Identity) -> None:
        facts = {"vendor": delivery.vendor, "name": delivery.name, "drop_id": which.drop_id, "supersedes": which.supersedes}
        facts |= {"fingerprint": seen.fingerprint, "listing": seen.listing}
        since = self.since.get(which.drop_id, 0.0)
        is_list = not delivery.is_archive and ADDRESSES in seen.files
        self.found.ready.append(Waiting(which.drop_id, seen.fingerprint, _label(delivery), seen.bytes, since, facts, is_list))

    def _unread(self, delivery: landing.Delivery, seen: landing.Look, past: list[dict[str, Any]], error: Exception) -> None:
        """Hold what can't be looked at, and enter it once that has lasted: what somebody moves away at this moment is no fault."""
        label = _label(delivery)
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        self.found.held[label] = f"can't be read: {why}"
        first = self.looks.get(label)
        if first is None or first[0] != seen.fingerprint:
            first = (seen.fingerprint, self.now)
            log.warning("%s can't be looked at", label, exc_info=not isinstance(error, OSError))
        self.found.looks[label] = first
        if self.is_settled or _has_rested(first, seen.fingerprint, self.now, self.spec):
            reason, status = ("TOO_MANY_MEMBERS", "rejected") if isinstance(error, landing.TooMany) else ("UNREADABLE", "held")
            self._hold(delivery, seen, past, reason, status)

    def _hold(self, delivery: landing.Delivery, seen: landing.Look, past: list[dict[str, Any]], reason: str, status: str = "held") -> None:
        """Enter why something waits, or can't be taken at all; what was taken under its name before stands as it is."""
        if past and past[-1]["status"] != "held":
            return
        which = identity.of(delivery, seen, past)
        if which is not None:
            self.entered.append({**drops_.held(self.spec, delivery, which, reason), "status": status})


def _label(delivery: landing.Delivery) -> str:
    return f"{delivery.vendor}/{delivery.name}"


def setup(store: Store, spec: ProjectSpec) -> str | None:
    """The spec's digest when brief or guidelines are not those of the YAML as it is now; else nothing."""
    agreed = labels.brief(store, spec)
    if store.released("brief", spec.name).get(agreed.partition) != agreed.version:
        return spec.digest
    book = labels.guidelines(store, spec, agreed)
    return None if store.released("guidelines", spec.name).get(book.partition) == book.version else spec.digest


def batches(store: Store, spec: ProjectSpec) -> list[str]:
    """Planned batches whose tasks have not been through their gate."""
    done = last_outcomes(store, spec.name, ("label_tasks",))
    return [batch for batch in sorted(store.candidates("batch_plans", spec.name)) if done.get(("label_tasks", batch), "error") == "error"]


def returns(store: Store, spec: ProjectSpec, looks: Looks, now: float, is_settled: bool = False) -> Found:
    """Batches with returned files that have not been read as they lie there now."""
    found = Found()
    root = store.home.returns(spec.name)
    released = store.released("label_tasks", spec.name)
    read = store.pins("returns", spec.name)
    gates = store.gates.rows()
    gates = gates[gates["project"] == spec.name]
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        batch, files = folder.name, labels.return_files(folder)
        if not files or not folder.is_dir():
            continue
        if not is_slug(batch) or batch not in released:
            found.held[batch] = f"no batch {batch} has been sent out; see requests/{spec.name}/"
            continue
        print_ = shared.listing(files, folder)
        version = read.get(f"{batch}.{print_}", {}).get("version")
        if version and _is_read(gates, batch, version):
            continue
        first = looks.get(batch)
        is_marked = any((folder / file.relative_to(folder).parts[0] / "_COMPLETE").exists() for file in files)
        if not (is_settled or is_marked or (_has_rested(first, print_, now, spec))):
            found.held[batch] = "INCOMPLETE"
            found.looks[batch] = first if first and first[0] == print_ else (print_, now)
            continue
        found.ready.append(Waiting(batch, print_, batch))
    return found


def predictions(store: Store, spec: ProjectSpec, looks: Looks, now: float, is_settled: bool = False) -> Found:
    """Releases with predictions that have not been read as they lie there now."""
    found = Found()
    root = store.home.predictions(spec.name)
    released = store.released("training_export", spec.name)
    read = store.pins("predictions", spec.name)
    outcomes = last_outcomes(store, spec.name, ("model_feedback", "investigation"))
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        release, files = folder.name, shared.plain_files(folder)
        if not files:
            continue
        if release not in released:
            found.held[release] = f"no release {release} has been delivered; see exports/{spec.name}/"
            continue
        print_ = shared.listing(files)
        if f"{release}.{print_}" in read and is_concluded(outcomes, ("model_feedback", "investigation"), release):
            continue
        first = looks.get(release)
        if not (is_settled or (folder / "_COMPLETE").exists() or _has_rested(first, print_, now, spec)):
            found.held[release] = "INCOMPLETE"
            found.looks[release] = first if first and first[0] == print_ else (print_, now)
            continue
        found.ready.append(Waiting(release, print_, release))
    return found


def plannable(store: Store, spec: ProjectSpec) -> list[str]:
    """A key for the set of unlabelled images, once they fill a production batch that somebody may have; else nothing."""
    planned = labels.plans(store, spec)
    taken = set(planned.loc[planned["kind"].isin(["pilot", "production"]), "image_id"])
    usable, _ = images.usable_images(store, spec)
    free = sorted(set(usable.loc[usable["kind"] == "source", "image_id"]) - taken)
    has_gold = not spec.labeling.gold_share or bool(labels.gold(store, spec)[0]["status"].eq("active").any())
    least = min(spec.labeling.batch_size, spec.labeling.ramp_start or spec.labeling.batch_size)
    if not has_gold or len(free) < least:
        return []
    may = planning.may_plan(store, spec, planned)
    return [shared.digest_of(free)] if not may.is_refused and len(free) >= (may.most or spec.labeling.batch_size) else []


def rescreens(store: Store, spec: ProjectSpec) -> list[Waiting]:
    """Drops to screen once more, or at last.

    People decided about doubtful pictures, what a picture is a copy of is out of use since, or the delivery was taken and has left
    landing before its chain was through.
    """
    decided = images.decided_in_review(store, spec)
    decided = decided[decided["is_covered"].astype(bool)]
    why = {str(drop): sorted(rows["image_id"]) for drop, rows in decided.groupby("drop_id", sort=True)}
    for drop, gone in images.copies_of_gone(store, spec).items():
        why[drop] = why.get(drop, []) + gone
    since = drops_.counted_from(shared.rows_of(store.drops.rows(), spec.name)) if why else {}
    asked = [Waiting(drop, shared.digest_of(names), drop, since=since.get(drop, 0.0)) for drop, names in sorted(why.items())]
    return asked + [item for item in _stranded(store, spec) if item.partition not in why]


def _stranded(store: Store, spec: ProjectSpec) -> list[Waiting]:
    """Drops that `drops` can't find in landing any more, taken and not through their chain: what comes next doesn't need landing."""
    outcomes = last_outcomes(store, spec.name, DROP_CHAIN)
    taken = store.released("raw_images", spec.name)
    unused = store.withdrawn(spec.name)[0] | store.superseded(spec.name)
    open_ = {drop for drop in taken.keys() - unused if not is_concluded(outcomes, DROP_CHAIN, drop)}
    if not open_:
        return []
    ledger = shared.rows_of(store.drops.rows(), spec.name)
    last = {(row["vendor"], row["name"]): row["drop_id"] for row in records(ledger[["vendor", "name", "drop_id"]])}
    here = {last.get((delivery.vendor, delivery.name)) for delivery in landing.list_deliveries(store.home.root / "landing", spec.name)}
    # its correction is on the way: it goes on only if that one comes to nothing
    waits = {old for new in open_ for old in store.replaced_by(spec.name, new)}
    rows = {row["drop_id"]: row for row in records(ledger[ledger["drop_id"].isin(open_ - here - waits)])}
    known = ("vendor", "name", "drop_id", "supersedes", "fingerprint", "listing")
    since = drops_.counted_from(ledger)
    return [
        Waiting(
            drop, shared.digest_of([taken[drop]]), f"{row['vendor']}/{row['name']}", since=since.get(drop, 0.0),
            facts={name: row[name] for name in known},
        )
        for drop, row in sorted(rows.items())
        if row["status"] != "parked"
    ]  # fmt: skip


def last_outcomes(store: Store, project: str, assets: tuple[str, ...]) -> dict[tuple[str, str], str]:
    """(asset, partition) -> outcome of its newest gate."""
    rows = store.gates.rows()
    rows = rows[(rows["project"] == project) & rows["asset"].isin(assets)]
    return dict(zip(zip(rows["asset"], rows["partition"], strict=True), rows["outcome"], strict=True))


def is_concluded(outcomes: Mapping[tuple[str, str], str], chain: tuple[str, ...], partition: str) -> bool:
    """Whether a partition is through its chain: all gates passed, or one said no. An error is neither."""
    for asset in chain:
        outcome = outcomes.get((asset, partition))
        if outcome == "fail":
            return True
        if outcome not in ("pass", "waived"):
            return False
    return True


def _has_rested(first: Seen | None, print_: str, now: float, spec: ProjectSpec) -> bool:
    return first is not None and first[0] == print_ and now - first[1] >= spec.sources.settle_s


def _is_read(gates: pd.DataFrame, batch: str, version: str) -> bool:
    """Whether a version of a batch's returns went through the chain that follows it."""
    mine = gates[gates["partition"] == batch]
    first = mine[(mine["asset"] == RETURN_CHAIN[0]) & (mine["version"] == version)]
    if first.empty or first["outcome"].iloc[-1] in ("fail", "error"):
        return not first.empty and first["outcome"].iloc[-1] == "fail"
    for asset in RETURN_CHAIN[1:]:
        rows = mine[mine["asset"] == asset]
        made = rows[[json.loads(text or "{}").get(RETURN_CHAIN[0], {}).get(batch) == version for text in rows["inputs"]]]
        if made.empty or made["outcome"].iloc[-1] == "error":
            return False
        if made["outcome"].iloc[-1] == "fail":
            return True
    return True
