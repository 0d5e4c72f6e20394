"""From a delivery to pictures that may be labelled: inputs from the store, through a stage, to a candidate manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dataops_assets import atomic, drops, locks
from dataops_assets.flow import history, policies, refused, sight
from dataops_assets.flow.beside import Beside, beside, first_used, followed
from dataops_assets.flow.shared import Progress, Steps, digest_of, exclusive, quiet, quiet_steps, rows_of
from dataops_assets.labels.questions import SCREENING
from dataops_assets.manifest import Inputs, Manifest
from dataops_assets.projects import defs_root
from dataops_assets.room import held_while_full
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import RELEASING, Store

if TYPE_CHECKING:
    from dataops_assets.imaging.likeness import Compared

WORKERS = "workers"  # what screenings and renderings of a home share


def raw_images(store: Store, spec: ProjectSpec, drop_id: str, run_id: str = "", progress: Steps = quiet_steps) -> Manifest:
    """One delivery, file by file; enters it into the `drops` ledger. Killed half-way, it goes on from its journal."""
    from dataops_assets.intake import identity
    from dataops_assets.intake import journal as journals
    from dataops_assets.stages import raw_images as stage

    with exclusive(store, f"{spec.name}.{drop_id}.intake"):
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
        with held_while_full(store, spec.name, drop_id, run_id, drops.held(spec, delivery, which, drops.NO_SPACE)):
            journal = journals.Journal(store.home.scratch / "intake" / f"{spec.name}.{drop_id}.{which.fingerprint}.jsonl")
            apart, hosts = store.apart(spec.name), store.home.scratch / "hosts"
            receipt = stage.receive(delivery, drop_id, spec, apart, journal, progress, hosts, which.fingerprint)
            inputs = {"landing": {drop_id: receipt.content_sha256[:16]}}
            made = Manifest("raw_images", spec.name, drop_id, receipt.frame, inputs, receipt.facts)
            store.write(made)  # before the ledger speaks of it, and before the journal goes
            sight.after_intake(store, spec, receipt.frame)
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
    """Usable, unique images of a drop, judged beside the drops that came before it. Killed half-way, it goes on from its checkpoint.

    Looking at pictures takes long and depends on the drop alone; drops do it beside each other. They are judged one after the other,
    by what was seen. Where another drop was judged meanwhile, there may be more to look at: then it is looked at, and judged again.
    """
    from dataops_assets.checkpoint import Checkpoint
    from dataops_assets.imaging.screening import VERSION
    from dataops_assets.stages import cleaned_set as stage
    from dataops_assets.stages.copies import Taken
    from dataops_assets.stages.looking import Unseen

    with (
        held_while_full(store, spec.name, raw.partition),
        exclusive(store, f"{spec.name}.{raw.partition}.cleaned_set"),
        locks.share(store.home, WORKERS) as sharing,
    ):
        _pay(store, spec, raw)
        likeness, pixels, apart = _likeness(store, spec), spec.sources.limits.pixels, store.apart(spec.name)
        settings = digest_of([str(VERSION), str(pixels), spec.cleaning.model_dump_json(), likeness.digest if likeness else ""])
        checkpoint = Checkpoint(store.home.scratch / "screening" / f"{spec.name}.{raw.partition}@{settings}.jsonl")

        def here() -> Beside:
            decided, decisions = _screening_decisions(store, spec, raw.partition)
            decided = _answered(store, spec, decided, decisions["approved_labels"]) if decided is not None else None
            inputs: dict[str, Mapping[str, str]] = {**raw.input, **decisions, **policies.named(store, spec)}
            if likeness is not None:
                inputs["references"] = {spec.name: likeness.digest}
            return beside(store, spec, raw, decided, inputs)

        def judged(by: Beside, may_look: bool) -> pd.DataFrame | None:
            taken = Taken(by.later, by.standing)
            try:
                return stage.screen(
                    raw.frame, by.earlier, spec.cleaning, pixels, apart, by.decided, by.lasting, likeness, progress, checkpoint,
                    taken, lambda: _most(spec) // sharing(), may_look, by.missing, by.refused,
                    by.before.frame if by.before is not None else None,
                )  # fmt: skip
            except Unseen:
                return None

        while True:
            by = here()
            facts, frame = by.facts, judged(by, may_look=True)
            with exclusive(store, f"{spec.name}.cleaned_set"):
                del by  # the rows of a large project are held once
                by = here()
                frame = frame if by.facts == facts else judged(by, may_look=False)
                if frame is not None:
                    store.pin("screening", spec.name, raw.partition, by.pin)
                    winners = by.later[by.later["image_id"].isin(frame["duplicate_of"])]
                    used = {**by.pinned, **first_used(store, spec, winners, by.versions, by.before)}
                    made = Manifest("cleaned_set", spec.name, raw.partition, frame, {**by.inputs, **followed(frame), "cleaned_set": used})
                    store.write(made)  # before what was found is forgotten
                    sight.after_screening(store, spec, made, by)
                    checkpoint.discard()
                    return made


def _most(spec: ProjectSpec) -> int:
    """Child processes of all that looks at pictures and renders them at the same time."""
    return spec.cleaning.workers or os.cpu_count() or 1


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


def _answered(store: Store, spec: ProjectSpec, decided: pd.DataFrame, approved: Mapping[str, str]) -> pd.DataFrame:
    """Decisions with who gave that answer, by pseudonym, and when: in the batch that decided, for rework in those it comes from too."""
    plans = history.plans(store, spec)
    found = []
    for batch, rows in decided.groupby("batch_id"):
        name = str(batch)
        quality = store.inputs("approved_labels", spec.name, name, approved[name]).get("label_quality", {}).get(name, "")
        behind = store.inputs("label_quality", spec.name, name, quality)
        parents = history.parents_of(plans, name) if name.startswith("rework-") else set()
        answers = {other: version for other, version in behind.get("earlier_answers", {}).items() if other in parents}
        given = store.read_all("labeled_batches", spec.name, {**answers, **behind.get("labeled_batches", {})})
        given = given[(given["status"] == "accepted") & (given["attribute"] == SCREENING.name)]
        given = given.merge(rows[["image_id", "decision"]], left_on=["image_id", "label"], right_on=["image_id", "decision"])
        told = given.groupby("image_id").agg(
            answered_by=("worker_id", lambda ids: "|".join(sorted(set(ids.dropna()))) or None), answered_at=("submitted_at", "max")
        )
        found.append(rows.join(told, on="image_id"))
    return pd.concat(found).sort_index()


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
    from dataops_assets.stages.decided import covers

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

    with held_while_full(store, spec.name, cleaned.partition), locks.share(store.home, WORKERS) as sharing:
        frame = stage.augment(cleaned.frame, completed(spec), store.blobs, lambda: _most(spec) // sharing(), progress)
    return Manifest("augmented_set", spec.name, cleaned.partition, frame, cleaned.input)


def usable_images(store: Store, spec: ProjectSpec) -> tuple[pd.DataFrame, Inputs]:
    """Released `augmented_set` rows of all drops, without what was withdrawn and drops that were delivered anew.

    Where a drop was screened again and its variants aren't made anew yet, what the new screening says of pictures stands: those it left
    out are out, the others are in with their new cleaned files, and variants of the old ones are out. So are pictures, with their variants,
    that were screened under another policy for personal data, and that today's doesn't let pass, and those that are `refused.not_drawn`:
    their files lie apart, also where the gate said no to the screening that set them apart.
    """
    frame, inputs = store.load_all(
        "augmented_set", spec.name, store.released("augmented_set", spec.name).keys() - store.superseded(spec.name)
    )
    drops, images = store.withdrawn(spec.name)
    images = images | refused.not_drawn(store, spec.name)
    gone = frame["drop_id"].isin(drops) | frame["image_id"].isin(images) | frame["source_image_id"].isin(images)
    frame = _as_screened(store, spec, frame[~gone])
    return frame.drop_duplicates("image_id").reset_index(drop=True), inputs


def _as_screened(store: Store, spec: ProjectSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of `augmented_set` by the released screening of their drops."""
    held = store.released("cleaned_set", spec.name)
    versions = {drop: held[drop] for drop in frame["drop_id"].unique() if drop in held}
    now = store.read_all("cleaned_set", spec.name, versions, (*history.SEEN, "width_px", "height_px"))
    now = now[(now["status"] == "kept") & history.may_be_seen(store, spec, now, versions)]
    now = now[["image_id", "drop_id", "clean_sha256", "width_px", "height_px"]]
    sources = frame[(frame["kind"] == "source") & frame["drop_id"].isin(versions)]
    both = sources.merge(now, how="left", on=["drop_id", "image_id"], suffixes=("_before", ""))
    both = both[both["clean_sha256"] != both["sha256"]]
    if both.empty:
        return frame
    stale = pd.MultiIndex.from_frame(frame[["drop_id", "source_image_id"]]).isin(pd.MultiIndex.from_frame(both[["drop_id", "image_id"]]))
    again = both[both["clean_sha256"].notna()].assign(sha256=lambda rows: rows["clean_sha256"])[frame.columns]
    return pd.concat([frame[~stale], again]) if len(again) else frame[~stale]


def showable(store: Store, spec: ProjectSpec, kind: str) -> pd.DataFrame:
    """Pictures that a batch of this kind may show: usable ones, and for people who screen the doubtful ones too."""
    if kind not in ("screening", "rework", "adjudication"):
        return usable_images(store, spec)[0]
    held = store.released("cleaned_set", spec.name)
    versions = {drop: held[drop] for drop in held.keys() - store.superseded(spec.name)}
    stand = store.read_all("cleaned_set", spec.name, versions, ("image_id", "drop_id", "status"))  # in most drops nothing waits
    cleaned = store.read_all(
        "cleaned_set", spec.name, {drop: versions[drop] for drop in set(stand.loc[stand["status"] == "review", "drop_id"])}
    )
    open_ = cleaned[cleaned["status"] == "review"]
    open_ = open_[history.may_be_seen(store, spec, open_, versions)]
    return open_ if kind == "screening" else pd.concat([usable_images(store, spec)[0], open_], ignore_index=True)


def purge(store: Store, spec: ProjectSpec, now_s: float) -> list[str]:
    """Delete originals and pictures with personal data whose retention period has passed; returns their sha256s.

    The copies in the request folders of screening batches go with them. A picture that waits for a person keeps waiting without its
    file: it counts as purged when the drop is screened again.
    """
    apart = store.apart(spec.name)
    gone = apart.purge(_before(spec, now_s))
    tasks, _ = store.load_all("label_tasks", spec.name)
    for batch_id, file in tasks.loc[tasks["sha256"].isin(apart.purged()), ["batch_id", "file"]].itertuples(index=False):
        (store.home.requests(spec.name) / batch_id / file).unlink(missing_ok=True)
    return gone


def kept_until(store: Store, spec: ProjectSpec, rows: pd.DataFrame) -> pd.Series:
    """When pictures in review are deleted, original or cleaned file, seconds since 1970; nan where they don't lie apart."""
    since = store.apart(spec.name).since({*rows["image_id"], *rows["clean_sha256"].dropna()})
    first = pd.concat([rows[name].map(since) for name in ("image_id", "clean_sha256")], axis=1).astype("float64").min(axis=1)
    return first + spec.cleaning.personal_data.retention_days * 86_400


def due(store: Store, spec: ProjectSpec, now_s: float) -> list[str]:
    """What `purge` would delete."""
    return store.apart(spec.name).due(_before(spec, now_s))


def _before(spec: ProjectSpec, now_s: float) -> float:
    return now_s - spec.cleaning.personal_data.retention_days * 86_400


def left_in_landing(store: Store, spec: ProjectSpec) -> dict[Path, int]:
    """Deliveries in landing that still hold pictures which were purged, and how many: a vendor's files, which we don't delete."""
    raw, _ = store.load_all("raw_images", spec.name)
    purged = raw.loc[raw["image_id"].isin(store.apart(spec.name).purged()), "drop_id"].value_counts()
    ledger = rows_of(store.drops.rows(), spec.name).drop_duplicates("drop_id", keep="last")
    named = zip(ledger["drop_id"], ledger["vendor"], ledger["name"], strict=True)
    folders = {drop: store.home.landing(spec.name) / vendor / name for drop, vendor, name in named}
    return {folders[drop]: int(count) for drop, count in sorted(purged.items()) if drop in folders and folders[drop].exists()}
