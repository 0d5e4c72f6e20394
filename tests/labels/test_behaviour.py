"""Signs of behaviour: found where somebody cheats, silent where people are honest, and never a verdict by one of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dataops_assets.labels import behaviour, copying

VALUES = 4


def crew(seed: int, pictures: int = 400, workers: int = 8, overlap: int = 3, gold: float = 0.15) -> dict[str, np.ndarray]:
    """A batch as arrays, pictures x workers where it says so: honest people whose mistakes resemble each other on hard pictures."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, VALUES, pictures)
    wrong = rng.random((pictures, workers)) < np.clip(rng.beta(2, 12, workers) * rng.gamma(1, 1, (pictures, 1)), 0, 0.9)
    taken = np.where(rng.random((pictures, workers)) < 0.6, (truth[:, None] + 1) % VALUES, rng.integers(0, VALUES, (pictures, workers)))
    return {
        "who": np.argsort(rng.random((pictures, workers)), axis=1)[:, :overlap],
        "truth": truth,
        "label": np.where(wrong, taken, truth[:, None]),
        "seconds": 6 * np.exp(rng.normal(0, 0.2, workers) + rng.normal(0, 0.4, (pictures, workers))),
        "gold": rng.random(pictures) < gold,
        "order": np.arange(pictures),
        "prelabel": np.where(rng.random(pictures) < 0.15, (truth + 1) % VALUES, truth),
    }


def answers(made: dict[str, np.ndarray], with_prelabel: bool = False) -> pd.DataFrame:
    """`references.compare` rows; elsewhere than on gold the majority is what is right, as it is in a batch."""
    pictures, overlap = made["who"].shape
    rows, columns = np.repeat(np.arange(pictures), overlap), made["who"].ravel()
    given = made["label"][rows, columns]
    votes = np.zeros((pictures, VALUES))
    np.add.at(votes, (rows, given), 1)
    right = np.where(made["gold"], made["truth"], votes.argmax(axis=1))
    known = made["gold"] | (3 * votes.max(axis=1) >= 2 * overlap)
    frame = pd.DataFrame({
        "worker_id": [f"w{number}" for number in columns], "task_id": [f"t{number:04d}" for number in rows], "attribute": "colour",
        "label": [f"v{value}" for value in given], "seconds": made["seconds"][rows, columns],
        "submitted_at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(made["order"][rows] * 60, unit="s"),
        "right": np.where(known[rows], [f"v{value}" for value in right[rows]], None), "on_gold": made["gold"][rows],
        "is_judged": known[rows], "is_right": known[rows] & (given == right[rows]),
    })  # fmt: skip
    return frame.assign(prelabel=[f"v{value}" for value in made["prelabel"][rows]]) if with_prelabel else frame


def signs(frame: pd.DataFrame, worker: str = "w0") -> set[str]:
    found = behaviour.flags(frame)
    return set(found.loc[found["worker_id"] == worker, "signal"])


def test_adjusted_p_values_are_those_of_benjamini_and_hochberg() -> None:
    q = behaviour.false_discovery([0.01, 0.04, np.nan, 0.03, 0.005])
    assert q[[0, 1, 3, 4]] == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert np.isnan(q[2])


def test_honest_people_are_left_in_peace() -> None:
    found = [behaviour.flags(answers(crew(seed), with_prelabel=True)) for seed in range(25)]
    assert sum(rows["worker_id"].nunique() for rows in found) <= 2  # of 200
    assert not any(behaviour.asks_for_a_look(rows) for rows in found)


def test_too_fast_says_how_often_and_how_fast() -> None:
    made = crew(1)
    made["seconds"][:, 0] *= 0.1
    found = behaviour.flags(answers(made))
    row = found[found["worker_id"] == "w0"].iloc[0]
    assert (row["signal"], row["group"]) == ("too_fast", "time")
    assert row["n"] > 100 and row["lower"] > 0.95
    assert "less than 30% of the usual time" in row["sentence"] and len(row["examples"].split("|")) == 5


def test_always_the_same_answer_is_told_from_a_batch_that_is_mostly_that() -> None:
    made = crew(2)
    made["label"][:, 0] = 0
    assert signs(answers(made)) == {"same_answer"}
    skewed = crew(2)
    skewed["truth"][:] = 0
    skewed["label"][:] = 0  # nothing else is there
    assert behaviour.flags(answers(skewed)).empty


def test_a_pair_that_copies_is_found_though_it_outvotes_the_honest_third() -> None:
    made = crew(3, pictures=900)
    made["label"][:, 3] = made["label"][:, 2]
    frame = answers(made)
    found = behaviour.flags(frame)
    pairs = found[found["signal"] == "copies"]
    assert set(zip(pairs["worker_id"], pairs["other"], strict=True)) == {("w2", "w3"), ("w3", "w2")}
    outvoted = frame[
        frame["task_id"].isin(set(frame.loc[frame["worker_id"] == "w2", "task_id"]) & set(frame.loc[frame["worker_id"] == "w3", "task_id"]))
    ]
    third = outvoted[~outvoted["worker_id"].isin(["w2", "w3"])]
    assert third["is_right"].mean() < 0.85  # by the consensus it is the third who errs
    assert pairs["expected"].iloc[0] < pairs["value"].iloc[0] == 1.0
    assert not behaviour.asks_for_a_look(found)


def test_skilled_people_agree_without_copying() -> None:
    made = crew(4, pictures=900)
    made["label"][:, 0] = made["label"][:, 1] = made["truth"]
    assert "copies" not in signs(answers(made))


def test_two_who_always_say_the_same_are_no_copyists() -> None:
    made = crew(5, pictures=900)
    made["label"][:, 0] = made["label"][:, 1] = 0
    found = behaviour.flags(answers(made))
    assert set(found["signal"]) == {"same_answer"} and set(found["worker_id"]) == {"w0", "w1"}


def test_shared_mistakes_are_counted_where_both_are_wrong() -> None:
    frame = pd.DataFrame({
        "task_id": ["a", "a", "b", "b", "c", "c"], "attribute": "colour", "worker_id": ["x", "y"] * 3,
        "label": ["1", "1", "1", "2", "3", "3"], "is_judged": True, "is_right": [False, False, False, False, True, True],
    })  # fmt: skip
    assert copying.shared_errors(frame, "x", "y") == (2, 1, ["a"])


def test_work_that_gets_worse_is_seen_and_work_that_gets_better_is_not() -> None:
    made = crew(6, pictures=900)
    rng = np.random.default_rng(0)
    lost = rng.random(900) < made["order"] / 900 * 0.7
    made["label"][lost, 0] = rng.integers(0, VALUES, int(lost.sum()))
    assert "gets_worse" in signs(answers(made))
    made["order"] = made["order"][::-1]
    assert "gets_worse" not in signs(answers(made))


def test_whoever_takes_over_wrong_prelabels_is_seen() -> None:
    made = crew(7, pictures=900)
    made["label"][:, 0] = made["prelabel"]
    assert "follows_prelabel" in signs(answers(made, with_prelabel=True))
    assert "follows_prelabel" not in signs(answers(made))  # nothing was shown


def test_leaked_gold_shows_twice_and_easy_gold_does_not() -> None:
    made = crew(8, pictures=900, gold=0.2)
    rng = np.random.default_rng(0)
    careless = rng.random(900) < 0.35
    made["label"][careless, 0] = rng.integers(0, VALUES, int(careless.sum()))
    made["label"][made["gold"], 0] = made["truth"][made["gold"]]
    made["seconds"][made["gold"], 0] *= 0.3
    found = behaviour.flags(answers(made))
    assert signs(answers(made)) == {"better_on_gold", "fast_on_gold"}
    assert behaviour.asks_for_a_look(found) == {"w0"}
    easy = crew(8, pictures=900, gold=0.2)
    easy["label"][easy["gold"]] = easy["truth"][easy["gold"], None]
    easy["seconds"][easy["gold"]] *= 0.5
    assert not behaviour.flags(answers(easy))["signal"].isin(["better_on_gold", "fast_on_gold"]).any()


def test_one_sign_or_two_of_a_kind_never_ask_for_a_look() -> None:
    rows = pd.DataFrame({"worker_id": ["a", "b", "b", "c", "c"], "group": ["time", "answers", "answers", "time", "gold"]})
    assert behaviour.asks_for_a_look(rows) == {"c"}


def test_the_order_of_the_rows_makes_no_difference() -> None:
    made = crew(9)
    made["label"][:, 0] = 0
    made["seconds"][:, 0] *= 0.1
    frame = answers(made)
    mixed = frame.sample(frac=1, random_state=1)
    first, second = behaviour.flags(frame), behaviour.flags(mixed)
    pd.testing.assert_frame_equal(first.drop(columns="examples"), second.drop(columns="examples"))
    assert behaviour.asks_for_a_look(first) == {"w0"}


@pytest.mark.parametrize("missing", ["seconds", "submitted_at"])
def test_answers_without_times_are_judged_by_the_rest(missing: str) -> None:
    frame = answers(crew(10))
    frame[missing] = frame[missing].where(frame["task_id"] == "")
    behaviour.flags(frame)
    assert behaviour.flags(frame.head(0)).empty


def test_what_is_expected_of_a_pair_is_what_its_skills_make_of_it() -> None:
    rng = np.random.default_rng(1)
    skill = np.array([0.95, 0.9, 0.85, 0.8, 0.75, 0.7])
    truth = rng.integers(0, 3, 3000)
    given = np.where(rng.random((3000, 6)) < skill, truth[:, None], (truth[:, None] + rng.integers(1, 3, (3000, 6))) % 3)
    frame = pd.DataFrame({
        "task_id": np.repeat([f"t{n}" for n in range(3000)], 6), "attribute": "colour",
        "worker_id": np.tile([f"w{n}" for n in range(6)], 3000),
        "label": given.ravel().astype(str),
    })  # fmt: skip
    pairs = copying.pairs(frame)
    first, second = (skill[pairs[side].str[1:].astype(int)] for side in ("first", "second"))
    assert np.abs(pairs["expected"] - (first * second + (1 - first) * (1 - second) / 2)).max() < 0.02
    assert (pairs["p_value"] > 0.001).all() and not pairs["is_large"].any()
