"""One answer a question out of several people's, with the probability that it is right: for choices, several choices, and boxes.

The methods are those of `labels.inference`; their posteriors are discounted for errors that are alike (`decisions.discounted`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from dataops_assets.labels import boxes, decisions, inference
from dataops_assets.labels.inference.answers import Result, read, report
from dataops_assets.labels.inference.choice import FEWEST
from dataops_assets.labels.inference.steps import by_odds, shares_of_votes, tally
from dataops_assets.ontology import CANT_TELL, NOT_APPLICABLE

Floats = npt.NDArray[np.float64]

ABSENT = "-"  # what a worker says of an object that it didn't draw
ALONE = (CANT_TELL, NOT_APPLICABLE)  # answers that stand for themselves in a choice of several
OTHER = "\x1fother"  # stands for what nobody said, where only one label is known
_YES, _NO = "yes", "no"
_BELIEVED = 20.0  # answers that what is believed of a worker counts for
LEAST_ALIKE = 0.75  # how sure a model must be, on average, of questions that everybody answered alike


@dataclass(frozen=True)
class Beliefs:
    """How answers are weighed.

    Attributes:
        method: `auto`, or the name of a function in `labels.inference`.
        accuracy: How often one answer is right, believed until the answers show it.
        likeness: How alike errors are, believed until gold shows it.
    """

    method: str = "auto"
    accuracy: float = 0.9
    likeness: float = decisions.LIKENESS


@dataclass(frozen=True)
class Consensus:
    """What the answers to one attribute say.

    Attributes:
        found: By task: `label`, `posterior` (chance that the label is right), `is_tie`.
        skill: How often an answer is right, on average over answers.
        likeness: How alike errors are, as it was used.
        chosen: The method.
        notes: What was met in the answers that somebody should know of (`inference.Result`).
    """

    found: pd.DataFrame
    skill: float
    likeness: float
    chosen: str
    notes: tuple[str, ...] = ()


def of_choices(answers: pd.DataFrame, gold: pd.Series | None, values: Sequence[str], beliefs: Beliefs) -> Consensus:
    """The answer to each question with one answer.

    Args:
        answers: `task`, `worker`, `label`.
        gold: task -> label.
        values: Answers that are allowed.
        beliefs: How to weigh them.
    """
    if answers.empty:
        return Consensus(_nothing(), beliefs.accuracy, beliefs.likeness, "no answers")
    known = None if gold is None else gold[gold.index.isin(answers["task"])].dropna()
    result, blind = _infer(answers, known, values, beliefs)
    per_task = answers.groupby("task")["worker"].nunique(dropna=False).clip(lower=1)
    alike = beliefs.likeness
    raw = result.posteriors.to_numpy()
    if not result.chosen.startswith("majority vote"):  # its posteriors are shares of votes: they are not to be discounted
        if blind is not None and known is not None and len(known):
            truth = blind.columns.get_indexer(pd.Index(known.reindex(blind.index)))
            alike = decisions.likeness(blind.to_numpy(), per_task.reindex(blind.index), truth, beliefs.likeness)
        raw = decisions.discounted(raw, per_task.reindex(result.posteriors.index), alike)
    found = pd.DataFrame({"label": result.labels, "posterior": raw.max(axis=1), "is_tie": result.is_tie})
    weights = result.workers["n_labels"].to_numpy(dtype=np.float64)
    right = float((result.workers["skill"] * weights).sum())
    skill = (right + beliefs.accuracy * _BELIEVED) / (float(weights.sum()) + _BELIEVED)
    return Consensus(found, skill, alike, result.chosen, result.notes)


def _infer(answers: pd.DataFrame, gold: pd.Series | None, values: Sequence[str], beliefs: Beliefs) -> tuple[Result, pd.DataFrame | None]:
    """A method's result, and the posteriors of the gold tasks as they were before it saw the gold."""
    if beliefs.method != "auto":
        method = getattr(inference, beliefs.method)
        has_gold = gold is not None and len(gold) > 0
        blind = method(answers).posteriors.loc[gold.index] if has_gold and gold is not None else None
        return method(answers, gold), blind
    if len(answers) >= FEWEST:  # fewer teach little, gold or not
        result = inference.auto(answers, gold)
        if not result.chosen.startswith("majority vote") and (result.blind is not None or _tells_something(answers, result)):
            return result, result.blind
    blind = believed(answers, None, values, beliefs.accuracy).posteriors.loc[gold.index] if gold is not None and len(gold) else None
    return believed(answers, gold, values, beliefs.accuracy), blind


def _tells_something(answers: pd.DataFrame, result: Result) -> bool:
    """Whether a model holds that people who answer alike are right.

    Where nearly all questions have the same answer, people who give it whatever they see foretell answers as well, and a model without
    gold may settle on that: then what everybody agrees on is no surer than the rest.
    """
    given = answers.groupby("task")["label"].agg(["nunique", "size"])
    alike = given.index[(given["nunique"] == 1) & (given["size"] > 1)]
    return not len(alike) or float(result.posteriors.loc[alike].max(axis=1).mean()) >= LEAST_ALIKE


def believed(answers: pd.DataFrame, gold: pd.Series | None, values: Sequence[str], accuracy: float, n_iter: int = 30) -> Result:
    """One coin a worker with a strong prior: where answers are too few to tell good workers from bad ones.

    A worker is believed to be right with `accuracy`, which counts for 20 answers of its own; what it gives instead of the right label is
    any other alike. Expectation-maximization, as `inference.one_coin`.

    Args:
        answers: `task`, `worker`, `label`.
        gold: task -> label.
        values: Labels there are, beside those that were given.
        accuracy: Between .01 and .99.
        n_iter: At most so many rounds.
    """
    votes = read(answers, gold)
    unseen = sorted(set(values) - set(votes.labels)) or ([] if len(votes.labels) > 1 else [OTHER])
    n_others, n_labels = len(unseen), len(votes.labels) + len(unseen)  # labels that nobody gave can still be the right ones
    accuracy = min(max(accuracy, 0.01), 0.99)
    skill = np.full(votes.n_workers, accuracy)
    n_votes = tally(votes.worker, votes.weight, votes.n_workers)
    posteriors = shares_of_votes(votes)
    never = np.zeros(len(votes.tasks))
    for _ in range(n_iter):
        odds = np.log(skill * (n_labels - 1) / (1 - skill))[votes.worker]
        by_odds(votes, odds, np.zeros(len(votes.labels)), posteriors)
        if n_others:
            # against the label with one vote's odds e^s, each label nobody gave has e^0
            score = tally(votes.task, odds * votes.weight * (posteriors.argmax(axis=1)[votes.task] == votes.label), len(votes.tasks))
            top = posteriors.max(axis=1)
            never = n_others * top * np.exp(-score)
            never[votes.known >= 0] = 0
            posteriors /= (1 + never)[:, None]
        right = tally(votes.worker, posteriors[votes.task, votes.label] * votes.weight, votes.n_workers)
        before, skill = skill, np.clip((right + accuracy * _BELIEVED) / (n_votes + _BELIEVED), 0.01, 0.99)
        if np.abs(before - skill).max() < 1e-6:
            break
    made = report(votes, posteriors, "one coin, believed")
    each = never / (1 + never) / max(n_others, 1)
    rest = pd.DataFrame(dict.fromkeys(unseen, each), index=made.posteriors.index)
    return replace(made, posteriors=pd.concat([made.posteriors, rest], axis=1))


def of_several(answers: pd.DataFrame, gold: pd.Series | None, values: Sequence[str], beliefs: Beliefs) -> Consensus:
    """The answer to each question with several answers: every value by itself, in or not.

    The posterior is that of all values together, their product. `cant_tell` and `not_applicable` stand alone: where one is in, it is the
    label. Where no value is in, there is no label.
    """
    if answers.empty:
        return Consensus(_nothing(), beliefs.accuracy, beliefs.likeness, "no answers")
    sets = answers["label"].str.split("|")
    given = sorted({value for held in sets for value in held})
    known = None if gold is None else gold[gold.index.isin(answers["task"])].dropna()
    sure, skills, likenesses, chosen, notes = {}, [], [], [], {}
    for value in given:
        pattern = pd.Series([value in held for held in sets], index=answers.index).map({True: _YES, False: _NO})
        truth = None if known is None else known.str.split("|").map(lambda held, value=value: _YES if value in held else _NO)
        one = of_choices(answers.assign(label=pattern), truth, (_YES, _NO), beliefs)
        sure[value] = one.found["posterior"].where(one.found["label"] == _YES, 1 - one.found["posterior"])
        skills.append(one.skill)
        likenesses.append(one.likeness)
        chosen.append(one.chosen)
        notes[value] = one.notes
    share = pd.DataFrame(sure)
    is_in = share.to_numpy() > 0.5
    alone = [place for place, value in enumerate(given) if value in ALONE]
    for place in alone:
        is_in[is_in[:, place]] = np.arange(len(given)) == place
    labels = pd.Series([None] * len(share), index=share.index, dtype="object")
    patterns, codes = np.unique(is_in, axis=0, return_inverse=True)
    names = ["|".join(value for value, held in zip(given, pattern, strict=True) if held) or None for pattern in patterns]
    labels[:] = np.array(names, dtype=object)[np.asarray(codes).ravel()]
    posterior = np.maximum(share, 1 - share).prod(axis=1)
    found = pd.DataFrame({"label": labels, "posterior": posterior, "is_tie": labels.isna()})
    shared = tuple(note for note in notes[given[0]] if all(note in met for met in notes.values()))
    own = tuple(f"{value}: {note}" for value, met in notes.items() for note in met if note not in shared)
    return Consensus(found, float(np.mean(skills)), float(np.mean(likenesses)), max(set(chosen), key=chosen.count), shared + own)


def by_agreement(answers: pd.DataFrame, is_several: bool) -> Consensus:
    """What our own people say: the majority's label, and the share of answers that are equal to it."""
    if answers.empty:
        return Consensus(_nothing(), 1.0, 0.0, "no answers")
    if not is_several:
        result = inference.majority_vote(answers)
        found = pd.DataFrame({"label": result.labels, "posterior": result.posteriors.max(axis=1), "is_tie": result.is_tie})
        return Consensus(found, 1.0, 0.0, "majority vote", result.notes)
    n = answers.groupby("task").size()
    parts = answers.assign(label=answers["label"].str.split("|")).explode("label")
    shares = parts.groupby(["task", "label"]).size().unstack(fill_value=0).div(n, axis=0)
    label = pd.Series(
        ["|".join(sorted(shares.columns[row > 0.5])) or None for row in shares.to_numpy()], index=shares.index, dtype="object"
    )
    ordered = answers["label"].str.split("|").map(lambda held: "|".join(sorted(held)))
    same = (ordered == answers["task"].map(label)).groupby(answers["task"]).mean()
    return Consensus(pd.DataFrame({"label": label, "posterior": same, "is_tie": label.isna()}), 1.0, 0.0, "majority vote")


@dataclass(frozen=True)
class Drawn:
    """What the boxes of one attribute say.

    Attributes:
        objects: A row an object that is there: `task`, `label`, `posterior`, `x`, `y`, `w`, `h`; by task and place.
        tasks: By task: `posterior` (chance that all of it is right), `left_out` (objects drawn by some that are not there), `is_tie`.
        skill: See `Consensus`; likewise `likeness`, `chosen` and `notes` (whose tasks are objects).
    """

    objects: pd.DataFrame
    tasks: pd.DataFrame
    skill: float
    likeness: float
    chosen: str
    notes: tuple[str, ...] = ()


def of_boxes(drawn: boxes.Drawings, gold: boxes.Drawings, values: Sequence[str], beliefs: Beliefs | None) -> Drawn:
    """Objects out of several people's boxes.

    Boxes of a picture are matched into objects (`boxes.cluster`). Then each object is a question: a worker who drew it says its label,
    one who didn't says that it isn't there; a picture in which nobody drew anything is one such question, too. An object is there where
    a label is likelier than that: a quorum in which good workers count more. It gets the median box of those who drew it. The chance
    that a picture is right as a whole is the product over its objects.

    Args:
        drawn: What people drew.
        gold: What is right: one answer a picture.
        values: Labels there are.
        beliefs: How answers are weighed; None: by agreement, an object needs more than half.
    """
    object_of, owner, medians = boxes.cluster(drawn)
    n_objects = np.bincount(owner, minlength=len(drawn.pictures))
    n_questions = np.maximum(n_objects, 1)
    first = np.cumsum(n_questions) - n_questions
    question = boxes.ranges(first, n_objects)[0]  # of each object
    picture = np.repeat(np.arange(len(n_questions)), n_questions)  # of each question, likewise `is_object`
    is_object = np.zeros(len(picture), dtype=bool)
    is_object[question] = True
    answer, asked = boxes.ranges(drawn.first[picture], np.diff(drawn.first)[picture])
    label = np.full(len(answer), ABSENT, dtype=object)
    n_votes = np.bincount(asked, minlength=len(picture))
    begins = np.cumsum(n_votes) - n_votes - drawn.first[picture]  # of each question: an answer's number added, the place of its vote
    label[begins[question[object_of]] + drawn.answer] = drawn.label
    votes = pd.DataFrame({"task": asked, "worker": drawn.worker[answer], "label": label})
    truth = _known_objects(drawn, gold, owner, medians, question, picture, is_object)
    one = by_agreement(votes, False) if beliefs is None else of_choices(votes, truth, (*values, ABSENT), beliefs)
    found = one.found.reindex(np.arange(len(picture)))
    posterior, said = found["posterior"].to_numpy(dtype=np.float64), found["label"].to_numpy(dtype=object)
    if beliefs is None:
        said = np.where(posterior > 0.5, said, ABSENT)
    is_there = is_object & (said != ABSENT)
    there = is_there[question]
    objects = pd.DataFrame({"task": drawn.pictures[owner[there]], "label": said[is_there], "posterior": posterior[is_there]})
    objects = objects.assign(**{side: medians[there, number] for number, side in enumerate(boxes.SIDES)})
    objects = objects.sort_values(["task", *boxes.SIDES], kind="stable", ignore_index=True)
    per_picture = pd.DataFrame({"left_out": is_object & ~is_there, "is_tie": found["is_tie"].to_numpy(dtype=bool), "posterior": posterior})
    groups = per_picture.groupby(picture)
    if beliefs is not None:
        whole = groups["posterior"].prod()
    else:  # by agreement the weakest object that is there decides, and one that most didn't draw doesn't count beside it
        is_beside = per_picture["left_out"] & (np.bincount(picture[is_there], minlength=len(n_questions)) > 0)[picture]
        whole = per_picture["posterior"].where(~is_beside).groupby(picture).min()
    tasks = pd.DataFrame({"posterior": whole, "left_out": groups["left_out"].sum(), "is_tie": groups["is_tie"].any()})
    return Drawn(objects, tasks.set_axis(drawn.pictures), one.skill, one.likeness, one.chosen, one.notes)


def _known_objects(
    drawn: boxes.Drawings, gold: boxes.Drawings, owner: npt.NDArray[np.int64], medians: Floats, question: npt.NDArray[np.int64],
    picture: npt.NDArray[np.int64], is_object: npt.NDArray[np.bool_],
) -> pd.Series:  # fmt: skip
    """question -> the label of the gold object that it is of, or that it isn't there; of pictures that are gold."""
    place = drawn.pictures.get_indexer(gold.pictures)[gold.picture]  # of each gold answer, the picture that was drawn on
    known = np.full(len(picture), None, dtype=object)
    is_known = np.zeros(len(drawn.pictures), dtype=bool)
    is_known[place[place >= 0]] = True
    known[is_known[picture] & is_object] = ABSENT
    is_empty = np.zeros(len(drawn.pictures), dtype=bool)
    is_empty[place[(place >= 0) & (gold.n_boxes == 0)]] = True
    known[is_empty[picture] & ~is_object] = ABSENT
    found, right = boxes.matched(medians, gold.sides, owner, place[gold.answer])
    known[question[found]] = gold.label[right]
    return pd.Series(known, dtype="object").dropna()


def _nothing() -> pd.DataFrame:
    return pd.DataFrame({"label": pd.Series(dtype="object"), "posterior": pd.Series(dtype="float64"), "is_tie": pd.Series(dtype=bool)})
