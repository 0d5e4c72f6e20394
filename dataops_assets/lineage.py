"""From a delivered picture or label back to the vendor's file, and through which gate each step came.

A manifest names the versions it was made from, so the chain is followed by version: a later run of an earlier stage doesn't
change what an audit of an old release says. Where a manifest doesn't name its input, the released version is taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets import chain, manifest, unfinished
from dataops_assets.chain import Row, Versions
from dataops_assets.contracts import CONTRACTS
from dataops_assets.exports import checksums
from dataops_assets.store import RELEASING, Store

DROP_STAGES = ("augmented_set", "cleaned_set", "raw_images")
BATCH_STAGES = ("approved_labels", "label_quality", "labeled_batches")
PLAN_STAGES = ("label_tasks", "batch_plans")  # may be stored without a gate of their own
SHOWN = {
    "training_export": ("release", "split", "kind", "labels", "file", "sha256", "batch_ids"),
    "augmented_set": ("kind", "image_id", "source_image_id", "recipe", "copy", "seed", "breaks", "sha256"),
    "cleaned_set": ("status", "reason", "near_duplicate_group", "clean_sha256", "decided_by", "answered_by"),
    "raw_images": ("vendor", "path", "sha256", "size_bytes", "license", "consent", "status", "reason"),
    "drops": ("vendor", "name", "status", "reason", "received_at", "content_sha256"),
    "approved_labels": ("batch_id", "attribute", "label", "posterior", "n_labels", "decided_by", "approved_by", "audit"),
    "label_quality": ("batch_id", "attribute", "label", "posterior", "n_labels", "decision", "reason"),
    "labeled_batches": ("batch_id", "attribute", "label", "worker_id", "vendor", "submitted_at", "status", "file_sha256"),
    "label_tasks": ("batch_id", "kind", "task_id", "vendor", "round", "parent_batch_id"),
    "batch_plans": ("batch_id", "kind", "vendor", "overlap", "attributes"),
}


@dataclass(frozen=True)
class Link:
    """One step of a trace: the rows of one partition of one table, and the gate that let it through.

    `gate` is the row of the gates ledger that released the version (None for ledgers and plans, or where none did);
    `version` is "" for ledgers.
    """

    stage: str
    partition: str
    version: str
    rows: list[Row]
    gate: Row | None = None


@dataclass(frozen=True)
class Trace:
    """Where one picture came from. `missing` says which steps could not be found; empty when the chain is whole."""

    identifier: str
    project: str
    image_id: str
    source_image_id: str
    links: list[Link] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return not self.missing

    def as_dict(self) -> dict[str, Any]:
        """Plain values only: ready for JSON."""
        links = [{"stage": x.stage, "partition": x.partition, "version": x.version, "rows": x.rows, "gate": x.gate} for x in self.links]
        return {
            "identifier": self.identifier, "project": self.project, "image_id": self.image_id, "source_image_id": self.source_image_id,
            "is_complete": self.is_complete, "missing": self.missing, "links": links,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """Text for an auditor, from the delivery back to the vendor."""
        text = [f"{self.image_id} in project {self.project}"]
        if self.source_image_id != self.image_id:
            text.append(f"  a variant of {self.source_image_id}")
        for link in self.links:
            text.append(f"{link.stage} {link.partition}" + (f", version {link.version}" if link.version else ""))
            if link.gate:
                text.append("  gate: " + _gate_sentence(link.gate))
            for row in link.rows:
                shown = [(name, row.get(name)) for name in SHOWN.get(link.stage, tuple(row))]
                text.append("  " + ", ".join(f"{name} {value}" for name, value in shown if value not in (None, "")))
        text += [f"MISSING: {sentence}" for sentence in self.missing] or ["The chain is whole."]
        return text


def trace(store: Store, identifier: str, project: str | None = None) -> Trace:
    """Follow one picture or task back to what a vendor delivered.

    Args:
        store: Where everything is.
        identifier: An image_id (source or variant) or a task_id, or the beginning of one.
        project: Look there only; default: in every project with anything released.

    Raises:
        LookupError: when nothing released has that identifier, or several things have.
    """
    if not identifier:
        raise LookupError("give an image_id or task_id, or the beginning of one")
    found: dict[tuple[str, str], str] = {}  # (project, image) -> what matched
    for name in [project] if project else sorted(set(store.releases()["project"])):
        found |= {(name, image): matched for image, matched in _find(store, name, identifier).items()}
    if not found:
        raise LookupError(f"no released image or task begins with {identifier!r}" + (f" in {project}" if project else ""))
    if len(found) > 1:
        some = ", ".join(f"{matched} ({where})" for (where, _), matched in sorted(found.items(), key=lambda item: item[1])[:5])
        raise LookupError(f"{identifier!r} fits {len(found)} images or tasks: {some}{', ...' if len(found) > 5 else ''}; give more of it")
    [(where, image)] = found
    return _trace(store, identifier, where, image)


def audit_rows(store: Store, project: str, release: str) -> pd.DataFrame:
    """`lineage_audit` of one release: for each delivered picture where it came from and which link is absent.

    `gates` counts the partitions of earlier stages its chain passed through, `waivers` those that a person waived.

    Raises:
        NotReleased: when the release has not passed its gate.
    """
    export = store.load("training_export", project, release)
    rows = export.frame[["release", "image_id", "source_image_id", "drop_id", "batch_ids"]].copy()
    versions = chain.closure(store, "training_export", project, release, export.version)
    gates = chain.gate_rows(store, project)
    drops = sorted(set(rows["drop_id"].dropna()))
    pairs = rows[["image_id", "source_image_id", "batch_ids"]].assign(batch=rows["batch_ids"].fillna("").str.split("|")).explode("batch")
    pairs = pairs[pairs["batch"] != ""]
    batches = sorted(set(pairs["batch"]))
    frames = {stage: chain.frames(store, project, stage, drops, versions) for stage in DROP_STAGES}
    frames |= {stage: chain.frames(store, project, stage, batches, versions) for stage in BATCH_STAGES}

    absent = pd.Series([[] for _ in range(len(rows))], index=rows.index)

    def note(present: pd.Series, sentence: str) -> None:
        for index in rows.index[~present.to_numpy(dtype=bool)]:
            absent[index].append(sentence)

    raw = frames["raw_images"].dropna(subset=["image_id"])
    raw = raw.assign(_last=raw["status"].ne("accepted")).sort_values(["_last", "path"]).drop_duplicates(["drop_id", "image_id"])
    raw = raw[["drop_id", "image_id", "vendor", "path", "license"]].rename(columns={"image_id": "source_image_id"})
    rows = rows.merge(raw, how="left", on=["drop_id", "source_image_id"])
    note(rows["image_id"].isin(frames["augmented_set"]["image_id"]), "augmented_set")
    note(rows["source_image_id"].isin(frames["cleaned_set"]["image_id"]), "cleaned_set")
    note(rows["path"].notna(), "raw_images")
    note(rows["drop_id"].isin(store.drops.rows().query("project == @project")["drop_id"]), "drops")
    labelled = rows["source_image_id"].isin(pairs["source_image_id"])
    for stage in BATCH_STAGES:
        held = frames[stage]
        # rework and adjudication may have asked again in a later batch, so any batch of the release counts
        note(labelled & rows["source_image_id"].isin(held["image_id"]), stage)
    passed, waived = _passages(gates, versions, store, project, drops, batches)
    ungated = {
        key
        for key in [*((s, d) for s in DROP_STAGES for d in drops), *((s, b) for s in BATCH_STAGES for b in batches)]
        if key not in passed
    }
    by_image = pairs.groupby("image_id")["batch"].agg(list)
    counts, waivers = [], []
    for index, (image, drop) in enumerate(zip(rows["image_id"], rows["drop_id"], strict=True)):
        steps = [(stage, drop) for stage in DROP_STAGES] + [(stage, batch) for batch in by_image.get(image, []) for stage in BATCH_STAGES]
        steps.append(("training_export", release))
        counts.append(sum(key in passed for key in steps))
        waivers.append(sum(key in waived for key in steps))
        absent[index] += [f"gate of {stage} {part}" for stage, part in steps if (stage, part) in ungated]
    rows["gates"], rows["waivers"] = counts, waivers
    rows["missing"] = absent.map(lambda sentences: "|".join(sentences) or None)
    rows["is_complete"] = rows["missing"].isna()
    return manifest.conform(rows.drop(columns="license"), CONTRACTS["lineage_audit"])


def verify(store: Store, project: str | None = None, release: str | None = None) -> list[str]:
    """Sentences about everything that isn't as it was when it was released; empty when all is.

    Looks at the ledgers' chains, the data files the gates recorded, and the delivered folders: their checksums, and that their
    pictures are the ones the released table names.

    Args:
        store: Where everything is.
        project: Only this one; default: all.
        release: Only this release and what it was made from; default: everything that was ever released.
    """
    problems = [
        sentence for ledger in (store.gates, store.costs, store.drops, store.withdrawals, store.gold) for sentence in ledger.verify()
    ]
    problems += _unfinished(store, project)
    released = store.gates.rows()
    released = released[released["outcome"].isin(RELEASING)].drop_duplicates(["project", "asset", "partition", "version"], keep="last")
    if project is not None:
        released = released[released["project"] == project]
    current = store.releases(project, "training_export")
    if release is not None:
        current = current[current["partition"] == release]
        if current.empty:
            return [*problems, f"release {release} is not among the released training exports" + (f" of {project}" if project else "")]
        wanted = {
            (row.project, *place, version)
            for row in current.itertuples()
            for place, version in chain.closure(store, "training_export", str(row.project), release, str(row.version)).items()
        }
        keys = zip(released["project"], released["asset"], released["partition"], released["version"], strict=True)
        released = released[[key in wanted for key in keys]]
    for row in released.to_dict("records"):
        problems += _verify_files(store, row)
    for row in current.to_dict("records"):
        problems += _verify_export(store, row["project"], row["partition"], row["version"])
    return problems


def _unfinished(store: Store, project: str | None) -> list[str]:
    folder = store.home.unfinished("")
    names = [project] if project is not None else sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [
        f"{name}: {len(left)} decisions are entered and not shown yet; `dataops run {name}` shows them"
        for name in names
        if (left := unfinished.left(store.home, name))
    ]


# ---- one picture


def _find(store: Store, project: str, identifier: str) -> dict[str, str]:
    """image -> the identifier that matched; the first kind of identifier that matches anything counts."""
    for asset, column in (("training_export", "image_id"), ("augmented_set", "image_id"), ("raw_images", "image_id")):
        ids = store.load_all(asset, project)[0][column].dropna()
        hits = set(ids[ids.str.startswith(identifier)])
        if hits:
            return {identifier: identifier} if identifier in hits else {hit: hit for hit in hits}
    for frame in (store.load_all("labeled_batches", project)[0], chain.stored(store, "label_tasks", project)):
        frame = frame[frame["task_id"].fillna("").str.startswith(identifier)]
        exact = frame[frame["task_id"] == identifier]
        pairs = (exact if len(exact) else frame).dropna(subset=["image_id"])
        if len(pairs):
            return dict(zip(pairs["image_id"], pairs["task_id"], strict=True))
    return {}


def _trace(store: Store, identifier: str, project: str, image: str) -> Trace:
    gates = chain.gate_rows(store, project)
    links: list[Link] = []
    missing: list[str] = []
    source, drop, batches = image, None, []
    for release, version in sorted(store.released("training_export", project).items()):
        rows = store.read("training_export", project, release, version).frame
        rows = rows[rows["image_id"] == image]
        if rows.empty:
            continue
        links.append(Link("training_export", release, version, chain.plain(rows), gates.get(("training_export", release, version))))
        source, drop = rows["source_image_id"].iloc[0], rows["drop_id"].iloc[0]
        batches += [batch for batch in (rows["batch_ids"].iloc[0] or "").split("|") if batch and batch not in batches]
    if not links:
        missing.append("it is in no released training_export")
    drop = drop or _drop_of(store, project, image)
    if drop is None:
        missing.append("no drop is known for it")
    stored = {stage: chain.stored(store, stage, project) for stage in PLAN_STAGES}
    versions: Versions = {}
    for export in links:  # of several releases the last one's chain is shown
        versions |= chain.closure(store, export.stage, project, export.partition, export.version)
    for stage in DROP_STAGES if drop else ():
        wanted = {image, source} if stage == "augmented_set" else {source}
        link = _link(store, project, stage, str(drop), versions, gates, wanted)
        if stage == "augmented_set" and link and source == image and link.rows:
            source = link.rows[0]["source_image_id"] or source
            if source != image:
                link = _link(store, project, stage, str(drop), versions, gates, {image, source})
        _add(links, missing, link, stage, str(drop))
    if drop:
        ledger = store.drops.rows()
        ledger = ledger[(ledger["project"] == project) & (ledger["drop_id"] == drop)]
        if ledger.empty:
            missing.append(f"the drops ledger has no row for {drop}")
        else:
            links.append(Link("drops", str(drop), "", chain.plain(ledger.tail(1))))
    plans = {stage: frame[frame["image_id"] == source] for stage, frame in stored.items()}
    for batch in _with_parents(batches or sorted(set(plans["label_tasks"]["batch_id"])), plans):
        for stage in BATCH_STAGES:
            link = _link(store, project, stage, batch, versions, gates, {source})
            if link or batch in batches:
                _add(links, missing, link, stage, batch, is_needed=batch in batches)
        for stage, frame in plans.items():
            rows = frame[frame["batch_id"] == batch].drop_duplicates()
            if len(rows):
                version = versions.get((stage, batch)) or store.released(stage, project).get(batch, "")
                links.append(Link(stage, batch, version, chain.plain(rows), gates.get((stage, batch, version))))
    withdrawals = store.withdrawals.rows()
    gone = (withdrawals["project"] == project) & (withdrawals["image_id"].isin([image, source]) | (withdrawals["drop_id"] == drop))
    if gone.any():
        links.append(Link("withdrawals", "-", "", chain.plain(withdrawals[gone])))
    return Trace(identifier, project, image, str(source), links, missing)


def _add(links: list[Link], missing: list[str], link: Link | None, stage: str, partition: str, is_needed: bool = True) -> None:
    if link is None or not link.rows:
        if is_needed:
            missing.append(f"{stage} {partition} has no row for it")
        return
    links.append(link)
    if link.gate is None:
        missing.append(f"no gate released {stage} {partition} version {link.version}")


def _link(
    store: Store, project: str, stage: str, partition: str, versions: Versions, gates: Mapping[Any, Row], images: set[str]
) -> Link | None:
    version = versions.get((stage, partition)) or store.released(stage, project).get(partition)
    if version is None:
        return None
    try:
        frame = store.read(stage, project, partition, version).frame
    except LookupError:
        return None
    return Link(stage, partition, version, chain.plain(frame[frame["image_id"].isin(images)]), gates.get((stage, partition, version)))


def _with_parents(batches: Iterable[str], plans: Mapping[str, pd.DataFrame]) -> list[str]:
    """The batches and those they were reworks of."""
    queue, result = list(batches), []
    parents = pd.concat([frame[["batch_id", "parent_batch_id"]] for frame in plans.values()]).dropna().drop_duplicates()
    while queue:
        batch = queue.pop(0)
        if batch not in result:
            result.append(batch)
            queue += sorted(parents.loc[parents["batch_id"] == batch, "parent_batch_id"])
    return result


def _drop_of(store: Store, project: str, image: str) -> str | None:
    for asset in DROP_STAGES:
        frame = store.load_all(asset, project)[0]
        held = frame.loc[frame["image_id"] == image, "drop_id"].dropna()
        if len(held):
            return str(held.iloc[0])
    return None


def _passages(
    gates: Mapping[tuple[str, str, str], Row], versions: Versions, store: Store, project: str, drops: list[str], batches: list[str]
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(asset, partition)s whose version in the chain was released, and those of them that were waived."""
    used = dict(versions)
    for stages, partitions in ((DROP_STAGES, drops), (BATCH_STAGES, batches)):
        for stage in stages:
            released = store.released(stage, project)
            used |= {(stage, part): released[part] for part in partitions if (stage, part) not in used and part in released}
    outcomes = {key: gates[(*key, version)]["outcome"] for key, version in used.items() if (*key, version) in gates}
    return set(outcomes), {key for key, outcome in outcomes.items() if outcome == "waived"}


def _gate_sentence(gate: Row) -> str:
    what = f"{gate['outcome']} at {gate['at']} by {gate['by'] or 'the suite'}, suite {gate['suite_digest']}, ledger row {gate['seq']}"
    return what + (
        f", waived because: {gate['reason']} (until {gate['until']}; had failed: {gate['failed']})" if gate["outcome"] == "waived" else ""
    )


# ---- verification


def _verify_files(store: Store, row: Mapping[Any, Any]) -> list[str]:
    what = f"{row['asset']} of {row['project']}/{row['partition']} version {row['version']}"
    recorded: dict[str, str] = json.loads(row["files"]) if row["files"] else {}
    try:
        found = store.files(row["asset"], row["project"], row["partition"], row["version"])
        count = store.row_count(row["asset"], row["project"], row["partition"], row["version"])
    except FileNotFoundError as error:
        return [f"{what}: a data file is gone: {error}"]
    if not recorded:
        return [f"{what}: its gate recorded no data file, but {len(found)} are there"] if count and found else []
    problems = [f"{what}: data file {name} is gone" for name in sorted(recorded.keys() - found.keys())]
    problems += [f"{what}: data file {name} was not there when the gate judged it" for name in sorted(found.keys() - recorded.keys())]
    changed = sorted(name for name in recorded.keys() & found.keys() if recorded[name] != found[name])
    return problems + [f"{what}: data file {name} was changed after the gate judged it" for name in changed]


def _verify_export(store: Store, project: str, release: str, version: str) -> list[str]:
    folder: Path = store.home.exports(project) / release
    problems = checksums.verify(folder)
    listed = checksums.read(folder)
    try:
        frame = store.read("training_export", project, release, version).frame
    except (LookupError, OSError, ValueError) as error:  # a damaged data file is a finding, not a crash
        return [*problems, f"training_export of {project}/{release} can't be read: {error}"]
    for file, sha256 in zip(frame["file"], frame["sha256"], strict=True):
        if listed and listed.get(file) != sha256:
            problems.append(f"{release}/{file} is not the picture that the released table names")
    return problems
