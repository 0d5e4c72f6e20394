"""How suites are written: named expectations with a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import great_expectations as gx
from great_expectations import expectations as _expectations
from great_expectations.expectations.row_conditions import PassThroughCondition

gxe: Any = _expectations  # its classes carry too little typing for mypy's strict mode
CRITICAL, WARNING, INFO = "critical", "warning", "info"


def expect(expectation: Any, name: str, sentence: str, *, nullable: bool = False) -> Any:
    """Give an expectation its name and the sentence people read."""
    expectation.meta = {"name": name, "sentence": sentence, **({"nullable": True} if nullable else {})}
    return expectation


def suite_of(artifact: str, *expectations: Any) -> Any:
    """A suite of expectations whose names differ."""
    names = [expectation.meta["name"] for expectation in expectations]
    assert len(set(names)) == len(names), f"{artifact}: names repeat: {sorted(names)}"
    return gx.ExpectationSuite(name=artifact, expectations=list(expectations))


def not_empty(artifact: str, what: str) -> Any:
    """At least one row: Great Expectations calls everything about an empty table true."""
    return expect(gxe.ExpectTableRowCountToBeBetween(min_value=1), "not_empty", f"{artifact} must hold at least one {what}")


def as_many_rows(sentence: str) -> Any:
    """As many rows as the inputs call for: nothing lost, nothing made up."""
    return expect(gxe.ExpectTableRowCountToEqual(value={"$PARAMETER": "input_rows"}), "every_input_accounted_for", sentence)


def filled(column: str, name: str, sentence: str, *, where: str | None = None, severity: str = CRITICAL) -> Any:
    """A column without nulls, in all rows or in those that a condition chooses."""
    return expect(gxe.ExpectColumnValuesToNotBeNull(column=column, severity=severity, **_where(where)), name, sentence)


def among(
    column: str, values: Iterable[Any], name: str, sentence: str, *, where: str | None = None, mostly: float = 1.0,
    severity: str = CRITICAL, nullable: bool = False,
) -> Any:  # fmt: skip
    """A column's values from a set, in a share of the rows."""
    made = gxe.ExpectColumnValuesToBeInSet(column=column, value_set=sorted(values), mostly=mostly, severity=severity, **_where(where))
    return expect(made, name, sentence, nullable=nullable)


def between(
    column: str, name: str, sentence: str, *, low: Any = None, high: Any = None, where: str | None = None, severity: str = CRITICAL,
    nullable: bool = False,
) -> Any:  # fmt: skip
    """A column's values within bounds."""
    made = gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, severity=severity, **_where(where))
    return expect(made, name, sentence, nullable=nullable)


def true(column: str, name: str, sentence: str, *, where: str | None = None, severity: str = CRITICAL) -> Any:
    """A column that is true in every row; usually one that `derive` made."""
    return expect(gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], severity=severity, **_where(where)), name, sentence)


def matching(column: str, pattern: str, name: str, sentence: str, *, where: str | None = None, severity: str = CRITICAL) -> Any:
    """A column whose texts match a pattern."""
    made = gxe.ExpectColumnValuesToMatchRegex(column=column, regex=pattern, severity=severity, **_where(where))
    return expect(made, name, sentence)


def unique(column: str, name: str, sentence: str) -> Any:
    """No value of a column twice. A table's own key needs none: the contract refuses a repeated key before any gate."""
    return expect(gxe.ExpectColumnValuesToBeUnique(column=column), name, sentence)


def _where(condition: str | None) -> dict[str, Any]:
    return {} if condition is None else {"row_condition": PassThroughCondition(pass_through_filter=condition)}
