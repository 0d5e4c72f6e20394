"""What stands of the batches before: their plans, what their gates and audits found, and what that means for vendors and releases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd

from dataops_assets.flow import policies
from dataops_assets.flow.shared import rows_of
from dataops_assets.imaging.personal_data.policy import COLUMNS
from dataops_assets.labels import acceptance
from dataops_assets.manifest import Manifest
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import RELEASING, Store

AUDITED = ("production-", "rework-")  # batches whose labels are accepted by themselves
MOST_EARLIER = 200_000  # answers of earlier batches that tell what workers are worth, the newest first
SEEN = (*COLUMNS, "clean_sha256")  # columns of `cleaned_set` that tell whether a picture may be seen


def plans(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """Rows of all batch plans. A plan is written once and never changes."""
    versions = {batch: held[0] for batch, held in store.candidates("batch_plans", spec.name).items()}
    return store.read_all("batch_plans", spec.name, versions)


def piloted(store: Store, spec: ProjectSpec) -> int:
    """Pictures in the pilots that were planned."""
    planned = plans(store, spec)
    return int(planned.loc[planned["kind"] == "pilot", "image_id"].nunique())


def planned_order(store: Store, spec: ProjectSpec) -> dict[str, int]:
    """batch_id -> its place in the order in which batches were planned."""
    costs = rows_of(store.costs.rows(), spec.name)
    return {str(batch): place for place, batch in enumerate(costs.loc[costs["kind"] == "labels", "ref"].drop_duplicates())}


def times(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """`pace.TIMES` of batches whose labels are released: when tasks and labels were released first, its vendor, and accepted answers."""
    labeled = store.read_all(
        "labeled_batches", spec.name, store.released("labeled_batches", spec.name), ("batch_id", "row_id", "vendor", "status")
    )
    gates = rows_of(store.gates.rows(), spec.name)
    gates = gates[gates["outcome"].isin(RELEASING)].drop_duplicates(["asset", "partition"])
    at = {asset: dict(zip(rows["partition"], rows["at"], strict=True)) for asset, rows in gates.groupby("asset")}
    rows = labeled[labeled["status"] == "accepted"].groupby(["batch_id", "vendor"]).size().rename("answers").reset_index()
    for column, asset in (("sent_at", "label_tasks"), ("returned_at", "labeled_batches")):
        rows[column] = pd.to_datetime(rows["batch_id"].map(at.get(asset, {})), utc=True)
    return rows


def parents_of(about: pd.DataFrame, batch: str) -> set[str]:
    """Batches that a batch's questions come from, and those these come from."""
    return _reached(about, batch, "batch_id", "parent_batch_id")


def children_of(about: pd.DataFrame, batch: str) -> set[str]:
    """Batches whose questions come from a batch, and those that come from these."""
    return _reached(about, batch, "parent_batch_id", "batch_id")


def _reached(about: pd.DataFrame, batch: str, start: str, end: str) -> set[str]:
    found: set[str] = set()
    open_ = {batch}
    while open_:
        open_ = set(about.loc[about[start].isin(open_), end].dropna()) - found
        found |= open_
    return found


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


def inspection(store: Store, spec: ProjectSpec, past: Earlier) -> acceptance.Switch:
    """How hard to look at a vendor's next batch, by what became of those before."""
    from dataops_assets.stages import auditing

    quality = sampled(store, spec, store.read_all("label_quality", spec.name, past.history))
    made = auditing.audits(quality, auditing.audited(quality, quality))
    order = [name for name in (*past.refused, *past.history) if name.startswith("production-")]
    return acceptance.switch(auditing.history(made, past.refused, sorted(set(order), key=lambda name: (len(name), name))))


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
    is_mended = vendor in stage.passed(tests, spec) and max(mine, default=-1) > max(order.get(batch, -1) for batch in last["partition"])
    if is_mended:
        return ""
    command = f"dataops plan {spec.name} --kind qualification --vendor {vendor}"
    return f"{vendor}: {found.sentence}, and has passed a qualification that is planned now (`{command}`)"


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
    """Whether each labelling vendor may have production batches: `vendor, is_passed, sentence, stop` (why not, or "")."""
    from dataops_assets.stages import qualification as stage

    found = qualification(store, spec)
    allowed = stage.passed(found, spec)
    rows = [
        (vendor.name, vendor.name in allowed, stage.sentence(vendor.name, found, spec), stopped(store, spec, vendor.name))
        for vendor in spec.labeling.vendors
    ]
    return pd.DataFrame(rows, columns=["vendor", "is_passed", "sentence", "stop"])


def may_be_seen(store: Store, spec: ProjectSpec, rows: pd.DataFrame, versions: Mapping[str, str]) -> pd.Series:
    """Which screened pictures our own people may be shown as things are: what planning asks of and what `gone` is follow from it.

    Kept ones that today's policy for personal data lets pass, and doubtful ones whose file is still there: people who screen see these now,
    those who label once they are kept. None that was withdrawn, and none of a drop that was, or that was delivered anew.

    Args:
        store: The store.
        spec: The project.
        rows: Of `cleaned_set`, with the columns `SEEN`, of several drops.
        versions: The versions they are from, by drop.
    """
    drops, images = store.withdrawn(spec.name)
    is_out = rows["drop_id"].isin(drops | store.superseded(spec.name)) | rows["image_id"].isin(images)
    waits = (rows["status"] == "review") & rows["clean_sha256"].notna()
    if waits.any():
        waits &= ~rows["clean_sha256"].isin(store.apart(spec.name).purged())
    return ~is_out & (waits | ((rows["status"] == "kept") & ~policies.refused(store, spec, rows, versions)))


def gone(store: Store, spec: ProjectSpec) -> set[str]:
    """Pictures that nobody can look at now, or once they are decided on: delivered, and in no drop as one that `may_be_seen`.

    They can come back: with another screening, another policy, or another drop.
    """
    drops, images = store.withdrawn(spec.name)
    delivered = set(store.load_all("raw_images", spec.name, drops)[0]["image_id"].dropna()) if drops else set()
    held = store.released("cleaned_set", spec.name)
    rows = store.read_all("cleaned_set", spec.name, held, SEEN)
    seen = set(rows.loc[may_be_seen(store, spec, rows, held), "image_id"].dropna())
    return images | ((delivered | set(rows["image_id"].dropna())) - seen)


def sampled(store: Store, spec: ProjectSpec, quality: pd.DataFrame, answers: pd.DataFrame | None = None) -> pd.DataFrame:
    """`label_quality` rows with the audit's sample as it is now: `auditing.drawn_anew`.

    Args:
        store: The store.
        spec: The project.
        quality: Rows of any batches.
        answers: Rows of adjudication batches; None: they are among `quality`.
    """
    from dataops_assets.stages import auditing

    answers = quality if answers is None else answers
    found = auditing.audited(quality, answers)
    lost = gone(store, spec) if found["found"].isna().any() else set()  # what is answered stays, so nobody has to ask for pictures
    is_more = auditing.answered_beside(quality, answers).any()
    return auditing.drawn_anew(quality, answers, lost, store.home.worker_key(), asked(store, spec) if is_more else None)


def asked(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """What adjudication was planned to ask of each batch: batch_id (whose question it is), image_id, attribute.

    Without what was asked only because it depends on another question of the same picture: nobody can tell whether it was drawn.
    """
    rows = plans(store, spec)
    rows = rows.loc[rows["kind"] == "adjudication", ["parent_batch_id", "image_id", "attributes"]]
    rows = rows.rename(columns={"parent_batch_id": "batch_id"}).assign(attribute=rows["attributes"].map(partial(_leading, spec)))
    return rows.drop(columns="attributes").explode("attribute").dropna().drop_duplicates(ignore_index=True)


def _leading(spec: ProjectSpec, attributes: str) -> list[str]:
    """Those of attributes joined by | that depend on none of the others."""
    names = attributes.split("|")
    known = {attribute.name for attribute in spec.ontology.attributes}
    led = {child for name in names if name in known for child in spec.ontology.depends_on(name)}
    return [name for name in names if name not in led]


def adjudicated(store: Store, spec: ProjectSpec) -> tuple[pd.DataFrame, dict[str, str]]:
    """`label_quality` rows of released adjudication batches, as audits read them, and their versions."""
    from dataops_assets.stages import auditing

    held = store.released("label_quality", spec.name)
    versions = {name: version for name, version in held.items() if name.startswith("adjudication-")}
    return store.read_all("label_quality", spec.name, versions, auditing.READ), versions


def settling(store: Store, spec: ProjectSpec, batch: str) -> dict[str, str]:
    """Released `label_quality` of the batches that a batch's questions went on to: batch -> version."""
    held = store.released("label_quality", spec.name)
    return {name: held[name] for name in sorted(children_of(plans(store, spec), batch) & held.keys())}


def audit_rows(
    store: Store, spec: ProjectSpec, candidates: Mapping[str, pd.DataFrame] | None = None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """`auditing.audits` of all released batches, and the versions of the adjudications that they come from.

    Args:
        store: The store.
        spec: The project.
        candidates: batch -> `label_quality` rows that count in place of what is released of it.
    """
    from dataops_assets.stages import auditing

    held, judged = candidates or {}, store.released("label_quality", spec.name)
    bought = {name: version for name, version in judged.items() if name.startswith(AUDITED) and name not in held}
    frames = [
        store.read_all("label_quality", spec.name, bought, auditing.READ),
        *(frame[auditing.READ] for frame in held.values()),
    ]
    quality = pd.concat(frames, ignore_index=True)
    answers, settled = adjudicated(store, spec)
    quality = sampled(store, spec, quality, answers)
    return auditing.audits(quality, auditing.audited(quality, answers)), settled


def failed_since(store: Store, spec: ProjectSpec) -> list[str]:
    """Approved batches of which the audit has found more wrong labels by now than their sampling plan allows: no release takes them.

    A waiver stands: somebody answers for these labels.
    """
    from dataops_assets.stages import auditing

    approvals = store.releases(spec.name, "approved_labels")
    made, _ = audit_rows(store, spec)
    lost = {str(row["batch_id"]) for row in made.to_dict("records") if auditing.was_accepted(row) is False}
    return sorted(lost & set(approvals.loc[approvals["outcome"] != "waived", "partition"]))
