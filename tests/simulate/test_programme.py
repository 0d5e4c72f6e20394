"""The decisions in programmes whose truth is known; benchmarks/programme.py prints the table of longer ones."""

from __future__ import annotations

import runpy
from types import SimpleNamespace

import pytest

from dataops_assets.simulate import programme
from dataops_assets.simulate.programme import COLLUDING, CREW, GOOD, misled
from tests.conftest import REPO

bench = SimpleNamespace(**runpy.run_path(str(REPO / "benchmarks" / "programme.py")))
SPEC = bench.project("one_coin")


@pytest.mark.parametrize("crew", [CREW, (*GOOD, *COLLUDING)], ids=["known skill", "a colluding pair"])
def test_the_target_is_reached_with_fewer_answers_than_a_fixed_overlap(crew: tuple[programme.Person, ...]) -> None:
    runs = [programme.run(SPEC, crew, batches=3, size=150, seed=seed, n_gold=30) for seed in range(6)]
    assert {run.delivered for run in runs} == {450} and sum(run.automatic_accuracy >= 0.95 for run in runs) >= 5
    enough = next(overlap for overlap in (2, 3, 4, 5) if programme.fixed(SPEC, crew, 3000, 1, overlap) >= 0.95)
    bought = [run.answers_each + run.settled / run.delivered * 5 for run in runs]  # a question settled costs five labels
    assert sum(bought) / len(bought) < 0.95 * enough
    assert sum(run.estimate[1] <= 1 - run.automatic_accuracy <= run.estimate[2] for run in runs) >= 5


def test_the_target_is_reached_with_the_confidence_stated() -> None:
    runs = [programme.run(SPEC, CREW, batches=2, size=150, seed=seed, n_gold=30) for seed in range(2, 14)]
    assert sum(run.automatic_accuracy >= 0.95 for run in runs) >= 11  # of 12, at 95 %
    assert sum(run.estimate[1] <= 1 - run.automatic_accuracy <= run.estimate[2] for run in runs) >= 11
    paid = sum(verdict.pay == "pay" for run in runs for verdict in run.verdicts)
    assert paid >= 20  # of 24: what is good passes nineteen times in twenty


@pytest.mark.parametrize("shows", [True, False], ids=["gold shows it", "gold doesn't"])
def test_a_vendor_with_a_wrong_guideline_is_not_paid(shows: bool) -> None:
    found = programme.run(SPEC, misled(GOOD, {"boat": "round"}), batches=2, size=150, seed=1, n_gold=30, clever_gold=shows)
    assert [verdict.pay for verdict in found.verdicts] == ["don't pay"] * 2
    if not shows:
        assert all("audited labels are wrong" in verdict.sentence for verdict in found.verdicts)
        assert found.estimate[1] > 0.05  # the audit is sure that the target is missed
