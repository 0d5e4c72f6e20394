"""Every expectation of every suite lets a good table pass and stops a bad one: no gate is decoration."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pandas as pd
import pytest

from dataops_assets import gates
from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import Manifest
from tests.quality_suites.cases import Case, Change, Frame, cases, project

SPEC = project()
CASES = cases(SPEC)


def emptied(column: str, condition: str | None) -> Change:
    """Null in one row that a rule is about."""

    def change(frame: Frame) -> Frame:
        made = frame.copy()
        made[column] = made[column].astype("object")
        made.loc[(made.query(condition) if condition else made).index[:1], column] = None
        return made

    return change


def breaks(artifact: str) -> dict[str, Change]:
    """The written cases, and for each rule that a null would slip past, a null."""
    suite = importlib.import_module(f"quality_suites.{artifact}").suite(SPEC)
    slips = {
        expectation.meta["name"]: emptied(
            expectation.column, expectation.row_condition.pass_through_filter if expectation.row_condition else None
        )
        for expectation in suite.expectations
        if expectation.meta["name"].endswith("_filled")
    }
    return {**slips, **CASES[artifact].breaks}


BREAKS = {artifact: breaks(artifact) for artifact in CASES}


def verdict(artifact: str, case: Case, frame: Frame) -> gates.Verdict:
    columns = [column for column in frame.columns if column in CONTRACTS[artifact].columns]
    made = Manifest(artifact, SPEC.name, "p", frame[columns])
    return gates.judge(made, SPEC, case.inputs)[0]


def names(artifact: str) -> list[tuple[str, str]]:
    suite = importlib.import_module(f"quality_suites.{artifact}").suite(SPEC)
    return [(expectation.meta["name"], str(expectation.severity.value)) for expectation in suite.expectations]


@pytest.mark.parametrize("artifact", CASES)
def test_a_good_table_passes_without_a_warning(artifact: str) -> None:
    case = CASES[artifact]
    seen = verdict(artifact, case, case.good)
    assert (seen.outcome, [f.name for f in seen.failed + seen.warned], seen.reason) == ("pass", [], "")


@pytest.mark.parametrize("artifact", CASES)
def test_every_expectation_has_a_case_that_breaks_it(artifact: str) -> None:
    missing = {name for name, _ in names(artifact)} - BREAKS[artifact].keys()
    assert missing == set()


@pytest.mark.parametrize(("artifact", "name"), [(artifact, name) for artifact in CASES for name in BREAKS[artifact]])
def test_the_expectation_stops_a_bad_table(artifact: str, name: str) -> None:
    case = CASES[artifact]
    case = replace(case, inputs={**case.inputs, **case.instead.get(name, {})})
    severity = dict(names(artifact))[name]
    seen = verdict(artifact, case, BREAKS[artifact][name](case.good))
    told = seen.failed if severity == "critical" else seen.warned
    assert name in [finding.name for finding in told], (seen.outcome, seen.reason, [f.name for f in seen.failed + seen.warned])
    assert seen.outcome == ("fail" if severity == "critical" else seen.outcome)
    assert all(finding.outcome != "error" for finding in seen.findings), seen.reason


def test_a_drop_too_small_to_tell_a_mark_passes_where_marks_are_rejected() -> None:
    cleaning = SPEC.cleaning.model_copy(update={"reject": (*SPEC.cleaning.reject, "watermark")})
    spec, case = SPEC.model_copy(update={"cleaning": cleaning}), CASES["cleaned_set"]

    def outcome(is_marked: bool | None) -> str:
        frame = case.good.assign(is_watermark=pd.array([is_marked] * len(case.good), dtype="boolean"))
        columns = [column for column in frame.columns if column in CONTRACTS["cleaned_set"].columns]
        return gates.judge(Manifest("cleaned_set", spec.name, "p", frame[columns]), spec, case.inputs)[0].outcome

    assert [outcome(None), outcome(False), outcome(True)] == ["pass", "pass", "fail"]


def test_every_gated_asset_has_a_suite_under_test() -> None:
    from dataops_assets import assets

    gated = {asset.key.path[-1] for asset in assets.build(SPEC, assets.Keys.of(SPEC.name))}
    assert gated == CASES.keys()
