"""How suites are written: named expectations with a sentence for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import great_expectations as gx
from great_expectations import expectations as _expectations
from great_expectations.expectations.row_conditions import PassThroughCondition

from dataops_assets.contracts import CONTRACTS
from dataops_assets.labels.questions import NO_OBJECT
from dataops_assets.spec import Attribute

gxe: Any = _expectations  # its classes carry too little typing for mypy's strict mode
CRITICAL, WARNING, INFO = "critical", "warning", "info"


def expect(expectation: Any, name: str, sentence: str, *, nullable: bool = False) -> Any:
    """Give an expectation its name and the sentence people read."""
    expectation.meta = {"name": name, "sentence": sentence, **({"nullable": True} if nullable else {})}
    return expectation


def suite_of(artifact: str, *expectations: Any) -> Any:
    """A suite of expectations whose names differ, with one more for each column that a rule would pass where it is null.

    Great Expectations judges the values that are there: `status` in a set is true of a null status. So each rule about a column of
    the table brings along `<its name>_filled`, unless it says `nullable`, another rule wants the column filled, or the column is
    part of the key, which the contract refuses to be null.
    """
    expectations = (*expectations, *_filled_too(artifact, expectations))
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


def true(
    column: str, name: str, sentence: str, *, where: str | None = None, severity: str = CRITICAL, nullable: bool = False
) -> Any:  # fmt: skip
    """A column that is true in every row; usually one that `derive` made."""
    return among(column, [True], name, sentence, where=where, severity=severity, nullable=nullable)


def matching(column: str, pattern: str, name: str, sentence: str, *, where: str | None = None, severity: str = CRITICAL) -> Any:
    """A column whose texts match a pattern."""
    made = gxe.ExpectColumnValuesToMatchRegex(column=column, regex=pattern, severity=severity, **_where(where))
    return expect(made, name, sentence)


def free_of(column: str, words: Iterable[str], name: str, sentence: str, *, where: str | None = None, mostly: float = 1.0) -> Any:
    """A column of `a|b` lists, null where empty, that names none of some words; in a share of the rows that aren't null."""
    regex = rf"(?:^|\|)(?:{'|'.join(sorted(words))})(?:\||$)"
    made = gxe.ExpectColumnValuesToNotMatchRegex(column=column, regex=regex, mostly=mostly, **_where(where))
    return expect(made, name, sentence, nullable=True)


def blank(column: str, name: str, sentence: str, *, where: str | None = None) -> Any:
    """A column with nulls only, in the rows that a condition chooses."""
    return expect(gxe.ExpectColumnValuesToBeNull(column=column, **_where(where)), name, sentence)


def in_ontology(attribute: Attribute, *, where: str | None = None, former: Iterable[str] = ()) -> Any:
    """Labels of one attribute are its answers: one of them, several joined by `|`, or `none` where nothing is to be boxed.

    `former` are answers beside these: values of earlier versions, or `not_applicable` where labels are settled.
    """
    condition = " and ".join(filter(None, [where, f'attribute == "{attribute.name}"']))
    name, sentence = f"{attribute.name}_in_ontology", f"Labels of {attribute.name} must be values of the ontology"
    values = {*attribute.answers, *former}
    if attribute.kind == "multi":
        words = "|".join(re.escape(value) for value in sorted(values))
        return matching("label", rf"^(?:{words})(?:\|(?:{words}))*$", name, sentence, where=condition)
    return among("label", values | ({NO_OBJECT} if attribute.kind == "box" else set()), name, sentence, where=condition)


def unique(column: str, name: str, sentence: str) -> Any:
    """No value of a column twice. A table's own key needs none: the contract refuses a repeated key before any gate."""
    return expect(gxe.ExpectColumnValuesToBeUnique(column=column), name, sentence)


def _where(condition: str | None) -> dict[str, Any]:
    return {} if condition is None else {"row_condition": PassThroughCondition(pass_through_filter=condition)}


def _filled_too(artifact: str, expectations: tuple[Any, ...]) -> list[Any]:
    contract = CONTRACTS[artifact]
    wanted = [(made.column, _condition(made)) for made in expectations if isinstance(made, gxe.ExpectColumnValuesToNotBeNull)]
    added = []
    for made in expectations:
        if not isinstance(made, (gxe.ExpectColumnValuesToBeInSet, gxe.ExpectColumnValuesToBeBetween, gxe.ExpectColumnValuesToMatchRegex)):
            continue
        column, condition, name = made.column, _condition(made), made.meta["name"]
        is_own = column in contract.columns and column not in contract.key
        is_wanted = any(column == other and condition.startswith(where) for other, where in wanted)
        if is_own and not is_wanted and not made.meta.get("nullable") and f"{column}.notnull()" not in condition:
            sentence = f"{column} must be there wherever it is judged: {made.meta['sentence']}"
            added.append(filled(column, f"{name}_filled", sentence, where=condition or None, severity=made.severity))
            wanted.append((column, condition))
    return added


def _condition(expectation: Any) -> str:
    return "" if expectation.row_condition is None else str(expectation.row_condition.pass_through_filter)
