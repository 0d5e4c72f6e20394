"""From a delivery to pictures that may be labelled: inputs from the store, through a stage, to a candidate manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dataops_assets import atomic, drops
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow.shared import Progress, Steps, digest_of, exclusive, quiet, quiet_steps, rows_of
from dataops_assets.labels.questions import SCREENING
from dataops_assets.manifest import Inputs, Manifest, digest, empty
from dataops_assets.spec import ProjectSpec, defs_root
from dataops_assets.store import RELEASING, Store

if TYPE_CHECKING:
    from dataops_assets.imaging.likeness import Compared

BESIDE = ("image_id", "drop_id", "status", "phash", "colour_grid", "near_duplicate_group", "personal_data")
INTAKE_LOCKS = 64  # so many drops can be read at once; two that share a lock wait for each other


def raw_images(store: Store, spec: ProjectSpec, drop_id: str, run_id: str = "", progress: Steps = quiet_steps) -> Manifest:
    """One delivery, file by file; enters it into the `drops` ledger. Killed half-way, it goes on from its journal."""
    from dataops_assets.intake import identity
    from dataops_assets.intake import journal as journals
    from dataops_assets.stages import raw_images as stage

    with exclusive(store, f"{spec.name}.intake.{int(digest_of([drop_id]), 16) % INTAKE_LOCKS}"):
        store.blobs.sweep()
        atomic.sweep(store.home.tmp)
        known = rows_of(store.drops.rows(), spec.name)
        journals.sweep(store.home.scratch / "intake", spec.name, store.home.root / "landing", known)
        delivery = identity.find(store.home.root / "landing", spec.name, drop_id, known)
        which = identity.identify(delivery, known)
        if which.drop_id != drop_id:
            raise LookupError(
                f"drop {drop_id}: {delivery.vendor}/{delivery.name} changed while it was looked at and is {which.drop_id} now"
            )
        journal = journals.Journal(store.home.scratch / "intake" / f"{spec.name}.{drop_id}.{which.fingerprint}.jsonl")
        receipt = stage.receive(delivery, drop_id, spec, store.apart(spec.name), journal, progress, store.home.scratch / "hosts")
        inputs = {"landing": {drop_id: receipt.content_sha256[:16]}}
        made = Manifest("raw_images", spec.name, drop_id, receipt.frame, inputs, receipt.facts)
        store.write(made)  # before the ledger speaks of it, and before the journal goes
        row = {
            "project": spec.name,
            "vendor": delivery.vendor,
            "drop_id": drop_id,
            "name": delivery.name,
            "status": receipt.status,
            "reason": receipt.reason or None,
            "detail": receipt.facts.get("detail"),
            "files_seen": receipt.files_seen,
            "bytes_seen": receipt.bytes_seen,
            "supersedes": which.supersedes,
            "fingerprint": which.fingerprint,
            "listing": receipt.listing,
            "content_sha256": receipt.content_sha256,
        }
        drops.enter_drop(store, row | drops.UNFINISHED if receipt.is_unfinished else row, run_id)
        if not receipt.is_unfinished:
            journal.discard()
    return made


def cleaned_set(store: Store, spec: ProjectSpec, raw: Manifest, progress: Steps = quiet_steps) -> Manifest:
    """Usable, unique images of a drop, judged beside the drops that came before it. Killed half-way, it goes on from its checkpoint."""
    from dataops_assets.checkpoint import Checkpoint
    from dataops_assets.imaging.screening import VERSION
    from dataops_assets.stages import cleaned_set as stage

    _pay(store, spec, raw)
    with exclusive(store, f"{spec.name}.cleaned_set"):
        earlier, pinned = _earlier(store, spec, raw.partition)
        decided, decisions = _screening_decisions(store, spec, raw.partition)
        inputs: dict[str, Mapping[str, str]] = {**raw.input, **decisions}
        pixels = spec.sources.limits.pixels
        apart, likeness = store.apart(spec.name), _likeness(store, spec)
        if likeness is not None:
            inputs["references"] = {spec.name: likeness.digest}
        settings = digest_of([str(VERSION), str(pixels), spec.cleaning.model_dump_json(), likeness.digest if likeness else ""])
        checkpoint = Checkpoint(store.home.scratch / "screening" / f"{spec.name}.{raw.partition}@{settings}.jsonl")
        later, versions = _later(store, spec, raw.partition, pinned)
        later = later[~later["image_id"].isin(earlier["image_id"])]
        purged = apart.purged()
        before = _before(store, spec, raw) if len(later) or purged & set(raw.frame["image_id"]) else None
        rows = before.frame if before is not None else empty("cleaned_set")
        lasting = stage.lasting(rows, raw.frame, purged, spec.cleaning)
        if len(lasting):  # named by its content: the version it is read from differs each time
            inputs["lasting"] = {raw.partition: digest(lasting, CONTRACTS["cleaned_set"], {})}
        taken = stage.Taken(later, frozenset(rows.loc[rows["status"] == "kept", "image_id"]))
        frame = stage.screen(raw.frame, earlier, spec.cleaning, pixels, apart, decided, lasting, likeness, progress, checkpoint, taken)
        winners = later[later["image_id"].isin(frame["duplicate_of"])]
        inputs["cleaned_set"] = {**pinned, **_first_used(store, spec, winners, versions, before)}
        made = Manifest("cleaned_set", spec.name, raw.partition, frame, inputs)
        store.write(made)  # before what was found is forgotten
        apart.set_apart(stage.confidential(frame, pd.concat([earlier, later]), spec.cleaning))
        checkpoint.discard()
    return made


def _likeness(store: Store, spec: ProjectSpec) -> Compared | None:
    """The reference pictures that a project names; a relative path begins at the project's own folder, whoever runs this from where."""
    asked = spec.cleaning.relevance
    if asked is None:
        return None
    from dataops_assets.imaging.likeness import Model, compare_with

    beside = defs_root() / spec.name
    path = str(beside / asked.model) if asked.model is not None else None
    model = Model(str(store.home.scratch / "models"), path, asked.mean_rgb, asked.std_rgb, asked.output)
    return compare_with(beside / asked.references, asked.wanted, model)


def _pay(store: Store, spec: ProjectSpec, raw: Manifest) -> None:
    """Enter what a drop's accepted files cost; pictures that the vendor was paid for with another drop aren't paid again."""
    vendor = str(raw.frame["vendor"].iloc[0]) if len(raw.frame) else ""
    with exclusive(store, f"{spec.name}.images.costs"):  # two drops with the same pictures: one of them is the later one
        costs = rows_of(store.costs.rows(), spec.name)
        charged = set(costs.loc[(costs["kind"] == "images") & (costs["vendor"] == vendor), "ref"])
        if raw.partition in charged:
            return
        released = store.released("raw_images", spec.name)
        versions = {drop: released[drop] for drop in charged & released.keys()}
        before = store.read_all("raw_images", spec.name, versions, ("drop_id", "path", "image_id", "status"))
        accepted = raw.frame[raw.frame["status"] == "accepted"]
        new = accepted[~accepted["image_id"].isin(before.loc[before["status"] == "accepted", "image_id"])]
        store.charge(spec.name, "images", vendor, raw.partition, len(new), new["price"].fillna(0).sum(), spec.brief.currency)


def _earlier(store: Store, spec: ProjectSpec, drop_id: str) -> tuple[pd.DataFrame, Mapping[str, str]]:
    """Kept pictures of the drops with a lower number, and the versions they are from.

    A drop gets its number, and the versions it is compared with, when it is first screened. Both are kept, so that
    screening an old drop again gives the same answer whatever came later, unless one of those is out of use by then.
    """
    held = store.pins("screening", spec.name)
    if drop_id not in held:
        gone = store.withdrawn(spec.name)[0] | store.superseded(spec.name) | set(store.replaced_by(spec.name, drop_id))
        versions = {name: version for name, version in _screened(store, spec).items() if name in held and name not in gone}
        store.pin(
            "screening", spec.name, drop_id, {"number": 1 + max((pin["number"] for pin in held.values()), default=0), "with": versions}
        )
        held = store.pins("screening", spec.name)
    versions = _standing(store, spec, held[drop_id]["with"])
    return _kept(store, spec, versions), versions


def _kept(store: Store, spec: ProjectSpec, versions: Mapping[str, str]) -> pd.DataFrame:
    """What pictures are compared with: the kept ones of several drops, without the columns that don't matter there."""
    rows = store.read_all("cleaned_set", spec.name, versions, BESIDE)
    return rows[rows["status"] == "kept"].sort_values("drop_id", kind="stable", ignore_index=True)


def _standing(store: Store, spec: ProjectSpec, pinned: Mapping[str, str]) -> dict[str, str]:
    """The versions to compare with now: the pinned ones, unless a drop among them is out of use: withdrawn or replaced.

    A picture that was rejected as a copy of one that is out of use comes back, then. For the drop that was replaced the one in its
    place counts, and the others as they were screened last: a copy that came back there must not come back here too.
    """
    replaced = store.superseded(spec.name)
    gone = store.withdrawn(spec.name)[0] | replaced
    if not gone & pinned.keys():
        return dict(pinned)
    released = store.released("cleaned_set", spec.name)
    drops = rows_of(store.drops.rows(), spec.name)
    newer = set(drops.loc[drops["supersedes"].notna(), "drop_id"]) & store.released("augmented_set", spec.name).keys()
    stand = {drop for drop in newer if replaced & pinned.keys() & set(store.replaced_by(spec.name, drop))}
    return {drop: released[drop] for drop in (pinned.keys() | stand) - gone if drop in released}


def copies_of_gone(store: Store, spec: ProjectSpec) -> dict[str, list[str]]:
    """Drop -> drops out of use that pictures of it were rejected as copies of. Once it was screened without them it isn't named.

    A drop that is compared with another one named here has to wait for it.
    """
    gone = store.withdrawn(spec.name)[0] | store.superseded(spec.name)
    if not gone:
        return {}
    gates = rows_of(store.gates.rows(), spec.name)
    gates = gates[(gates["asset"] == "cleaned_set") & (gates["outcome"] != "error")].drop_duplicates("partition", keep="last")
    rows = store.read_all("cleaned_set", spec.name, dict(zip(gates["partition"], gates["version"], strict=True)))
    out = rows["drop_id"].isin(gone)
    lost = rows[~out & (rows["status"] == "rejected") & rows["duplicate_of"].isin(rows.loc[out & (rows["status"] == "kept"), "image_id"])]
    judged = gates[gates["partition"].isin(lost["drop_id"])]
    compared = {
        drop: set(json.loads(text).get("cleaned_set", {})) for drop, text in zip(judged["partition"], judged["inputs"], strict=True)
    }
    stale = {drop: sorted(with_ & gone) for drop, with_ in compared.items() if with_ & gone}
    number = {drop: pin["number"] for drop, pin in store.pins("screening", spec.name).items()} if stale else {}
    return {
        drop: names
        for drop, names in stale.items()
        if not any(number.get(other, 0) < number.get(drop, 0) for other in compared[drop] & stale.keys())
    }


def _later(store: Store, spec: ProjectSpec, drop_id: str, compared: Mapping[str, str]) -> tuple[pd.DataFrame, Mapping[str, str]]:
    """Kept pictures of the drops in use that a drop isn't compared with as they are now, and their versions.

    They came later, were screened beside it, or have kept more since they were compared with.
    """
    gone = store.withdrawn(spec.name)[0] | store.superseded(spec.name) | set(store.replaced_by(spec.name, drop_id))
    versions = {
        drop: version
        for drop, version in _screened(store, spec).items()
        if drop not in gone and drop != drop_id and compared.get(drop) != version
    }
    return _kept(store, spec, versions), versions


def _first_used(
    store: Store, spec: ProjectSpec, winners: pd.DataFrame, versions: Mapping[str, str], before: Manifest | None
) -> dict[str, str]:
    """The versions of the drops that pictures gave way to: as named before where that still holds, so that the same answer has one name."""
    known = before.inputs.get("cleaned_set", {}) if before is not None else {}
    named = {}
    for drop, ids in ((str(name), set(rows["image_id"])) for name, rows in winners.groupby("drop_id")):
        held = _kept(store, spec, {drop: known[drop]}) if drop in known else winners.head(0)
        named[drop] = known[drop] if ids <= set(held["image_id"]) else versions[drop]
    return named


def _screened(store: Store, spec: ProjectSpec) -> dict[str, str]:
    """The version of each drop that is in use, or will be when its gate, which it is on its way to, lets it."""
    made = store.candidates("cleaned_set", spec.name)  # listed before the verdicts are read: what is judged in between is known as such
    gates = rows_of(store.gates.rows(), spec.name)
    gates = gates[(gates["asset"] == "cleaned_set") & (gates["outcome"] != "error")]
    judged = {drop: set(rows["version"]) for drop, rows in gates.groupby("partition")}
    last = dict(zip(gates["partition"], gates["at"], strict=True))
    found = store.released("cleaned_set", spec.name)
    for drop, versions in made.items():
        times = {name: store.made_at("cleaned_set", spec.name, drop, name) for name in set(versions) - judged.get(drop, set())}
        pending = {name: at for name, at in times.items() if drop not in last or at > last[drop]}
        if pending:
            found[drop] = max(pending, key=lambda name: (pending[name], name))
    return found


def _before(store: Store, spec: ProjectSpec, raw: Manifest) -> Manifest | None:
    """The drop's own released version."""
    version = store.released("cleaned_set", spec.name).get(raw.partition)
    return store.read("cleaned_set", spec.name, raw.partition, version) if version is not None else None


def _screening_decisions(store: Store, spec: ProjectSpec, drop_id: str) -> tuple[pd.DataFrame | None, Inputs]:
    """What people decided about this drop's doubtful pictures, in screening batches and those that rework or adjudicate them."""
    from dataops_assets.stages.approved_labels import current

    approved, inputs = store.load_all("approved_labels", spec.name)
    approved = current(approved[approved["attribute"] == SCREENING.name])
    if approved.empty:
        return None, {}
    held = store.released("raw_images", spec.name).get(drop_id)
    ids = set(store.read("raw_images", spec.name, drop_id, held).frame["image_id"].dropna()) if held else set()
    approved = approved[approved["image_id"].isin(ids)]
    batches = set(approved["batch_id"])
    used = {name: version for name, version in inputs.get("approved_labels", {}).items() if name in batches}
    released = store.releases(spec.name, "approved_labels").set_index("partition")["at"]
    decided = approved.rename(columns={"label": "decision", "approved_by": "by"}).assign(at=approved["batch_id"].map(released))
    decided = decided.assign(asked=pd.Series(_asked(store, spec, drop_id, decided), index=decided.index, dtype="object"))
    decided = decided[["image_id", "decision", "by", "at", "asked", "batch_id"]]
    return (decided, {"approved_labels": used}) if used else (None, {})


def _asked(store: Store, spec: ProjectSpec, drop_id: str, decided: pd.DataFrame) -> list[str | None]:
    """For which reasons each picture was in review when its batch was planned, joined by |; nothing where nobody knows."""
    costs = rows_of(store.costs.rows(), spec.name)
    planned = costs[costs["kind"] == "labels"].drop_duplicates("ref").set_index("ref")["at"].to_dict()
    gates = rows_of(store.gates.rows(), spec.name)
    gates = gates[(gates["asset"] == "cleaned_set") & (gates["partition"] == drop_id) & gates["outcome"].isin(RELEASING)]
    columns = ("image_id", "status", "reason")
    waited = []
    for version, at in gates.drop_duplicates("version")[["version", "at"]].itertuples(index=False):
        rows = store.read_all("cleaned_set", spec.name, {drop_id: version}, columns)
        rows = rows[rows["status"] == "review"]
        waited.append((at, dict(zip(rows["image_id"], rows["reason"], strict=True))))
    return [
        next((reasons[image] for at, reasons in reversed(waited) if image in reasons and at <= planned.get(batch, at)), None)
        for image, batch in zip(decided["image_id"], decided["batch_id"], strict=True)
    ]


def decided_in_review(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """Pictures in review that people have decided on: image_id, drop_id, batch_id (that asked), is_covered.

    What they decided counts where it `is_covered`: at the next screening of the drop. The others wait for reasons that nobody was asked
    about, and have to be asked again.
    """
    from dataops_assets.stages.cleaned_set import covers

    columns = ["image_id", "drop_id", "batch_id", "is_covered"]
    approved, _ = store.load_all("approved_labels", spec.name)
    known = set(approved.loc[approved["attribute"] == SCREENING.name, "image_id"])
    versions = store.released("cleaned_set", spec.name) if known else {}
    rows = store.read_all("cleaned_set", spec.name, versions, ("image_id", "drop_id", "status", "reason"))
    open_ = rows[(rows["status"] == "review") & rows["image_id"].isin(known)]
    found = []
    for drop, waits in open_.groupby("drop_id", sort=True):
        decided, _ = _screening_decisions(store, spec, str(drop))
        if decided is not None:
            both = waits[["image_id", "drop_id", "reason"]].merge(decided[["image_id", "asked", "batch_id"]], on="image_id")
            found.append(both.assign(is_covered=[covers(*pair) for pair in zip(both["asked"], both["reason"], strict=True)])[columns])
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


def augmented_set(store: Store, spec: ProjectSpec, cleaned: Manifest, progress: Progress = quiet) -> Manifest:
    """Kept images and their variants."""
    from dataops_assets.imaging.sensitivity import completed
    from dataops_assets.stages import augmented_set as stage

    frame = stage.augment(cleaned.frame, completed(spec), store.blobs, spec.cleaning.workers, progress)
    return Manifest("augmented_set", spec.name, cleaned.partition, frame, cleaned.input)


def usable_images(store: Store, spec: ProjectSpec) -> tuple[pd.DataFrame, Inputs]:
    """Released `augmented_set` rows of all drops, without what was withdrawn and drops that were delivered anew."""
    frame, inputs = store.load_all(
        "augmented_set", spec.name, store.released("augmented_set", spec.name).keys() - store.superseded(spec.name)
    )
    drops, images = store.withdrawn(spec.name)
    gone = frame["drop_id"].isin(drops) | frame["image_id"].isin(images) | frame["source_image_id"].isin(images)
    return frame[~gone].drop_duplicates("image_id").reset_index(drop=True), inputs


def showable(store: Store, spec: ProjectSpec, kind: str) -> pd.DataFrame:
    """Pictures that a batch of this kind may show: usable ones, and for people who screen the doubtful ones too."""
    usable, _ = usable_images(store, spec)
    if kind not in ("screening", "rework", "adjudication"):
        return usable
    drops, images = store.withdrawn(spec.name)
    cleaned, _ = store.load_all("cleaned_set", spec.name, store.released("cleaned_set", spec.name).keys() - store.superseded(spec.name))
    open_ = cleaned[(cleaned["status"] == "review") & ~cleaned["drop_id"].isin(drops) & ~cleaned["image_id"].isin(images)]
    open_ = open_[~open_["clean_sha256"].isin(store.apart(spec.name).purged())]  # nobody can look at these any more
    return open_ if kind == "screening" else pd.concat([usable, open_], ignore_index=True)


def purge(store: Store, spec: ProjectSpec, now_s: float) -> list[str]:
    """Delete originals and pictures with personal data whose retention period has passed; returns their sha256s.

    The copies in the request folders of screening batches go with them. A picture that waits for a person keeps waiting without its
    file: it counts as purged when the drop is screened again.
    """
    apart = store.apart(spec.name)
    gone = apart.purge(now_s - spec.cleaning.personal_data.retention_days * 86_400)
    tasks, _ = store.load_all("label_tasks", spec.name)
    for batch_id, file in tasks.loc[tasks["sha256"].isin(apart.purged()), ["batch_id", "file"]].itertuples(index=False):
        (store.home.requests(spec.name) / batch_id / file).unlink(missing_ok=True)
    return gone


def left_in_landing(store: Store, spec: ProjectSpec) -> dict[Path, int]:
    """Deliveries in landing that still hold pictures which were purged, and how many: a vendor's files, which we don't delete."""
    raw, _ = store.load_all("raw_images", spec.name)
    purged = raw.loc[raw["image_id"].isin(store.apart(spec.name).purged()), "drop_id"].value_counts()
    ledger = rows_of(store.drops.rows(), spec.name).drop_duplicates("drop_id", keep="last")
    named = zip(ledger["drop_id"], ledger["vendor"], ledger["name"], strict=True)
    folders = {drop: store.home.landing(spec.name) / vendor / name for drop, vendor, name in named}
    return {folders[drop]: int(count) for drop, count in sorted(purged.items()) if drop in folders and folders[drop].exists()}
