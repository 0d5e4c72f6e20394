"""From the brief to approved labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.flow.images import showable
from dataops_assets.flow.shared import listing, plain_files, rows_of
from dataops_assets.labels import acceptance, returned
from dataops_assets.labels.questions import SCREENING
from dataops_assets.manifest import UNPARTITIONED, Inputs, Manifest, is_true
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import RELEASING, NotReleased, Store, now

AUDITED = ("production-", "rework-")  # batches whose labels are accepted by themselves
MOST_EARLIER = 200_000  # answers of earlier batches that tell what workers are worth, the newest first
RETURN_LEVELS = 16  # of folders below a vendor's that returned files may lie in


def brief(store: Store, spec: ProjectSpec) -> Manifest:
    """What was agreed, added up."""
    from dataops_assets.stages import brief as stage

    return Manifest("brief", spec.name, UNPARTITIONED, stage.check(spec))


def label_tasks(store: Store, spec: ProjectSpec, batch_id: str, handbook: Manifest) -> Manifest:
    """The questions of one batch, as its plan says.

    Raises:
        NotReleased: when the guidelines in use tell otherwise than the YAML what is asked.
    """
    from dataops_assets.labels import changes
    from dataops_assets.stages import guidelines
    from dataops_assets.stages import label_tasks as stage

    if changes.is_otherwise(handbook.frame, guidelines.rows(spec)):
        raise NotReleased(
            f"the guidelines of {spec.name} in use ask otherwise than its YAML: make them anew (dataops guidelines {spec.name}) "
            "and see what their gate says"
        )
    plan = store.only("batch_plans", spec.name, batch_id)
    shown = may_show(store, spec, plan.frame)
    planned = plan.frame[plan.frame["image_id"].isin(shown["image_id"])]  # what was withdrawn or screened out since stays here
    frame = stage.build(planned, shown, spec, blobs_of(store, spec, plan.frame))
    return Manifest("label_tasks", spec.name, batch_id, frame, {**plan.input, **handbook.input})


def may_show(store: Store, spec: ProjectSpec, batch: pd.DataFrame) -> pd.DataFrame:
    """The pictures that a planned batch may show as things are now: doubtful ones only to those who screen."""
    return showable(store, spec, "rework" if _is_screening(batch) else "production")


def blobs_of(store: Store, spec: ProjectSpec, batch: pd.DataFrame) -> Blobs:
    """What a batch may show: those who screen see pictures that lie apart. The plan gives such batches to nobody else."""
    return store.apart(spec.name) if _is_screening(batch) else store.blobs


def _is_screening(batch: pd.DataFrame) -> bool:
    return bool(batch["attributes"].str.split("|").explode().eq(SCREENING.name).any())


def labeled_batches(store: Store, spec: ProjectSpec, tasks: Manifest) -> Manifest:
    """Everything a vendor returned for a batch, each row accepted or rejected."""
    from dataops_assets.stages import labeled_batches as stage

    folder = store.home.returns(spec.name) / tasks.partition
    found = return_files(folder)
    places = [path.relative_to(folder) for path in found]
    files = [(place.parts[0], "/".join(place.parts[1:]), path.read_bytes()) for place, path in zip(places, found, strict=True)]
    if not files:
        raise NotReleased(f"nothing was returned for {tasks.partition}: {folder}/<vendor>/ holds no file")
    key = store.home.worker_key()
    sent = _once((vendor, name, store.blobs.put(data)) for vendor, name, data in files)
    names = {f"{vendor}/{stage.shown(name, vendor, key)}": sha256[:16] for vendor, name, sha256 in sent}
    frame = stage.accept(files, tasks.frame, spec, key)
    made = Manifest("labeled_batches", spec.name, tasks.partition, frame, {**tasks.input, "returns": names})
    store.pin("returns", spec.name, f"{tasks.partition}.{listing(found, folder)}", {"version": made.version})
    return made


def _once(files: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Files (vendor, path, sha256) without those that a vendor sent before: the same batch again is no other version.

    Text files are named in any case: two of YOLO may be equal and mean two pictures.
    """
    first: dict[tuple[str, ...], tuple[str, str, str]] = {}
    for vendor, name, sha256 in sorted(files, key=lambda file: (file[0], *returned.rank(file[1]))):
        sent = (vendor, returned.annotator_of(name) or "", sha256, name if name.endswith(".txt") else "")
        first.setdefault(sent, (vendor, name, sha256))
    return list(first.values())


def return_files(folder: Path) -> list[Path]:
    """Files of a batch's returns, `<vendor>/<file>` or up to `RETURN_LEVELS` folders deep."""
    vendors = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for vendor in vendors if not vendor.is_symlink() for file in plain_files(vendor, levels=RETURN_LEVELS)]


def label_quality(store: Store, spec: ProjectSpec, labeled: Manifest, tasks: Manifest) -> Manifest:
    """An answer a question of one batch, how sure it is, and what happens next."""
    from dataops_assets.stages import gold as gold_stage
    from dataops_assets.stages import label_quality as stage

    gold, used = gold_labels(store, spec)
    gold = gold[~gold["image_id"].isin(_known_before(store, spec, labeled))]
    seen, sights = seen_before(store, spec, tasks)
    worn = gold_stage.worn(labeled.frame, gold_stage.hidden(tasks.frame), seen, spec)  # what somebody knows by heart measures nobody
    past = earlier(store, spec, tasks)
    frame = stage.assess(
        labeled.frame[~worn] if worn.any() else labeled.frame, tasks.frame, gold, spec,
        before=store.read_all("labeled_batches", spec.name, past.answers),
        held=store.read_all("label_quality", spec.name, past.parents),
        severity=inspection(store, spec, past).severity if past.history else "normal",
        key=store.home.worker_key(),
    )  # fmt: skip
    inputs = {**labeled.input, **tasks.input, **used, **sights, **past.inputs}
    return Manifest("label_quality", spec.name, labeled.partition, frame, inputs)


def _known_before(store: Store, spec: ProjectSpec, labeled: Manifest) -> set[str]:
    """Pictures that guidelines or training packs showed with their answers before these answers were taken in: they measure nobody."""
    from dataops_assets.stages import gold as stage

    entries = rows_of(store.gold.rows(), spec.name)
    entries = entries[entries["action"].isin([stage.SHOW, stage.PRACTISE])]
    if entries.empty:
        return set()
    gates = rows_of(store.gates.rows(), spec.name)
    is_mine = (gates["asset"] == "labeled_batches") & (gates["partition"] == labeled.partition) & (gates["version"] == labeled.version)
    taken = gates.loc[is_mine, "at"].min() if is_mine.any() else None
    return set(entries.loc[entries["at"] < taken, "image_id"] if taken is not None else entries["image_id"])


@dataclass(frozen=True)
class Earlier:
    """What was released before a batch was first judged: it is judged by that whenever it is judged again. batch -> version, each.

    Attributes:
        answers: `labeled_batches` of its vendor, and of the batches that its questions come from.
        parents: `label_quality` of the latter.
        history: `label_quality` of the vendor's production batches, oldest first, and of adjudication.
        refused: The vendor's production batches that their gate refused last.
    """

    answers: dict[str, str]
    parents: dict[str, str]
    history: dict[str, str]
    refused: tuple[str, ...]

    @property
    def inputs(self) -> dict[str, Mapping[str, str]]:
        """By which names a manifest tells them: not those of the tables, which hold what the batch itself is made from."""
        named = {"earlier_answers": self.answers, "earlier_quality": {**self.parents, **self.history}}
        return {name: versions for name, versions in named.items() if versions}


def earlier(store: Store, spec: ProjectSpec, tasks: Manifest) -> Earlier:
    """What tells of a batch's vendor and questions beside the batch itself."""
    if tasks.frame.empty:
        return Earlier({}, {}, {}, ())
    rows = rows_of(store.gates.rows(), spec.name)
    first = rows.loc[(rows["asset"] == "label_quality") & (rows["partition"] == tasks.partition), "seq"]
    rows = rows[rows["seq"] < first.min()] if len(first) else rows
    rows = rows[(rows["partition"] != tasks.partition) & (rows["outcome"] != "error")]
    last = rows.drop_duplicates(["asset", "partition"], keep="last")
    released = rows[rows["outcome"].isin(RELEASING)].drop_duplicates(["asset", "partition"], keep="last")
    held = {asset: dict(zip(of["partition"], of["version"], strict=True)) for asset, of in released.groupby("asset")}
    answered, judged = held.get("labeled_batches", {}), held.get("label_quality", {})
    about = plans(store, spec).drop_duplicates(["batch_id", "parent_batch_id"])
    parents = parents_of(about, tasks.partition) & answered.keys()
    vendor = about[about["vendor"] == str(tasks.frame["vendor"].iloc[0])]
    bought = vendor[vendor["kind"].isin(["production", "rework", "qualification"])]
    seen = dict(zip(rows["partition"], rows["seq"], strict=True))
    names = sorted((set(bought["batch_id"]) & judged.keys() & answered.keys()) - parents, key=lambda name: -seen[name])
    chosen, n = dict.fromkeys(sorted(parents)), 0
    for name in names:
        n += store.row_count("labeled_batches", spec.name, name, answered[name])
        if n > MOST_EARLIER:
            break
        chosen[name] = None
    production = set(vendor.loc[vendor["kind"] == "production", "batch_id"])
    settled = set(about.loc[about["kind"] == "adjudication", "batch_id"])
    wanted = [name for name in seen if name in (production | settled) and name in judged]
    of_gate = last[(last["asset"] == "label_quality") & last["partition"].isin(production)]
    return Earlier(
        {name: answered[name] for name in chosen},
        {name: judged[name] for name in sorted(parents & judged.keys())},
        {name: judged[name] for name in sorted(wanted, key=lambda name: seen[name])} if _is_production(tasks) else {},
        tuple(of_gate.loc[of_gate["outcome"] != "pass", "partition"]),
    )


def _is_production(tasks: Manifest) -> bool:
    return bool(tasks.frame["kind"].eq("production").all())


def parents_of(about: pd.DataFrame, batch: str) -> set[str]:
    """Batches that a batch's questions come from, and those these come from."""
    found: set[str] = set()
    open_ = {batch}
    while open_:
        open_ = set(about.loc[about["batch_id"].isin(open_), "parent_batch_id"].dropna()) - found
        found |= open_
    return found


def inspection(store: Store, spec: ProjectSpec, past: Earlier) -> acceptance.Switch:
    """How hard to look at a vendor's next batch, by what became of those before."""
    from dataops_assets.stages import batch_verdict

    quality = store.read_all("label_quality", spec.name, past.history)
    made = batch_verdict.audits(quality, batch_verdict.audited(quality, quality))
    order = [name for name in (*past.refused, *past.history) if name.startswith("production-")]
    return acceptance.switch(batch_verdict.history(made, past.refused, sorted(set(order), key=lambda name: (len(name), name))))


def stopped(store: Store, spec: ProjectSpec, vendor: str) -> str:
    """Why no production batch is to be bought from a vendor; "" where one may be.

    Its batches have been refused too often under tightened inspection (`acceptance.switch`). It has mended its work where it passed a
    qualification that was planned after the last of them.
    """
    from dataops_assets.stages import qualification as stage

    order = planned_order(store, spec)
    about = plans(store, spec).drop_duplicates("batch_id")
    production = set(about.loc[(about["vendor"] == vendor) & (about["kind"] == "production"), "batch_id"])
    rows = rows_of(store.gates.rows(), spec.name)
    rows = rows[(rows["asset"] == "label_quality") & rows["partition"].isin(production) & (rows["outcome"] != "error")]
    last = rows.drop_duplicates("partition", keep="last")
    if len(last) <= acceptance.STOP:  # nobody was refused so often: nothing has to be read
        return ""
    judged = store.released("label_quality", spec.name)
    past = {name: version for name, version in judged.items() if name in production or name.startswith("adjudication-")}
    found = inspection(store, spec, Earlier({}, {}, past, tuple(last.loc[last["outcome"] != "pass", "partition"])))
    if not found.is_stopped:
        return ""
    tests = qualification(store, spec)
    mine = [order.get(str(batch), -1) for batch in tests.loc[tests["vendor"] == vendor, "batch_id"]]
    is_mended = vendor in stage.passed(tests, spec) and max(mine, default=-1) > max(order.get(batch, -1) for batch in production)
    if is_mended:
        return ""
    command = f"dataops plan {spec.name} --kind qualification --vendor {vendor}"
    return f"{vendor}: {found.sentence}, and has passed a qualification that is planned now (`{command}`)"


def audit_rows(
    store: Store, spec: ProjectSpec, candidates: Mapping[str, pd.DataFrame] | None = None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """`batch_verdict.audits` of all released batches, and the versions of the adjudications that they come from.

    Args:
        store: The store.
        spec: The project.
        candidates: batch -> `label_quality` rows that count in place of what is released of it.
    """
    from dataops_assets.stages import batch_verdict

    held, judged = candidates or {}, store.released("label_quality", spec.name)
    bought = {name: version for name, version in judged.items() if name.startswith(AUDITED) and name not in held}
    quality = pd.concat([store.read_all("label_quality", spec.name, bought), *held.values()], ignore_index=True)
    settled = {name: version for name, version in judged.items() if name.startswith("adjudication-")}
    answers = store.read_all("label_quality", spec.name, settled)
    return batch_verdict.audits(quality, batch_verdict.audited(quality, answers)), settled


def failed_since(store: Store, spec: ProjectSpec) -> list[str]:
    """Approved batches of which the audit has found more wrong labels by now than their sampling plan allows: no release takes them.

    A waiver stands: somebody answers for these labels.
    """
    from dataops_assets.stages import batch_verdict

    approvals = store.releases(spec.name, "approved_labels")
    made, _ = audit_rows(store, spec)
    lost = {str(row["batch_id"]) for row in made.to_dict("records") if batch_verdict.was_accepted(row) is False}
    return sorted(lost & set(approvals.loc[approvals["outcome"] != "waived", "partition"]))


def planned_order(store: Store, spec: ProjectSpec) -> dict[str, int]:
    """batch_id -> its place in the order in which batches were planned."""
    costs = rows_of(store.costs.rows(), spec.name)
    return {str(batch): place for place, batch in enumerate(costs.loc[costs["kind"] == "labels", "ref"].drop_duplicates())}


def seen_before(store: Store, spec: ProjectSpec, tasks: Manifest) -> tuple[pd.DataFrame, Inputs]:
    """Who answered which of a batch's gold pictures in batches planned before it (`stages/vendor_feedback.SIGHTS`); the versions."""
    from dataops_assets.stages import gold as stage

    rows = tasks.frame[tasks.frame["task_id"].isin(stage.hidden(tasks.frame))]
    planned, order = plans(store, spec), planned_order(store, spec)
    columns = ("batch_id", "row_id", "worker_id", "image_id", "status")
    is_same = planned["image_id"].isin(set(rows["image_id"])) & planned["vendor"].isin(set(rows["vendor"]))
    shown = planned[is_same & is_true(planned["is_gold"])]
    mine = order.get(tasks.partition, -1)
    names = {batch for batch in shown["batch_id"].unique() if order.get(str(batch), mine) < mine}
    held = store.released("labeled_batches", spec.name)
    versions = {batch: held[batch] for batch in sorted(names & held.keys())}
    found = store.read_all("labeled_batches", spec.name, versions, columns)
    pairs = shown[["batch_id", "image_id"]].drop_duplicates()
    found = found[(found["status"] == "accepted") & found["worker_id"].notna()].merge(pairs, on=["batch_id", "image_id"])
    return found[["worker_id", "image_id", "batch_id"]].drop_duplicates(ignore_index=True), {"seen_before": versions} if versions else {}


def plans(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """Rows of all batch plans. A plan is written once and never changes."""
    versions = {batch: held[0] for batch, held in store.candidates("batch_plans", spec.name).items()}
    return store.read_all("batch_plans", spec.name, versions)


def gold(store: Store, spec: ProjectSpec, with_workers: bool = False) -> tuple[pd.DataFrame, Inputs]:
    """Answers our own people settled in pilots with what stands against them (`gold.registry`), and the versions they come from."""
    from dataops_assets.stages import approved_labels
    from dataops_assets.stages import gold as stage

    approved, inputs = store.load_all("approved_labels", spec.name)
    planned = plans(store, spec)
    entries = rows_of(store.gold.rows(), spec.name)
    sent = set(planned.loc[is_true(planned["is_gold"]), "batch_id"])
    labeled = store.load_all("labeled_batches", spec.name, sent)[0] if with_workers else manifest.empty("labeled_batches")
    found = stage.registry(approved_labels.gold_of(approved, planned, spec.ontology), approved, planned, labeled, entries, spec)
    batches = set(found["batch_id"])
    used: dict[str, Mapping[str, str]] = {}
    if batches:
        used["approved_labels"] = {name: version for name, version in inputs.get("approved_labels", {}).items() if name in batches}
    said = entries[entries["action"].isin(stage.MEASURING)]
    if len(said):
        used["gold"] = {"entries": str(said["seq"].max())}
    return found, used


def gold_labels(store: Store, spec: ProjectSpec) -> tuple[pd.DataFrame, Inputs]:
    """Gold that answers are compared with, and the versions it comes from."""
    from dataops_assets.stages import gold as stage

    found, used = gold(store, spec)
    return stage.measuring(found), used


def judged_on(store: Store, spec: ProjectSpec, kind: str) -> pd.DataFrame:
    """`label_quality` rows of all batches of a kind as they were judged last, whether their gate released them or not.

    A qualification is what was answered first: who corrects a test until it is passed shows nothing. Another try is another batch.
    """
    rows = rows_of(store.gates.rows(), spec.name)
    rows = rows[(rows["asset"] == "label_quality") & (rows["outcome"] != "error") & rows["partition"].str.startswith(f"{kind}-")]
    if kind == "qualification":
        answers = rows["inputs"].map(lambda text: str(json.loads(text).get("labeled_batches", "")))
        rows = rows[answers == answers.groupby(rows["partition"]).transform("first")]
    last = rows.drop_duplicates("partition", keep="last")
    return store.read_all("label_quality", spec.name, dict(zip(last["partition"], last["version"], strict=True)))


def qualification(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """What each vendor's last qualification batch showed: `qualification.verdicts`."""
    from dataops_assets.stages import qualification as stage

    return stage.verdicts(judged_on(store, spec, "qualification"), spec)


def standing(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """Whether each labelling vendor may have production batches: `vendor, is_passed, sentence`."""
    from dataops_assets.stages import qualification as stage

    found = qualification(store, spec)
    allowed = stage.passed(found, spec)
    rows = [(vendor.name, vendor.name in allowed, stage.sentence(vendor.name, found, spec)) for vendor in spec.labeling.vendors]
    return pd.DataFrame(rows, columns=["vendor", "is_passed", "sentence"])


def vendor_feedback(store: Store, spec: ProjectSpec, quality: Manifest, labeled: Manifest, tasks: Manifest) -> Manifest:
    """What is known of each worker's answers to a batch."""
    from dataops_assets.stages import vendor_feedback as stage

    seen, before = seen_before(store, spec, tasks)
    earlier, past = _feedback_before(store, spec, tasks)
    shown, at_start = prelabels_of(store, spec, tasks.partition)
    frame = stage.feedback(labeled.frame, quality.frame, tasks.frame, spec, earlier=earlier, seen=seen, prelabels=shown)
    return Manifest(
        "vendor_feedback",
        spec.name,
        quality.partition,
        frame,
        {**quality.input, **labeled.input, **tasks.input, **before, **past, **at_start},
    )


def _feedback_before(store: Store, spec: ProjectSpec, tasks: Manifest) -> tuple[pd.DataFrame, Inputs]:
    """Feedback on the vendor's batches that were planned before, oldest first, and its versions."""
    planned, order = plans(store, spec), planned_order(store, spec)
    mine, vendors = order.get(tasks.partition, -1), set(tasks.frame["vendor"])
    names = set(planned.loc[planned["vendor"].isin(vendors), "batch_id"])
    held = store.released("vendor_feedback", spec.name)
    versions = {batch: held[batch] for batch in sorted(names & held.keys()) if order.get(batch, mine) < mine}
    found = store.read_all("vendor_feedback", spec.name, versions)
    found = found.assign(order=found["batch_id"].map(order)).sort_values("order", kind="stable").drop(columns="order")
    return found, {"vendor_feedback": versions} if versions else {}


def keep_prelabels(store: Store, spec: ProjectSpec, batch: str, shown: Mapping[str, Mapping[str, str]]) -> None:
    """Remember the answers that a tool shows at the start; what was shown first stands."""
    if shown:
        store.pin("prelabels", spec.name, batch, {"sha256": store.blobs.put(json.dumps(shown, sort_keys=True).encode())})


def prelabels_of(store: Store, spec: ProjectSpec, batch: str) -> tuple[pd.DataFrame, Inputs]:
    """task_id, attribute, prelabel of what was shown at the start of a batch's tasks, and where it is kept."""
    kept = store.pins("prelabels", spec.name).get(batch)
    shown = json.loads(store.blobs.read(kept["sha256"])) if kept else {}
    rows = [(task, attribute, label) for task, answers in sorted(shown.items()) for attribute, label in sorted(answers.items())]
    used: dict[str, Mapping[str, str]] = {"prelabels": {batch: kept["sha256"][:16]}} if kept else {}
    return pd.DataFrame(rows, columns=["task_id", "attribute", "prelabel"]), used


def approved_labels(store: Store, spec: ProjectSpec, quality: Manifest, labeled: Manifest, tasks: Manifest, by: str) -> Manifest:
    """The batch's accepted labels, on a person's word.

    Raises:
        ValueError: when that person gave some of the answers.
    """
    from dataops_assets.stages import approved_labels as stage

    behind = {**quality.inputs.get("earlier_answers", {}), **labeled.input["labeled_batches"]}
    parents = parents_of(plans(store, spec), quality.partition) | {quality.partition}
    answers = store.read_all("labeled_batches", spec.name, {name: version for name, version in behind.items() if name in parents})
    stage.refuse_own(answers, by, [vendor.name for vendor in spec.labeling.vendors], store.home.worker_key())
    settle(store, spec, tasks, int((labeled.frame["status"] == "accepted").sum()))
    frame = stage.approve(quality.frame, tasks.frame, spec, by)
    _, settled = audit_rows(store, spec)
    audits = {"audits": settled} if settled and quality.partition.startswith(AUDITED) else {}
    return Manifest("approved_labels", spec.name, quality.partition, frame, {**quality.input, **audits})


def settle(store: Store, spec: ProjectSpec, tasks: Manifest, answers: int) -> None:
    """Correct a batch's committed cost to the answers that were delivered and accepted; approved anew, by what differs from before."""
    vendor = spec.labeling.vendor(str(tasks.frame["vendor"].iloc[0])) if len(tasks.frame) else None
    if vendor is None:
        return
    name, price = vendor.name, vendor.price_per_label

    def build(rows: pd.DataFrame) -> list[dict[str, Any]]:
        mine = rows[(rows["project"] == spec.name) & rows["kind"].isin(["labels", "labels_settled"]) & (rows["ref"] == tasks.partition)]
        quantity = answers - float(mine["quantity"].sum())
        amount = round(answers * price - float(mine["amount"].sum()), 6)
        if not quantity and not amount and (mine["kind"] == "labels_settled").any():
            return []
        return [{
            "project": spec.name, "kind": "labels_settled", "vendor": name, "ref": tasks.partition, "quantity": quantity,
            "amount": amount, "currency": spec.brief.currency, "at": now(),
        }]  # fmt: skip

    store.costs.append(build)
