"""One delivery, file by file: kept as blobs, described from their headers, each with a status and a reason."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.imaging.headers import Header, HeaderReader
from dataops_assets.intake import delivery_manifest, fetching, inside, landing, members, urls
from dataops_assets.intake.bounds import Budget
from dataops_assets.intake.delivery_manifest import Listed, ManifestError
from dataops_assets.intake.journal import Journal
from dataops_assets.intake.taking import Row, Taken, take
from dataops_assets.intake.turns import Turns
from dataops_assets.spec import ImageVendor, IntakeLimits, ProjectSpec, UrlLists

FORMATS = {
    "JPEG": {"jpg", "jpeg", "jpe", "jfif"},
    "MPO": {"jpg", "jpeg", "mpo"},
    "PNG": {"png"},
    "WEBP": {"webp"},
    "TIFF": {"tif", "tiff"},
    "BMP": {"bmp", "dib"},
    "GIF": {"gif"},
}
KNOWN_SUFFIXES = set().union(*FORMATS.values())
HELD = ("INCOMPLETE", "UNREADABLE", "MANIFEST_MISSING", "MANIFEST_FILE_MISSING")
MOST_PRICE = 10_000.0  # of a picture, where the project agreed on none with the vendor
TRIES = 5  # of a list's addresses; the sensor has a drop tried as often
NOT_FETCHED = "files could not be fetched"
WHOLE_DROP = ("NESTED_ARCHIVE", "DUPLICATE_NAME_CONFLICT", "CHECKSUM_MISMATCH")  # one such file is enough


class Unfetched(RuntimeError):
    """Some addresses of a list didn't answer; what came is kept, and another try asks for the rest only."""


@dataclass(frozen=True)
class Receipt:
    """What became of a delivery: `raw_images` rows, and the drop's own status and reason.

    Attributes:
        files_seen: By the count of whoever listed the delivery, which knows nothing of the rows.
        listing: Of its paths and sizes when it was read; see `landing.Look`.
        facts: `detail` says in a sentence why the whole drop was refused or is held, with what the vendor wrote quoted in it.
    """

    frame: pd.DataFrame
    status: str
    reason: str
    files_seen: int
    bytes_seen: int
    content_sha256: str
    listing: str
    facts: dict[str, float | int | str] = field(default_factory=dict)
    is_unfinished: bool = False  # some addresses of a list are still to be asked: another run goes on from the journal


def receive(
    delivery: landing.Delivery,
    drop_id: str,
    spec: ProjectSpec,
    blobs: Blobs,
    journal: Journal,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    hosts: Path | None = None,
    fingerprint: str | None = None,
) -> Receipt:
    """Take a delivery in. Whatever is wrong with it ends in a reason code, not in an exception.

    Accepted and quarantined bytes are kept as blobs; a drop that is refused as a whole keeps the rows seen so far as
    quarantined, with the drop's reason. Killed half-way, it goes on from what the journal says is kept.

    Args:
        delivery: A folder or an archive in landing.
        drop_id: The drop it is.
        spec: The project; its `sources` say what may come.
        blobs: Where bytes are kept.
        journal: Of this drop in this state.
        progress: Called with what is being done, how much of it is done, and of how much.
        hosts: Where runs agree on whose turn it is at a host of a list of addresses.
        fingerprint: Of the state in which it was found to be this drop, and of which the journal is.

    Raises:
        LookupError: when it isn't in that state any more: it may be another drop, and the journal tells of other bytes.
        Unfetched: when addresses of a list don't answer.
        OSError: when landing can't be read or the store can't be written to.
    """
    vendor, before = spec.sources.vendor(delivery.vendor), landing.look(delivery)
    if fingerprint not in (None, before.fingerprint):
        name = f"{delivery.vendor}/{delivery.name}"
        raise LookupError(f"drop {drop_id}: {name} changed since it was looked at; the next look tells what it is")
    if vendor is None:
        rows = _unread(delivery)
        taken = Taken(rows, len(rows), refusal="VENDOR_UNKNOWN", detail=f"VENDOR_UNKNOWN: {delivery.vendor!r} is no vendor of {spec.name}")
        return _receipt(delivery, drop_id, taken, before.count, before.listing, taken.content_sha256(delivery, before))
    limits = spec.sources.limits_for(vendor.name)
    course = fetching.Course(dict(journal.without))
    source = _source(delivery, spec.sources.urls, limits, Turns(hosts), course)
    with HeaderReader(
        blobs, limits.pixels, workers=spec.cleaning.workers, memory_bytes=spec.cleaning.worker_memory_bytes,
        seconds=spec.cleaning.image_seconds,
    ) as headers:  # fmt: skip

        def told(done: int) -> None:
            progress("files read", done, max(done, before.count))

        taken = take(source.members, blobs, journal, told, source.lists, headers.read)
        headers.read(row["sha256"] for row in taken.rows if row["status"] == "accepted")  # what the journal knew of
    is_unfinished = False
    if taken.unreachable and not taken.refusal:
        is_unfinished = _goes_on(taken, len(source.facts), journal, course, spec.sources.urls)
        if not is_unfinished:
            _give_up(taken, len(source.facts), journal)
    seen = _files_seen(delivery, before, source, taken)
    content = _content(delivery, before, taken)  # before the last look: what it tells of must be what was read
    if landing.fingerprint(delivery) != before.fingerprint:  # so what was found wrong with it may be half a copy
        taken.refuse("INCOMPLETE", "the delivery changed while it was read")
    _describe(taken.rows, headers.found, vendor)
    _name_twins(taken.rows)
    missing: list[str] = []
    if not taken.refusal:
        try:
            missing = _apply_manifest(taken.rows, taken.manifest, source, blobs, vendor, spec)
        except ManifestError as error:
            taken.refuse(error.code, error.message)
    _mark_names(taken.rows)
    _duplicates(taken.rows)
    if not taken.refusal:
        taken.refuse(*_as_a_whole(taken.rows, missing))
    return replace(_receipt(delivery, drop_id, taken, seen, before.listing, content, missing), is_unfinished=is_unfinished)


def _files_seen(delivery: landing.Delivery, before: landing.Look, source: _Source, taken: Taken) -> int:
    """How many files there are by the look before, by the archive's own directory, or by the reader, and how many addresses.

    Of an archive without a directory and of a list, nobody knows more than the reader where it stops; nor of what changes meanwhile.
    """
    reader = source.budget.files + taken.named
    if taken.refusal and (source.lists or taken.refusal == "INCOMPLETE"):
        return reader
    listed = source.budget.listed if source.budget.listed is not None else reader
    return (listed if delivery.is_archive else before.count) + len(source.facts)


def _content(delivery: landing.Delivery, before: landing.Look, taken: Taken) -> str:
    try:
        return taken.content_sha256(delivery, before)
    except OSError as error:
        if taken.refusal not in HELD:
            raise
        return landing.digest_of_files([(taken.refusal, str(error.errno))])  # it will be another one once it can be read


def _as_a_whole(rows: list[Row], missing: Sequence[str]) -> tuple[str, str]:
    """The reason code for which no file of a delivery is taken, and a sentence; or nothing."""
    for code in WHOLE_DROP:
        found = [row["path"] for row in rows if row["reason"] == code]
        if found:
            return code, _first_of(found)
    if missing:
        return "MANIFEST_FILE_MISSING", _first_of(missing)
    asked = [row for row in rows if row["status"] != "ignored"]
    if not asked:
        return "EMPTY_DROP", f"{len(rows):,} files, none of which could be a picture"
    if all(row["reason"] == "UNREADABLE" for row in asked):
        return "UNREADABLE", _first_of([row["path"] for row in asked])
    return "", ""


def _first_of(paths: Sequence[str]) -> str:
    return f"{len(paths):,} file{'s' * (len(paths) > 1)}, first {paths[0][:80]!r}"


@dataclass(frozen=True)
class _Source:
    """Where a delivery's members come from, who counts them, and what a list of addresses says of them."""

    members: Iterable[members.Member]
    budget: Budget
    lists: tuple[str, ...] = ()
    facts: Mapping[str, Listed] = field(default_factory=dict)


def _source(delivery: landing.Delivery, rules: UrlLists, limits: IntakeLimits, turns: Turns, course: fetching.Course) -> _Source:
    """The files of a delivery, and those that a list of addresses in it leads to."""
    budget = Budget(limits)
    held = members.members(delivery, limits, budget)
    try:
        data = None if delivery.is_archive else b"".join(inside.pieces(delivery.path, delivery_manifest.MAX_BYTES + 1, urls.NAME))
    except OSError as error:
        if error.errno not in (*inside.CHANGED, *inside.UNREADABLE, errno.ENXIO):
            raise
        data = None  # there is none, or what it is instead is found when the files are read
    if data is None:
        return _Source(held, budget)
    refusal: members.Refused | None = None
    addresses = urls.UrlList(())
    try:
        addresses = urls.parse(data, limits.members)
        urls.check(addresses, rules)
    except ManifestError as error:
        refusal = members.Refused(error.code, str(error))
    except members.Refused as error:
        refusal = error

    def all_members() -> Iterator[members.Member]:
        yield from held
        if refusal is not None:
            raise refusal
        for member in fetching.fetch(addresses, rules, limits.member_bytes, turns=turns, course=course):
            budget.files += 1
            yield member

    listed = {address.path: address.listed for address in addresses.files}
    return _Source(fetching.bounded(all_members(), limits), budget, (urls.NAME,), listed)


def _goes_on(taken: Taken, listed: int, journal: Journal, course: fetching.Course, rules: UrlLists) -> bool:
    """Whether another run should go on with a list: this one's time was up, it got on, and the list's own time isn't over."""
    if not course.is_cut_short:
        return False
    journal.note_asked(course.seconds, course.without)
    if not course.settled or journal.asked_s >= rules.list_seconds:
        return False
    taken.refuse("INCOMPLETE", f"{len(taken.unreachable):,} of {listed:,} addresses are still to be fetched; another run goes on")
    return True


def _give_up(taken: Taken, listed: int, journal: Journal) -> None:
    """Count addresses as missing that didn't answer in `TRIES` runs, where most others did: a few dead ones don't hold up the rest.

    Raises:
        Unfetched: as long as that isn't so.
    """
    journal.note_unfetched()
    if journal.unfetched < TRIES or 2 * len(taken.unreachable) > listed:
        path, why = min(taken.unreachable.items())
        raise Unfetched(f"{len(taken.unreachable)} of {taken.seen} {NOT_FETCHED}, first {path}: {why}")
    for row in taken.rows:
        if row["path"] in taken.unreachable and row["status"] == "held":
            row |= {"status": "quarantined", "reason": "MANIFEST_FILE_MISSING"}


def _unread(delivery: landing.Delivery) -> list[Row]:
    """A row for each file of a stranger's folder, or for its archive: named, and not kept."""
    names = [delivery.name] if delivery.is_archive else [entry.path for entry in landing.walk(delivery.path)]
    told = [members.readable(name) for name in names]
    return [{"path": path, "warnings": marks, "status": "quarantined", "reason": None} for path, marks in told]


def _describe(rows: list[Row], found: Mapping[str, Header], vendor: ImageVendor) -> None:
    """Format and size of each accepted file, or the fault for which it isn't."""
    pictures = [row for row in rows if row["status"] == "accepted"]
    for row in pictures:
        header = found[row["sha256"]]
        row |= {"format": header.format, "width_px": header.width_px, "height_px": header.height_px}
        fault = header.fault if header.format is None else _name_fault(row["path"], header.format, vendor) or header.fault
        if header.fault == "TYPE_MISMATCH" and _suffix(row["path"]) in KNOWN_SUFFIXES:
            fault = "CORRUPT"  # it says it is a picture
        if fault:
            row |= {"status": "quarantined", "reason": fault}


def _name_fault(path: str, format_: str, vendor: ImageVendor) -> str:
    suffix = _suffix(path)
    is_other = format_ not in FORMATS or (suffix in KNOWN_SUFFIXES and suffix not in FORMATS[format_])
    is_taken = ("JPEG" if format_ == "MPO" else format_) in vendor.formats
    return "TYPE_MISMATCH" if is_other or not is_taken else ""


def _suffix(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[-1].lower() if "." in name else ""


def _apply_manifest(
    rows: list[Row],
    named: tuple[str, str] | None,
    source: _Source,
    blobs: Blobs,
    vendor: ImageVendor,
    spec: ProjectSpec,
) -> list[str]:
    """Fill in what the manifest says and check files against it; returns the paths that are missing.

    Raises:
        ManifestError: with a sentence, when the drop can't be taken for what its manifest says.
    """
    listed: dict[str, Listed] = {}
    is_listed = named is not None or (bool(source.lists) and vendor.manifest == "required")  # a list of addresses is a manifest too
    for row in rows:
        if row["path"] in (*delivery_manifest.NAMES, urls.NAME) and row["reason"] == "UNREADABLE":
            raise ManifestError("UNREADABLE", f"{row['path']} can't be read")
        if row["path"] in delivery_manifest.NAMES and row["reason"] == "TOO_LARGE":
            raise ManifestError("MANIFEST_INVALID", f"{row['path']} is larger than a file may be")
    if not is_listed and vendor.manifest == "required":
        raise ManifestError("MANIFEST_MISSING", f"neither {' nor '.join(delivery_manifest.NAMES)} lies at the top of the delivery")
    if named is not None:
        with blobs.open(named[1]) as file:
            data = file.read(delivery_manifest.MAX_BYTES + 1)
        told = delivery_manifest.parse(named[0], data, spec.sources.limits_for(vendor.name).members)
        listed = {members.readable(entry.path)[0]: entry for entry in told.files}  # as the rows are named
        listed = delivery_manifest.by_spelling({row["path"] for row in rows}, listed)
        next(row for row in rows if row["path"] == named[0])["warnings"] += told.warnings
    for told_of in (*listed.values(), *source.facts.values()):
        if not vendor.price_per_image and (told_of.price or 0) > MOST_PRICE:
            raise ManifestError("MANIFEST_SCHEMA", f"{told_of.path[:80]!r} costs {told_of.price:g}; at most {MOST_PRICE:g} is taken")
    for row in rows:
        if row["path"] in delivery_manifest.NAMES and named is not None and row["path"] != named[0]:
            row |= {"status": "ignored", "reason": "EXTRA_MANIFEST"}
        if row["status"] == "ignored":
            continue
        entry = listed.get(row["path"]) or source.facts.get(row["path"])
        words = entry or Listed(row["path"])
        row["category"] = words.category or vendor.category
        row["license"] = words.license or vendor.license
        row["consent"] = words.consent or vendor.consent
        row["captured_at"], row["group_id"] = words.captured_at, words.group
        row["price"] = words.price if words.price is not None else vendor.price_per_image
        if 0 < vendor.price_per_image < row["price"]:
            row["price"] = vendor.price_per_image
            row["warnings"] += ("PRICE_ABOVE_AGREED",)
        if row["status"] == "accepted":
            fault = _against(row, entry, is_listed, spec)
            if fault:
                row |= {"status": "quarantined", "reason": fault}
    present = {row["path"] for row in rows}
    return sorted(listed.keys() - present)


def _against(row: Row, entry: Listed | None, has_manifest: bool, spec: ProjectSpec) -> str:
    if has_manifest and entry is None:
        return "MANIFEST_FILE_UNLISTED"
    if entry is not None:
        is_same = entry.sha256 in (None, row["sha256"]) and entry.bytes in (None, row["size_bytes"])
        if not is_same:
            return "CHECKSUM_MISMATCH"
    if spec.sources.licenses and row["license"] not in spec.sources.licenses:
        return "LICENSE_REFUSED"
    if spec.sources.consent == "required" and not (row["consent"] or "").strip():
        return "CONSENT_MISSING"
    return ""


def _name_twins(rows: list[Row]) -> None:
    """A name that comes again gets `#2`: the same bytes are a duplicate, others a conflict."""
    first: dict[str, Row] = {}
    numbers: dict[str, Iterator[int]] = {}  # a name that comes 200,000 times doesn't count from 2 each time
    taken = {row["path"] for row in rows}
    for row in rows:
        name = row["path"]
        held = first.setdefault(name, row)
        if held is row:
            continue
        row["path"] = next(free for number in numbers.setdefault(name, count(2)) if (free := f"{name}#{number}") not in taken)
        taken.add(row["path"])
        if row["status"] == "ignored" and row["path"] != name and name not in delivery_manifest.NAMES:
            continue  # nobody asks which of two junk files counts
        is_same = held.get("sha256") is not None and held.get("sha256") == row.get("sha256")
        row["status"], row["reason"] = ("duplicate", "DUPLICATE_NAME") if is_same else ("quarantined", "DUPLICATE_NAME_CONFLICT")


def _mark_names(rows: list[Row]) -> None:
    """Mark names that a file system or a reader may take for one another."""
    for code, fold in (("NAME_CASE_COLLISION", str.casefold), ("NAME_UNICODE_COLLISION", delivery_manifest.normal)):
        held: dict[str, Row] = {}
        for row in rows:
            first = held.setdefault(fold(row["path"]), row)
            for twin in (first, row) if first is not row else ():
                if code not in twin["warnings"]:
                    twin["warnings"] += (code,)


def _duplicates(rows: list[Row]) -> None:
    first: set[str] = set()
    for row in sorted((row for row in rows if row["status"] == "accepted"), key=lambda row: str(row["path"])):
        if row["sha256"] in first:
            row |= {"status": "duplicate", "reason": "DUPLICATE_CONTENT"}
        first.add(row["sha256"])


def _receipt(
    delivery: landing.Delivery, drop_id: str, taken: Taken, seen: int, listing: str, content: str, missing: Sequence[str] = ()
) -> Receipt:
    rows, refusal = taken.rows, taken.refusal
    if not rows and refusal and refusal != "EMPTY_DROP":  # nothing in it could be named: the archive itself stands for it
        rows, seen = [{"path": members.readable(delivery.name)[0], "warnings": (), "status": "quarantined", "reason": refusal}], 1
    for row in rows if refusal else ():
        is_lost = row["status"] == "quarantined" and row["reason"] == "MANIFEST_FILE_MISSING"  # no address gives it: nothing to wait for
        if row["status"] != "ignored" and not is_lost:
            row |= {"status": "held" if refusal in HELD else "quarantined", "reason": row["reason"] or refusal}
    rows = rows + [{"path": path, "status": "held", "reason": "MANIFEST_FILE_MISSING", "warnings": ()} for path in missing]
    columns = {name: pd.Series([row.get(name) for row in rows], dtype="object") for name in CONTRACTS["raw_images"].columns}
    columns["warnings"] = pd.Series(["|".join(sorted(row["warnings"])) or None for row in rows], dtype="object")
    frame = pd.DataFrame(columns).assign(drop_id=drop_id, vendor=delivery.vendor)
    tally = Counter(frame["status"])
    reasons = {refusal}
    if refusal:
        status = "held" if refusal in HELD else "rejected"
    elif not tally["accepted"]:
        status, reasons = "rejected", {row["reason"] for row in rows if row["reason"]} - {"JUNK_IGNORED"}
    else:
        status = "partial" if tally["quarantined"] or tally["held"] else "accepted"
        reasons = {row["reason"] for row in rows if row["status"] in ("quarantined", "held")}
    size = int(sum(row.get("size_bytes") or 0 for row in rows))
    facts: dict[str, float | int | str] = {"detail": taken.detail} if taken.detail else {}
    return Receipt(frame, status, "|".join(sorted(reasons)), seen, size, content, listing, facts)
