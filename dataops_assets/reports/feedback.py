"""What a vendor hears about a batch: a folder that can be sent as it is, `reports/<project>/feedback/<vendor>/<batch>/`.

Decided: it tells how the work was and how to do it better, and nothing that helps to find the gold. See docs/vendor_feedback.md.

- Single pictures are shown only where they aren't hidden gold: answers that differ from what the vendor's own people agreed on, or from
  what we settled later, and gold that is retired. So what is shown is never gold, and the danger lies in what is not shown: an answer in
  the minority that never comes up could be thought to be gold. Of these, therefore, a third is shown, drawn with a secret key, also
  of those that came back for rework (gold does too, `label_tasks.plan`) or that our own people settled.
  That an answer isn't shown makes it at most one and a half times as likely to be gold.
- What gold measured is told as rounded shares over at least `LEAST_ANSWERS` answers on `LEAST_PICTURES` pictures, without counts.
- Signs of behaviour are not told: they are questions to our own people, and whoever hears of them learns to avoid them.
- Workers are pseudonyms, which tell the vendor nothing: item ids do, by its own files. Other vendors, people of ours, prices, gates and
  paths stay out.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from dataops_assets.flow import gold as flow_gold
from dataops_assets.flow import history, labels
from dataops_assets.labels import boxes, references
from dataops_assets.labels.decisions import LIKENESS
from dataops_assets.manifest import Manifest, is_true
from dataops_assets.reports import feedback_page, pages
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import approved_labels, gold
from dataops_assets.stages import vendor_feedback as stage
from dataops_assets.store import Store

SHOWN_SHARE = 1 / 3  # of the mistakes that could be gold by the look of them
LEAST_ANSWERS, LEAST_PICTURES = 10, 5
PAIR_ANSWERS, PAIR_PICTURES = 5, 3
PICTURES, SIDE_PX = 240, 200
A_WORKER, PACKS = 24, 40
MISTAKE = ["worker_id", "task_id", "image_id", "attribute", "given", "right", "decided_by", "given_boxes", "right_boxes"]


@dataclass(frozen=True)
class Story:
    """All that a vendor may hear about a batch.

    Attributes:
        people: One row a worker and question, see `people`.
        known: One row a question: right_share and lower bound on known answers, null where too few to tell.
        agreement: One row a question: raw_agreement, alpha and bounds.
        confused: attribute, right, given, share of the times `right` was right; most frequent first.
        mistakes: Columns of MISTAKE; the boxes are `x, y, w, h` of those that are wrong and those that are missed, null for choices.
        yields: batch_id and share of questions accepted at once, of the vendor's production batches so far, oldest first.
        counts: What became of the questions: accepted, sent_back, ours.
        pictures: image_id -> JPEG.
        sizes: image_id -> width and height in pixels of the picture that was labelled.
    """

    spec: ProjectSpec
    vendor: str
    batch_id: str
    kind: str
    people: pd.DataFrame
    known: pd.DataFrame
    agreement: pd.DataFrame
    confused: pd.DataFrame
    mistakes: pd.DataFrame
    yields: pd.DataFrame
    counts: Mapping[str, int]
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def folder(store: Store, spec: ProjectSpec, vendor: str, batch: str) -> Path:
    return store.home.reports(spec.name) / "feedback" / vendor / batch


def path(spec: ProjectSpec, vendor: str, batch: str) -> str:
    """Address of the page below `reports/`."""
    return f"{spec.name}/feedback/{vendor}/{batch}/index.html"


def write(store: Store, spec: ProjectSpec, made: Manifest) -> list[Path]:
    """Write the folder of each external vendor of a batch (`vendor_feedback` manifest); returns the pages' paths."""
    found = []
    for vendor in sorted(made.frame["vendor"].unique()):
        known = spec.labeling.vendor(str(vendor))
        if known is not None and not known.internal:
            found.append(_write(store, spec, made, str(vendor)))
    return found


def rewrite(store: Store, spec: ProjectSpec, batch: str) -> None:
    """Write what was told about the batches that a batch sends answers back to: what was open there is settled now."""
    parents = history.parents_of(history.plans(store, spec), batch)  # a question may have come back in several rounds
    held = store.released("vendor_feedback", spec.name)
    for parent in sorted(parents & held.keys()):
        try:
            write(store, spec, store.read("vendor_feedback", spec.name, parent, held[parent]))
        except Exception:  # each by itself: a report must not hold up what it tells of
            logging.getLogger(__name__).exception("no feedback on %s", parent)


def _write(store: Store, spec: ProjectSpec, made: Manifest, vendor: str) -> Path:
    story = gather(store, spec, made, vendor)
    place, tmp = folder(store, spec, vendor, made.partition), store.home.tmp
    pages.put(place / "people.csv", feedback_page.people_sheet(story), tmp)
    pages.put(place / "mistakes.csv", feedback_page.mistakes_sheet(story), tmp)
    packs = feedback_page.packs(story, PACKS)
    for stale in (place / "packs").glob("*.html"):
        if stale.stem not in packs:
            stale.unlink()
    for worker, text in packs.items():
        pages.put(place / "packs" / f"{worker}.html", text, tmp)
    sent = store.home.requests(spec.name) / made.partition / "guidelines.html"
    if sent.is_file():  # so that links lead somewhere in a folder that is sent
        # without its examples: pictures on a copy would stay when they are withdrawn
        pages.put(place / "guidelines.html", pages.without_pictures(sent.read_text("utf-8")), tmp)
    return pages.put(place / "index.html", feedback_page.page(story, set(packs), sent.is_file()), tmp)


# ---- what is known, and may be told


def gather(store: Store, spec: ProjectSpec, made: Manifest, vendor: str) -> Story:
    """The story of a vendor's part of a batch."""
    labeled, quality, tasks = inputs(store, spec, made)
    answers = stage.compared(labeled, quality, tasks, spec, flow_gold.seen_before(store, spec, tasks_of(made, spec, tasks))[0])
    answers = answers[answers["vendor"] == vendor]
    registry, _ = flow_gold.registry(store, spec)
    approved = approved_labels.current(store.load_all("approved_labels", spec.name)[0])
    mistakes = shown(answers, tasks, approved, registry, store.home.worker_key())
    work = quality[~is_true(quality["is_gold"])].drop_duplicates(["task_id", "attribute"])
    decisions = work["decision"].value_counts()
    story = Story(
        spec, vendor, made.partition, str(tasks["kind"].iloc[0]), people(answers, made.frame[made.frame["vendor"] == vendor]),
        known(answers, spec.quality.likeness),
        _agreement(made.frame, vendor), confused(answers), mistakes, _yields(store, spec, vendor, made.partition),
        {word: int(decisions.get(name, 0)) for word, name in (("accepted", "accept"), ("sent_back", "rework"), ("ours", "adjudicate"))},
    )  # fmt: skip
    pictures, sizes = _pictures(store, spec, made.partition, mistakes)
    return replace(story, pictures=pictures, sizes=sizes)


def inputs(store: Store, spec: ProjectSpec, made: Manifest) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """`labeled_batches`, `label_quality` and `label_tasks` rows that a feedback was made from."""
    names = ("labeled_batches", "label_quality", "label_tasks")
    labeled, quality, tasks = (store.read_all(name, spec.name, _own(made, name)) for name in names)
    if tasks.empty:
        tasks = store.load("label_tasks", spec.name, made.partition).frame
    return labeled, quality, tasks


def _own(made: Manifest, asset: str) -> dict[str, str]:
    return {batch: version for batch, version in made.inputs.get(asset, {}).items() if batch == made.partition}


def tasks_of(made: Manifest, spec: ProjectSpec, tasks: pd.DataFrame) -> Manifest:
    """The tasks of a feedback's batch as a manifest."""
    return Manifest("label_tasks", spec.name, made.partition, tasks, version=_own(made, "label_tasks").get(made.partition, "-"))


def shown(answers: pd.DataFrame, tasks: pd.DataFrame, approved: pd.DataFrame, registry: pd.DataFrame, key: bytes) -> pd.DataFrame:
    """The mistakes that may be shown one by one: columns of MISTAKE.

    Args:
        answers: `vendor_feedback.compared` rows of one vendor in a batch.
        tasks: `label_tasks` rows of the batch.
        approved: `approved_labels.current` rows: what was settled since, by rework or by our own people.
        registry: `gold.registry` rows: no picture that may still be hidden is shown.
        key: A secret that draws the third of the mistakes that could be gold by the look of them.
    """
    hidden = set(registry.loc[registry["status"] != gold.RETIRED, "image_id"])
    spent = set(registry["image_id"]) - hidden
    secret = gold.hidden(tasks[~tasks["image_id"].isin(spent)])
    answers = answers.assign(**{name: None for name in ("given_boxes", "right_boxes") if name not in answers})
    is_answer = answers["label"].notna() | answers["given_boxes"].notna()
    rows = answers[is_answer & ~answers["task_id"].isin(secret) & ~answers["image_id"].isin(hidden)]
    unit = ["image_id", "attribute"]
    later = approved.drop_duplicates(unit).set_index(unit)[["label", "kind"]].rename(columns={"label": "final", "kind": "by"})
    rows = rows.join(later, on=unit)
    is_late = rows["final"].notna()
    right = rows["final"].where(is_late, rows["right"])
    by = rows["by"].map({"adjudication": "our own people", "pilot": "our own people"}).fillna("most of your people")
    rows = rows.assign(given=rows["label"], right=right, decided_by=by)
    is_drawn = rows["given_boxes"].notna()
    drawn = _wrong_boxes(rows[is_drawn], approved) if is_drawn.any() else rows.head(0)
    rows = rows[~is_drawn & rows["right"].notna() & (rows["given"] != rows["right"])]
    rows = pd.concat([frame for frame in (rows, drawn) if len(frame)], ignore_index=True) if len(drawn) else rows
    rows = rows.assign(
        order=[_draw(key, image, name) for image, name in zip(rows["image_id"], rows["attribute"], strict=True)],
        is_late=rows["decided_by"] == "our own people",
    )
    rows = rows[rows["image_id"].isin(spent) | (rows["order"] < SHOWN_SHARE)]
    rows = rows.sort_values(["worker_id", "is_late", "order"], ascending=[True, False, True], kind="stable")
    return rows[rows.groupby("worker_id").cumcount() < A_WORKER][MISTAKE].reset_index(drop=True)


def _wrong_boxes(rows: pd.DataFrame, approved: pd.DataFrame) -> pd.DataFrame:
    """Answers with boxes that differ from what was settled: `given` and `right` tell the objects that do, with their boxes."""
    late = rows[rows["final"].notna()]
    units = zip(late["image_id"], late["attribute"], strict=True)
    held = dict(list(approved[approved["image_id"].isin(set(late["image_id"]))].groupby(["image_id", "attribute"])))
    right = rows["right_boxes"].copy()
    right[late.index] = pd.Series([boxes.answer(held[unit]) for unit in units], index=late.index, dtype="object")
    rows = rows.assign(right_boxes=right, is_judged=right.notna(), answer=np.arange(len(rows)))
    objects = references.objects(rows)
    wrong = objects[~objects["is_right"]]
    told = {}
    for answer, mine in wrong.groupby("answer", sort=True):
        told[answer] = {
            name: (", ".join(sorted(mine.loc[is_there, label])) or "nothing here", list(mine.loc[is_there, box]))
            for name, label, box in (("given", "label", "given_box"), ("right", "right", "right_box"))
            for is_there in (mine[box].notna(),)
        }
    rows = rows[rows["answer"].isin(told.keys())].drop(columns="answer")
    for name in ("given", "right"):
        rows[name] = [held_[name][0] for held_ in told.values()]
        rows[f"{name}_boxes"] = pd.Series([held_[name][1] for held_ in told.values()], index=rows.index, dtype="object")
    return rows


def _draw(key: bytes, image_id: str, attribute: str) -> float:
    """A number from 0 to 1 for a question, the same in every batch that asks it, that nobody without the key can tell."""
    return int.from_bytes(hmac.digest(key, f"shown\0{image_id}\0{attribute}".encode(), "sha256")[:8], "big") / 2.0**64


def people(answers: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """One row a worker and question: answers given, agreement with what was settled and the commonest mistake, gold left out of both.

    Columns: worker_id, attribute, answers, agreement, seconds, right, given (null where no mistake comes up twice), before, change.
    """
    other = answers[answers["is_judged"] & ~answers["on_gold"]]
    who = ["worker_id", "attribute"]
    pairs = references.mistakes(other).groupby([*who, "right", "label"], sort=True).size().rename("times").reset_index()
    pairs = pairs[pairs["times"] > 1].sort_values([*who, "times"], ascending=[True, True, False], kind="stable").drop_duplicates(who)
    told = pairs.set_index(who)[["right", "label"]].rename(columns={"label": "given"})
    made = rows[["worker_id", "attribute", "n_labels", "agreement", "median_seconds", "change", "change_lower", "change_upper"]]
    made = made.rename(columns={"n_labels": "answers", "median_seconds": "seconds"})
    is_clear = (made["change_lower"] > 0) | (made["change_upper"] < 0)
    made = made.assign(change=made["change"].where(is_clear)).join(told, on=who)
    return made.drop(columns=["change_lower", "change_upper"]).sort_values(["attribute", "agreement", "worker_id"], ignore_index=True)


def known(answers: pd.DataFrame, believed: float = LIKENESS) -> pd.DataFrame:
    """By attribute: how often known answers were met, and its lower bound; only where there are enough of them to give none away."""
    rows = answers[answers["is_judged"] & answers["on_gold"]]
    made = gold.accuracy(rows, ["attribute"], believed)
    enough = (made["n"] >= LEAST_ANSWERS) & (rows.groupby("attribute")["image_id"].nunique() >= LEAST_PICTURES)
    return made.loc[enough, ["accuracy", "lower"]].round(2).reset_index()


def confused(answers: pd.DataFrame) -> pd.DataFrame:
    """attribute, right, given, share: what is taken for what, of the times it was right; most frequent first.

    On gold only what came up often and on several pictures; elsewhere what two people did: one person's habits are in `people`.
    """
    rows = references.by_class(answers)
    if "right_box" in rows:  # of a box where there is nothing, nobody can say how often it is drawn
        rows = rows[rows["right_boxes"].isna() | rows["right_box"].notna()]
    pair = ["attribute", "right", "label"]
    wrong = (
        rows[~is_true(rows["is_right"])]
        .groupby([*pair, "on_gold"], sort=True)
        .agg(times=("task_id", "size"), of=("image_id", "nunique"), people=("worker_id", "nunique"))
    )
    wrong = wrong.reset_index()
    told = wrong[(wrong["times"] >= PAIR_ANSWERS) & (wrong["of"] >= PAIR_PICTURES) | ~wrong["on_gold"] & (wrong["people"] >= 2)]
    whole = rows.groupby(["attribute", "right", "on_gold"]).size().rename("whole")
    told = told.join(whole, on=["attribute", "right", "on_gold"])
    # gold shows what most of them get wrong, which they can't see themselves: the larger of the two shares counts
    told = (
        told.assign(share=(told["times"] / told["whole"]).round(2)).sort_values("share", kind="stable").drop_duplicates(pair, keep="last")
    )
    told = told[told["share"] >= 0.01].rename(columns={"label": "given"})
    return told.sort_values(["share", "attribute", "right", "given"], ascending=[False, True, True, True])[
        ["attribute", "right", "given", "share"]
    ].reset_index(drop=True)


def _agreement(rows: pd.DataFrame, vendor: str) -> pd.DataFrame:
    columns = ["attribute", "raw_agreement", "alpha", "alpha_lower", "alpha_upper"]
    return rows.loc[rows["vendor"] == vendor, columns].drop_duplicates("attribute").reset_index(drop=True)


def _yields(store: Store, spec: ProjectSpec, vendor: str, batch: str) -> pd.DataFrame:
    """Share of questions accepted at once in the vendor's production batches up to this one."""
    quality = history.judged_on(store, spec, "production")
    rows = quality[(quality["vendor"] == vendor) & ~is_true(quality["is_gold"])].drop_duplicates(["task_id", "attribute"])
    order = history.planned_order(store, spec)
    made = (rows["decision"] == "accept").groupby(rows["batch_id"]).mean().rename("share").reset_index()
    made = made.assign(order=made["batch_id"].map(order)).sort_values("order")
    return made.loc[made["order"] <= order.get(batch, -1), ["batch_id", "share"]].tail(12).reset_index(drop=True)


def _pictures(store: Store, spec: ProjectSpec, batch: str, mistakes: pd.DataFrame) -> tuple[dict[str, bytes], dict[str, tuple[int, int]]]:
    """Small pictures of the mistakes as policy shows them now, faces covered, and their sizes; what was withdrawn isn't there."""
    from dataops_assets.imaging.thumbnails import thumbnails

    usable = labels.may_show(store, spec, store.only("batch_plans", spec.name, batch).frame)
    column = "sha256" if "kind" in usable else "clean_sha256"
    now = usable.drop_duplicates("image_id").set_index("image_id")[column]
    wanted = [image for image in mistakes["image_id"].drop_duplicates() if isinstance(now.get(image), str)][:PICTURES]
    made = (
        thumbnails(list(dict.fromkeys(now[image] for image in wanted)), store.blobs, spec.sources.limits.pixels, SIDE_PX) if wanted else {}
    )
    rows = usable.drop_duplicates("image_id")
    sizes = {image: (int(w), int(h)) for image, w, h in zip(rows["image_id"], rows["width_px"], rows["height_px"], strict=True)}
    seen = {image: made[now[image]] for image in wanted if now[image] in made}
    return seen, {image: sizes[image] for image in seen}
