"""The gate sees what Great Expectations hides, and nothing passes that it couldn't judge."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from types import ModuleType
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pytest

from dataops_assets import gates
from dataops_assets.flow import gating
from dataops_assets.manifest import Manifest
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import NotReleased, Store

Suite = Callable[..., None]


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Iterator[Suite]:
    """Put a suite of one's own in the place of `quality_suites.brief`."""

    def use(*expectations: Any, **members: Any) -> None:
        module = ModuleType("quality_suites.brief")
        module.suite = lambda spec: gx.ExpectationSuite(name="brief", expectations=list(expectations))  # type: ignore[attr-defined]
        for name, member in members.items():
            setattr(module, name, member)
        monkeypatch.setitem(sys.modules, "quality_suites.brief", module)

    yield use


def candidate(values: list[float | None]) -> Manifest:
    frame = pd.DataFrame({"check": [f"c{i}" for i in range(len(values))], "value": values})
    return Manifest("brief", "dresses", "-", frame)


def expect(expectation: Any, name: str, **meta: Any) -> Any:
    expectation.meta = {"name": name, "sentence": f"{name} must hold", **meta}
    return expectation


def positive(**more: Any) -> Any:
    return expect(gxe.ExpectColumnValuesToBeBetween(column="value", min_value=0, **more), "positive")


def outcome(values: list[float | None], spec: ProjectSpec) -> gates.Verdict:
    return gates.judge(candidate(values), spec, {})[0]


def test_pass_and_fail_name_the_offending_rows(suite: Suite, dresses: ProjectSpec) -> None:
    suite(positive())
    assert outcome([1, 2], dresses).outcome == "pass"
    verdict = outcome([1, -2, -3], dresses)
    assert (verdict.outcome, verdict.failed_row_count) == ("fail", 2)
    assert verdict.failed[0].rows == (1, 2)


def test_an_empty_suite_is_an_error(suite: Suite, dresses: ProjectSpec) -> None:
    suite()
    assert outcome([1], dresses).outcome == "error"


def test_a_column_of_nulls_fails_unless_the_suite_allows_it(suite: Suite, dresses: ProjectSpec) -> None:
    suite(positive())
    verdict = outcome([None, None], dresses)
    assert (verdict.outcome, verdict.failed[0].observed) == ("fail", "all 2 values are missing")
    suite(expect(gxe.ExpectColumnValuesToBeBetween(column="value", min_value=0), "positive", nullable=True))
    assert outcome([None, None], dresses).outcome == "pass"


def test_an_exception_inside_an_expectation_is_an_error_not_a_failure(suite: Suite, dresses: ProjectSpec) -> None:
    suite(positive(), expect(gxe.ExpectColumnValuesToBeBetween(column="check", min_value=3), "text_as_number"))
    verdict = outcome([1], dresses)
    assert verdict.outcome == "error"
    assert "text_as_number" in verdict.reason


def test_a_missing_column_is_an_error(suite: Suite, dresses: ProjectSpec) -> None:
    suite(expect(gxe.ExpectColumnValuesToNotBeNull(column="no_such_column"), "there"))
    assert outcome([1], dresses).outcome == "error"


def test_a_suite_that_raises_is_an_error(suite: Suite, dresses: ProjectSpec) -> None:
    def parameters(frame: pd.DataFrame, inputs: Any) -> dict[str, float]:
        raise KeyError("input_rows")

    suite(positive(), parameters=parameters)
    verdict = outcome([1], dresses)
    assert verdict.outcome == "error"
    assert "input_rows" in verdict.reason


def test_warnings_are_shown_and_do_not_block(suite: Suite, dresses: ProjectSpec) -> None:
    suite(positive(), expect(gxe.ExpectColumnValuesToBeBetween(column="value", max_value=5, severity="warning"), "small"))
    verdict = outcome([9], dresses)
    assert verdict.outcome == "pass"
    assert [finding.name for finding in verdict.warned] == ["small"]


def test_facts_about_inputs_reach_the_suite(suite: Suite, dresses: ProjectSpec) -> None:
    rows = expect(gxe.ExpectTableRowCountToEqual(value={"$PARAMETER": "input_rows"}), "conserved")
    suite(rows, parameters=lambda frame, inputs: {"input_rows": 3})
    assert outcome([1, 2, 3], dresses).outcome == "pass"
    assert outcome([1, 2], dresses).outcome == "fail"


def write(store: Store, values: list[float | None]) -> Manifest:
    made = candidate(values)
    store.write(made)
    return made


def through(store: Store, spec: ProjectSpec, made: Manifest) -> str:
    return gates.pass_through(store, spec, "brief", "-", made.version).outcome


class TestLedger:
    def test_every_outcome_is_entered_with_the_suite_and_the_files(self, suite: Suite, store: Store, dresses: ProjectSpec) -> None:
        suite(positive())
        good, bad = write(store, [1]), write(store, [-1])
        assert [through(store, dresses, made) for made in (good, bad)] == ["pass", "fail"]
        rows = store.gates.rows()
        assert list(rows["outcome"]) == ["pass", "fail"]
        assert list(rows["failed"].fillna("")) == ["", "positive"]
        assert all("sha" not in text and ".parquet" in text for text in rows["files"])
        assert store.get_document("suites", rows["suite_digest"].iloc[0])["expectations"]
        assert store.gates.verify() == []

    def test_a_waiver_releases_one_version_until_its_day(self, suite: Suite, store: Store, dresses: ProjectSpec) -> None:
        suite(positive())
        bad, worse = write(store, [-1]), write(store, [-2])
        through(store, dresses, bad)
        with pytest.raises(NotReleased):
            store.load("brief", "dresses")
        today = date.today()
        gates.waive(store, dresses, "brief", "-", reason="agreed by phone", by="ann", until=today)
        assert store.load("brief", "dresses").version == bad.version
        assert through(store, dresses, bad) == "waived"  # the same version again, within its time
        assert through(store, dresses, worse) == "fail"  # another version is not covered
        assert store.load("brief", "dresses").version == bad.version

    def test_an_expired_waiver_releases_nothing_anew_but_takes_nothing_back(
        self, suite: Suite, store: Store, dresses: ProjectSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        suite(positive())
        bad = write(store, [-1])
        through(store, dresses, bad)
        gates.waive(store, dresses, "brief", "-", reason="until Friday", by="ann", until=date.today())

        class Later(date):
            @classmethod
            def today(cls) -> date:
                return date.today() + timedelta(days=1)

        monkeypatch.setattr(gates, "date", Later)
        assert through(store, dresses, bad) == "fail"
        assert store.load("brief", "dresses").version == bad.version

    @pytest.mark.parametrize(
        ("reason", "by", "days", "says"), [("", "ann", 1, "names who"), ("because", " ", 1, "names who"), ("because", "ann", -1, "passed")]
    )
    def test_a_waiver_names_who_why_and_until_when(
        self, suite: Suite, store: Store, dresses: ProjectSpec, reason: str, by: str, days: int, says: str
    ) -> None:
        suite(positive())
        through(store, dresses, write(store, [-1]))
        with pytest.raises(ValueError, match=says):
            gates.waive(store, dresses, "brief", "-", reason=reason, by=by, until=date.today() + timedelta(days=days))

    def test_an_error_or_a_pass_can_not_be_waived(self, suite: Suite, store: Store, dresses: ProjectSpec) -> None:
        made = write(store, [1])
        with pytest.raises(ValueError, match="nothing to waive"):
            gates.waive(store, dresses, "brief", "-", reason="r", by="b", until=date.today())
        suite()
        through(store, dresses, made)
        with pytest.raises(ValueError, match="can't be waived"):
            gates.waive(store, dresses, "brief", "-", reason="r", by="b", until=date.today())
        suite(positive())
        through(store, dresses, made)
        with pytest.raises(ValueError, match="released already"):
            gates.waive(store, dresses, "brief", "-", reason="r", by="b", until=date.today())


def test_frames_are_read_once_when_they_are_asked_for_and_a_reader_that_fails_is_heard() -> None:
    asked: list[str] = []

    def broken() -> pd.DataFrame:
        raise KeyError("a column")

    def read() -> pd.DataFrame:
        asked.append("answers")
        return pd.DataFrame({"row": [1]})

    frames = gating.Frames({"answers": read, "audits": broken})
    assert set(frames) == {"answers", "audits"} and "audits" in frames and asked == []
    assert frames["answers"] is frames.get("answers") and asked == ["answers"]
    assert frames.get("others") is None
    with pytest.raises(KeyError, match="a column"):  # never taken for a frame that isn't there
        frames.get("audits", pd.DataFrame())
