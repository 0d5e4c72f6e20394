"""Production batches start small and grow while quality holds."""

from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform, empty
from dataops_assets.stages import label_tasks, ramp
from tests.labels.world import make_spec
from tests.stages.test_label_tasks import NONE, after_pilot

AUDITS = pd.DataFrame(columns=["batch_id", "drawn", "n", "wrong", "most_wrong"])


def batches(*seen: tuple[int, bool | None]) -> list[ramp.Batch]:
    return [ramp.Batch(f"production-{n:03d}", images, is_good) for n, (images, is_good) in enumerate(seen, start=1)]


@pytest.mark.parametrize(
    ("seen", "size"),
    [
        ([], 50),
        ([(50, True)], 100),
        ([(50, True), (100, True)], 200),
        ([(50, True), (100, True), (200, False)], 100),  # half when it doesn't hold
        ([(50, False)], 50),  # never below the start
        ([(50, True), (100, False), (50, True)], 100),
        ([(50, True), (100, True), (200, True), (200, False), (100, False), (50, False)], 50),
        ([(10, True)], 50),  # a small batch that was good doesn't allow twice the start
        ([(50, True), (100, True), (30, True)], 200),  # and takes nothing away
    ],
)
def test_the_next_size(seen: list[tuple[int, bool | None]], size: int) -> None:
    step = ramp.step(batches(*seen), 50, 200)
    assert (step.size, step.is_full, step.waits) == (size, size == 200, False)


def test_below_full_size_the_next_batch_waits_for_the_last_one() -> None:
    step = ramp.step(batches((50, True), (100, None)), 50, 200)
    assert step.waits and "waits until production-002 is judged" in step.sentence
    assert not ramp.step(batches((50, True), (100, True), (200, None)), 50, 200).waits


def test_without_a_start_there_is_no_ramp() -> None:
    for start in (None, 200, 300):
        assert ramp.step(batches((50, None)), start, 200) == ramp.Step(200, True, False, "")


def judged(gold_right: int, accepted: int, kind: str = "production") -> pd.DataFrame:
    """30 gold answers and ten questions."""
    gold = [
        {"task_id": f"g{n}", "is_gold": True, "n_labels": 3, "gold_correct": min(3, max(0, gold_right - 3 * n)), "decision": "accept"}
        for n in range(10)
    ]
    work = [{"task_id": f"t{n}", "is_gold": False, "decision": "accept" if n < accepted else "rework"} for n in range(10)]
    rows = pd.DataFrame(gold + work).assign(batch_id="production-001", kind=kind, attribute="colour", object_id="", vendor="acme")
    return conform(rows, CONTRACTS["label_quality"])


@pytest.mark.parametrize(
    ("gold_right", "accepted", "is_good"), [(30, 10, True), (28, 5, True), (27, 10, False), (30, 4, False), (0, 10, False)]
)
def test_quality_holds_on_gold_and_on_what_is_accepted_at_once(gold_right: int, accepted: int, is_good: bool) -> None:
    spec = make_spec()
    plan = planned()
    (batch,) = ramp.history(plan, judged(gold_right, accepted), spec, "acme", AUDITS)
    assert (batch.images, batch.is_good) == (2, is_good)
    assert ramp.history(plan, judged(gold_right, accepted), spec, "other", AUDITS) == []
    assert ramp.history(plan, empty("label_quality"), spec, "acme", AUDITS)[0].is_good is None


def planned() -> pd.DataFrame:
    rows = {"batch_id": "production-001", "kind": "production", "image_id": list("abc"), "vendor": "acme", "is_gold": [False, False, True]}
    return conform(pd.DataFrame(rows), CONTRACTS["batch_plans"])


def next_step(quality: pd.DataFrame, **audit: object) -> ramp.Step:
    rows = pd.DataFrame([{"batch_id": "production-001", "drawn": 10, "n": 10, "wrong": 0, "most_wrong": 1, **audit}]) if audit else AUDITS
    return ramp.step(ramp.history(planned(), quality, make_spec(), "acme", rows), 1, 200)


def test_a_batch_whose_audit_failed_is_not_good() -> None:
    assert (next_step(judged(30, 10), wrong=1).size, next_step(judged(30, 10)).size) == (4, 4)
    failed = next_step(judged(30, 10), wrong=2)
    assert failed.size == 1 and "was not good enough" in failed.sentence and "2 of 10 audited labels wrong, 1 may be" in failed.sentence
    assert next_step(judged(30, 10), n=3).size == 4  # as long as it isn't answered, gold alone speaks


def test_a_batch_that_nothing_measured_does_not_grow_the_ramp() -> None:
    unmeasured = judged(30, 10).assign(gold_correct=None)
    step = next_step(unmeasured)
    assert (step.size, step.waits) == (1, False)
    assert "production-001 shows nothing (100% accepted at once, no gold measured)" in step.sentence
    assert next_step(unmeasured, wrong=0).size == 4  # its audit measured it
    assert next_step(unmeasured, wrong=5).size == 1


def test_a_small_batch_hides_as_much_gold_as_a_full_one() -> None:
    spec, sources, pilot, gold = after_pilot(16, gold_share=0.4)
    small = label_tasks.plan("production", spec, sources, pilot, gold=gold, limit=1).batches[0]
    sure = label_tasks.plan("production", spec, sources, pilot, gold=gold, limit=1, gold_of=5).batches[0]
    assert (int(small["is_gold"].sum()), int(sure["is_gold"].sum())) == (1, 2)
    assert label_tasks.plan("production", spec, sources, NONE, limit=1, gold_of=5).batches[0]["is_gold"].sum() == 0
