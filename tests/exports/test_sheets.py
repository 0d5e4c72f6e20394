import csv
from pathlib import Path

import pytest

from dataops_assets.exports import sheets


def test_formulas_are_escaped_and_the_rest_comes_back(tmp_path: Path) -> None:
    sheets.write(tmp_path / "a.csv", ["name", "value"], [["=1+1", 3], ["@x", None], ["-2", -2], ['a,\n"b"', float("nan")]])
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["name", "value"], ["'=1+1", "3"], ["'@x", ""], ["'-2", "-2"], ['a,\n"b"', ""]]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("＝1+1.png", "'＝1+1.png"),
        ("＋1", "'＋1"),
        ("\t=1", "'\t'=1"),
        ('a;=HYPERLINK("http://evil")', 'a;\'=HYPERLINK("http://evil")'),
        ('a;"=1', "a;\"'=1"),
        ("a\t@SUM(1)", "a\t'@SUM(1)"),
        ("two\r\n+1\n-1", "two\r\n'+1\n'-1"),
        ("a=b; c-d, -e", "a=b; c-d, -e"),
        ("casual;red", "casual;red"),
    ],
)
def test_no_reader_takes_part_of_a_cell_for_a_formula(text: str, cell: str) -> None:
    assert sheets.plain(text) == cell


def test_labels_in_a_delivery_are_escaped(delivered: Path) -> None:
    with (delivered / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["style"] for row in rows} == {"casual", "a/b", "'=cmd"}
    assert {row["colours"] for row in rows} == {"red", "blue|red", ""}
