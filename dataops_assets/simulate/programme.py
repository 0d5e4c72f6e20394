"""A made-up labelling programme: people of known skill answer batches, and the platform decides as it would for real.

Nobody looked at a picture: the truth is drawn, and so are the answers. It tells what the decisions are worth: how accurate what is
delivered is, how many answers it took, and whether a batch that is bad is found out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dataops_assets import manifest
from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels import acceptance, inference
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import auditing, batch_verdict, label_quality

START = pd.Timestamp("2026-11-02T09:00:00Z")


@dataclass(frozen=True)
class Person:
    """One simulated worker.

    Attributes:
        accuracy: Share of answers that are right.
        copies: Another worker whose answer it gives instead of its own.
        believes: True value -> the one it gives for it, whatever the picture shows: a wrong guideline.
    """

    name: str
    accuracy: float
    copies: str | None = None
    believes: Mapping[str, str] | None = None


GOOD = tuple(Person(f"good-{number}", accuracy) for number, accuracy in enumerate((0.96, 0.94, 0.92, 0.9, 0.88, 0.86)))
POOR = (Person("poor-1", 0.65), Person("poor-2", 0.7))
COLLUDING = (Person("pair-1", 0.6), Person("pair-2", 0.6, copies="pair-1"))
CREW = (*GOOD, *POOR)


@dataclass(frozen=True)
class Outcome:
    """What became of a programme.

    Attributes:
        delivered: Labels delivered: accepted by themselves, or settled by our own people.
        accuracy: Share of them that are right.
        automatic_accuracy: Share of those accepted by themselves.
        answers: Answers bought from vendors for pictures to deliver; gold comes on top.
        settled: Questions that our own people settled.
        audited: Questions that they answered to audit.
        verdicts: Of each batch, in order.
        estimate: Share of wrong labels that the audit found among those accepted by themselves, with its bounds.
    """

    delivered: int
    accuracy: float
    automatic_accuracy: float
    answers: int
    settled: int
    audited: int
    verdicts: tuple[batch_verdict.Verdict, ...]
    estimate: tuple[float, float, float]

    @property
    def answers_each(self) -> float:
        return self.answers / self.delivered


def misled(crew: Sequence[Person], believes: Mapping[str, str]) -> tuple[Person, ...]:
    """A crew that was given a wrong guideline."""
    return tuple(replace(person, believes=believes) for person in crew)


def run(spec: ProjectSpec, crew: Sequence[Person], batches: int, size: int, seed: int, n_gold: int, clever_gold: bool = True) -> Outcome:
    """Run production batches of one attribute, with rework, adjudication and audit.

    Args:
        spec: The project; its first attribute is asked. Prices, target, overlap and rounds are its own.
        crew: Who answers; each question by `overlap` of them drawn at random, and again by others.
        batches: How many.
        size: Pictures in each.
        seed: The same arguments give the same outcome.
        n_gold: Gold pictures in each batch.
        clever_gold: Whether gold holds values that the crew is misled about; otherwise it happens to lack them.
    """
    rng = np.random.default_rng(seed)
    key = hashlib.sha256(str(seed).encode()).digest()
    values = list(spec.ontology.attributes[0].values)
    past: list[pd.DataFrame] = []
    judged: list[pd.DataFrame] = []
    settled: list[pd.DataFrame] = []
    history: list[bool] = []
    verdicts, truths, answers = [], [], 0
    for number in range(1, batches + 1):
        batch = f"production-{number:03d}"
        tasks = _tasks(spec, batch, size, n_gold)
        truth = pd.Series(rng.choice(values, len(tasks)), index=tasks["image_id"])
        wrong = {value for person in crew for value in (person.believes or {})}
        if not clever_gold:
            gold_images = tasks.loc[tasks["is_gold"], "image_id"]
            truth[gold_images] = rng.choice([value for value in values if value not in wrong], len(gold_images))
        gold = tasks.loc[tasks["is_gold"], ["image_id"]].assign(attribute=spec.ontology.attributes[0].name)
        gold["label"] = gold["image_id"].map(truth)
        truths.append(truth)
        severity = acceptance.switch(history).severity
        rounds, held = [], None
        asked, before = tasks, list(past)
        for round_ in range(spec.labeling.rework_rounds + 1):
            labeled = _answers(asked, truth, crew, values, before, rng, spec)
            answers += int((~labeled["image_id"].isin(gold["image_id"])).sum())
            known = pd.concat([gold, *_gold_of(past)]) if past else gold
            quality = label_quality.assess(
                labeled, asked, known, spec, before=pd.concat(before) if before else None, held=held, severity=severity, key=key
            )
            rounds.append(quality)
            before.append(labeled.assign(gold=labeled["image_id"].map(gold.set_index("image_id")["label"])))
            held = pd.concat(rounds)
            again = quality[quality["decision"] == label_quality.REWORK]
            if again.empty:
                break
            asked = _rework(asked, again, number, round_ + 1)
        past = before
        quality = pd.concat(rounds)
        judged.append(quality)
        settled.append(_adjudicated(quality, truth))
        rows = auditing.audits(quality, auditing.audited(quality, settled[-1]))
        verdicts.append(batch_verdict.verdict(batch, rounds[0], rows, spec))
        passed = [auditing.was_accepted(row) for row in rows[rows["batch_id"] == batch].to_dict("records")]
        history.append(verdicts[-1].pay == "pay" and False not in passed)
    return _outcome(pd.concat(judged), pd.concat(settled), pd.concat(truths), answers, verdicts)


def fixed(spec: ProjectSpec, crew: Sequence[Person], images: int, seed: int, overlap: int) -> float:
    """Accuracy of the majority of so many answers to each question."""
    rng = np.random.default_rng(seed)
    values = list(spec.ontology.attributes[0].values)
    tasks = _tasks(spec, "production-001", images, 0).assign(overlap=overlap)
    truth = pd.Series(rng.choice(values, len(tasks)), index=tasks["image_id"])
    labeled = _answers(tasks, truth, crew, values, [], rng, spec)
    answers = labeled[["image_id", "worker_id", "label"]].set_axis(["task", "worker", "label"], axis=1)
    return float((inference.majority_vote(answers).labels == truth.sort_index()).mean())


def _tasks(spec: ProjectSpec, batch: str, size: int, n_gold: int) -> pd.DataFrame:
    images = [f"{batch}-{number:05d}" for number in range(size + n_gold)]
    frame = pd.DataFrame({"image_id": images, "is_gold": np.arange(size + n_gold) >= size}).assign(
        batch_id=batch, kind="production", task_id=[f"t{image}" for image in images], vendor=spec.labeling.production.name,
        overlap=spec.labeling.overlap, attributes=spec.ontology.attributes[0].name, round=0, ontology_version=spec.ontology.version,
    )  # fmt: skip
    return manifest.conform(frame, CONTRACTS["label_tasks"])


def _rework(tasks: pd.DataFrame, again: pd.DataFrame, number: int, round_: int) -> pd.DataFrame:
    batch = f"rework-{number:03d}{round_}"
    rows = tasks[tasks["task_id"].isin(again["task_id"])]
    more = rows["task_id"].map(again.set_index("task_id")["n_more"])
    return rows.assign(
        batch_id=batch, kind="rework", parent_batch_id=rows["batch_id"], task_id="t" + batch + rows["image_id"], overlap=more, round=round_,
        is_gold=False,
    )  # fmt: skip


def _answers(
    tasks: pd.DataFrame, truth: pd.Series, crew: Sequence[Person], values: Sequence[str], before: Sequence[pd.DataFrame],
    rng: np.random.Generator, spec: ProjectSpec,
) -> pd.DataFrame:  # fmt: skip
    """`labeled_batches` rows: each question to different people, none of whom has answered it yet."""
    seen: dict[str, set[str]] = {}
    for frame in before[-3:]:
        for image, worker in frame[["image_id", "worker_id"]].itertuples(index=False):
            seen.setdefault(image, set()).add(worker)
    by_name = {person.name: person for person in crew}
    rows = []
    for task_id, image, overlap in tasks[["task_id", "image_id", "overlap"]].itertuples(index=False):
        right = truth[image]
        own = {person.name: _answer(person, right, values, rng) for person in crew}
        free = [person.name for person in crew if person.name not in seen.get(image, ())]
        for place in rng.permutation(len(free))[: int(overlap)]:
            person = by_name[free[place]]
            given = own[person.copies] if person.copies is not None else own[person.name]
            rows.append((task_id, image, person.name, given))
    frame = pd.DataFrame(rows, columns=["task_id", "image_id", "worker_id", "label"])
    frame = frame.assign(
        batch_id=tasks["batch_id"].iloc[0], row_id=[f"r{number}" for number in range(len(frame))], status="accepted",
        attribute=spec.ontology.attributes[0].name, vendor=spec.labeling.production.name, submitted_at=START,
        ontology_version=spec.ontology.version,
    )  # fmt: skip
    return manifest.conform(frame, CONTRACTS["labeled_batches"])


def _answer(person: Person, right: str, values: Sequence[str], rng: np.random.Generator) -> str:
    if person.believes and right in person.believes:
        right = person.believes[right]
    if rng.random() < person.accuracy:
        return right
    others = [value for value in values if value != right]
    return others[int(rng.integers(len(others)))]


def _gold_of(past: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Gold of earlier batches: it still tells what their workers are worth."""
    rows = [frame[frame["gold"].notna()].drop_duplicates("image_id") for frame in past if "gold" in frame]
    return [frame[["image_id", "attribute", "gold"]].rename(columns={"gold": "label"}) for frame in rows]


def _adjudicated(quality: pd.DataFrame, truth: pd.Series) -> pd.DataFrame:
    """What our own people say, who are right: of what was left open, and of the audit."""
    wanted = (quality["decision"] == label_quality.ADJUDICATE) | quality["is_audit"].astype(bool)
    rows = quality[wanted].drop_duplicates(["image_id", "attribute"])
    label = rows["image_id"].map(truth)
    return rows.assign(batch_id="adjudication-001", kind="adjudication", decision="accept", label=label, is_audit=False)


def _outcome(
    quality: pd.DataFrame, settled: pd.DataFrame, truth: pd.Series, answers: int, verdicts: Sequence[batch_verdict.Verdict]
) -> Outcome:
    automatic = quality[label_quality.auto_accepted(quality)]
    own = settled.set_index("image_id")["label"]
    labels = pd.concat([automatic.set_index("image_id")["label"], own])
    labels = labels[~labels.index.duplicated(keep="last")]
    right = labels == truth.reindex(labels.index)
    is_right = automatic.set_index("image_id")["label"] == truth.reindex(automatic["image_id"])
    found = auditing.audits(quality, auditing.audited(quality, settled))
    pooled = acceptance.estimate(found)
    audited = int(quality["is_audit"].astype(bool).sum())
    return Outcome(
        len(labels), float(right.mean()), float(is_right.mean()) if len(is_right) else 1.0, answers, len(settled) - audited, audited,
        tuple(verdicts), (pooled.share or 0.0, pooled.lower, pooled.upper),
    )  # fmt: skip
