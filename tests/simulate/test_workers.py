import io
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from dataops_assets.simulate import workers

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
COLOURS = ("red", "blue", "green", "black", "white", "yellow")
HEMS = ("mini", "knee", "maxi")


def request(folder: Path, n: int, wanted: int = 3) -> dict[str, dict[str, str]]:
    lines = [f"t{number:04d},images/t{number:04d}.jpg,colour|hemline,{wanted}" for number in range(n)]
    (folder / "tasks.csv").write_text("\n".join(["item_id,file,attributes,answers_wanted", *lines]) + "\n")
    return {f"t{number:04d}": {"colour": COLOURS[number % 6], "hemline": HEMS[number % 3]} for number in range(n)}


def answers(text: str, truth: dict[str, dict[str, str]]) -> pd.DataFrame:
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    frame["right"] = [truth[item][attribute] for item, attribute in zip(frame["item_id"], frame["attribute"], strict=True)]
    return frame


def test_every_item_gets_as_many_different_workers_as_it_wants(tmp_path: Path) -> None:
    truth = request(tmp_path, 40)
    frame = answers(workers.label(tmp_path, truth, workers.SPAMMED_CREW, 1, AT), truth)
    assert tuple(frame.columns[:10]) == workers.COLUMNS
    counts = frame.groupby(["item_id", "attribute"])["annotator"].agg(["size", "nunique"])
    assert len(counts) == 80
    assert (counts == 3).all(axis=None)


def test_people_are_as_good_as_they_are_said_to_be(tmp_path: Path) -> None:
    truth = request(tmp_path, 900)
    frame = answers(workers.label(tmp_path, truth, workers.SPAMMED_CREW, 2, AT), truth)
    accuracy = (frame["label"] == frame["right"]).groupby(frame["annotator"]).mean()
    assert accuracy.filter(like="good").between(0.95, 0.99).all()
    assert 0.76 < accuracy["hasty-1"] < 0.84
    assert accuracy["spammer-1"] < 0.4
    assert frame[frame["annotator"] == "spammer-1"].groupby("attribute")["label"].nunique().eq(1).all()
    speed = frame["seconds"].astype(float).groupby(frame["annotator"]).median()
    assert speed["hasty-1"] < speed["good-1"] / 2


def test_experts_are_never_wrong(tmp_path: Path) -> None:
    truth = request(tmp_path, 50, 2)
    frame = answers(workers.label(tmp_path, truth, workers.EXPERTS, 1, AT), truth)
    assert (frame["label"] == frame["right"]).all()


def test_mistakes_are_the_ones_people_make(tmp_path: Path) -> None:
    truth = request(tmp_path, 600, 1)
    frame = answers(workers.label(tmp_path, truth, [workers.HASTY], 3, AT), truth)
    wrong = frame[(frame["label"] != frame["right"]) & (frame["right"] == "mini")]
    assert len(wrong) > 20
    assert (wrong["label"] == "knee").mean() > 0.7


def test_answers_come_one_after_the_other_and_none_after_the_end(tmp_path: Path) -> None:
    truth = request(tmp_path, 30)
    frame = answers(workers.label(tmp_path, truth, workers.CREW, 1, AT), truth)
    frame["submitted_at"] = pd.to_datetime(frame["submitted_at"], utc=True)
    assert frame["submitted_at"].max() == pd.Timestamp(AT)
    for _, rows in frame.groupby("annotator"):
        assert rows["submitted_at"].is_monotonic_increasing
        assert rows["submitted_at"].is_unique


def test_the_same_seed_gives_the_same_text(tmp_path: Path) -> None:
    truth = request(tmp_path, 20)
    first, again, other = (workers.label(tmp_path, truth, workers.CREW, seed, AT) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_boxes_are_shaken_and_take_a_row_each(tmp_path: Path) -> None:
    (tmp_path / "tasks.csv").write_text("item_id,file,attributes,answers_wanted\na,images/a.jpg,thing,2\n")
    truth = {"a": {"thing": "cat@10,20,30,40;dog@50,60,20,20"}}
    exact = pd.read_csv(io.StringIO(workers.label(tmp_path, truth, workers.EXPERTS, 1, AT)))
    assert exact[["label", "x", "y", "w", "h"]].drop_duplicates().to_numpy().tolist() == [["cat", 10, 20, 30, 40], ["dog", 50, 60, 20, 20]]
    shaken = pd.read_csv(io.StringIO(workers.label(tmp_path, truth, [workers.GOOD[0], workers.HASTY], 1, AT)))
    assert shaken["x"].nunique() == 4


def test_mistakes_of_the_caller_are_named(tmp_path: Path) -> None:
    truth = request(tmp_path, 2, 9)
    with pytest.raises(ValueError, match="wants 9 answers, the crew has 5"):
        workers.label(tmp_path, truth, workers.CREW, 1, AT)
    with pytest.raises(ValueError, match="time zone"):
        workers.label(tmp_path, truth, workers.CREW, 1, datetime(2026, 1, 1))
    with pytest.raises(LookupError, match="no value of 'colour'"):
        workers.label(tmp_path, {}, [*workers.CREW, *workers.SPAMMED_CREW], 1, AT)
