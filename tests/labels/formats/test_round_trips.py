"""Each format, written and read again, loses what `carries.FORMATS` says and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dataops_assets.labels.formats import carries
from tests.conftest import REPO
from tests.labels.formats.made import ASKED, SIZES, WRITERS, answer, there_and_back
from tests.labels.formats.made import settled as rows_of

BOX, OTHER = answer("t1", "parts", "bag", 1, 2, 10, 8), answer("t1", "holes", "none")
SKIPPED = answer("t1", "", "") | {"fault": "NO_ROWS"}

# for each feature answers that need it, and what of them has to come back
EXAMPLES = {
    "single": ([answer("t1", "colour", "NA"), BOX, OTHER], lambda row: row["attribute"] == "colour"),
    "multi": ([answer("t1", "marks", "logo|text"), BOX, OTHER], lambda row: row["attribute"] == "marks"),
    "box": ([BOX, answer("t1", "parts", "hat", 0, 0, 40, 30), OTHER], lambda row: row["x"] != ""),
    "no_object": ([BOX, OTHER], lambda row: row["label"] == "none"),
    "unanswered": ([BOX], lambda row: True),
    "skipped": ([SKIPPED, answer("t2", "parts", "bag", 1, 2, 3, 4), answer("t2", "holes", "none")], lambda row: row["item_id"] == "t1"),
    "several": ([BOX, OTHER, BOX | {"annotator": "bob"}, OTHER | {"annotator": "bob"}], lambda row: True),
    "annotator": ([BOX | {"annotator": "Ann O’Neil/ann@b.com"}, OTHER | {"annotator": "Ann O’Neil/ann@b.com"}], lambda row: True),
    "submitted_at": (
        [BOX, OTHER, *(row | {"item_id": "t2", "submitted_at": "2026-01-03T00:00:00Z"} for row in (BOX, OTHER))],
        lambda row: True,
    ),
    "seconds": ([BOX, OTHER], lambda row: True),
    "item_id": ([answer("0001", "parts", "bag", 1, 2, 3, 4), answer("0001", "holes", "none")], lambda row: True),
    "unicode": ([row | {"annotator": "Zoë 张"} for row in (answer("t1", "holes", "Löcher, groß", 1, 2, 3, 4), BOX)], lambda row: True),
    "sub_pixel": ([answer("t1", "parts", "bag", 1.25, 2.5, 10.125, 8.0625), OTHER], lambda row: row["x"] != ""),
}  # fmt: skip
ABOUT = {
    "annotator": ["annotator"], "several": ["annotator"], "submitted_at": ["submitted_at"], "seconds": ["seconds"], "item_id": ["item_id"],
    "skipped": ["item_id", "fault"], "unicode": ["label", "annotator"],
}  # fmt: skip
ANSWER = ["item_id", "attribute", "label", "x", "y", "w", "h", "fault"]


def test_the_table_is_complete():
    assert set(carries.FORMATS) == set(WRITERS)
    assert all(set(carried) == set(carries.FEATURES) for carried in carries.FORMATS.values())
    assert set(EXAMPLES) | {"rotated"} == set(carries.FEATURES)


@pytest.mark.parametrize("feature", EXAMPLES)
@pytest.mark.parametrize("name", WRITERS)
def test_a_format_carries_what_the_table_says_and_no_more(name, feature):
    given, concerned = EXAMPLES[feature]
    columns = ABOUT.get(feature, ANSWER)
    sent = [[row[column] for column in columns] for row in rows_of(given) if concerned(row)]
    back = [[row[column] for column in columns] for row in there_and_back(name, *given) if concerned(row)]
    assert (sorted(map(str, back)) == sorted(map(str, sent))) == carries.FORMATS[name][feature].kept


def test_no_format_carries_rotated_boxes():
    assert not any(carried["rotated"].kept for carried in carries.FORMATS.values())  # our rows have none; see test_hostile


edge = st.floats(0, 0.9).map(lambda share: round(share, 4))


@st.composite
def a_return(draw):
    """Whole answers of some people to some pictures: each answers every question, or skips the picture."""
    rows = []
    for who in draw(st.lists(st.sampled_from(["ann", "bob@c.de", "Zoë 张", "a/b"]), min_size=1, max_size=3, unique=True)):
        for number, (item, (width, height)) in enumerate(SIZES.items()):
            if not draw(st.booleans()) and number:
                continue
            more = {"annotator": who, "submitted_at": f"2026-01-0{number + 1}T00:00:00Z", "seconds": draw(st.sampled_from(["", 1.5, 90.0]))}
            rows.append(answer(item, "colour", draw(st.sampled_from(list(ASKED[0].values))), **more))
            picked = draw(st.lists(st.sampled_from(list(ASKED[1].values)), min_size=1, max_size=3, unique=True))
            rows.append(answer(item, "marks", "|".join(picked), **more))
            for attribute in ASKED[2:]:
                boxes = draw(st.lists(st.tuples(st.sampled_from(list(attribute.values)), edge, edge), max_size=3, unique=True))
                drawn = [(label, x * width, y * height, width * (1 - x) * 0.7, height * (1 - y) * 0.9) for label, x, y in boxes]
                rows += [answer(item, attribute.name, *box, **more) for box in drawn or [("none",)]]
    return rows


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=15, deadline=None)
@given(given=a_return())
def test_what_a_format_carries_comes_back_as_it_was(name, given):
    carried = carries.FORMATS[name]
    blank = [field for field in ("submitted_at", "seconds") if not carried[field].kept]
    lost = [attribute.name for attribute in ASKED if attribute.kind != "box" and not carried[attribute.kind].kept]
    edges = [edge for row in given if row["x"] != "" for edge in (row["x"], row["y"], row["x"] + row["w"], row["y"] + row["h"])]
    assume(carried["sub_pixel"].kept or all(abs(edge % 1 - 0.5) > 1e-6 for edge in edges))  # which pixel half of one is, nobody can say
    back = there_and_back(name, *given)
    sent = rows_of([row for row in given if row["attribute"] not in lost])
    assert _without(back, blank, carried["sub_pixel"].kept) == _without(sent, blank, carried["sub_pixel"].kept)


def _without(rows: list[dict], blank: list[str], is_exact: bool) -> list[str]:
    """Rows without what the format loses, as text that can be compared."""
    shown = []
    for row in rows:
        kept = {field: value for field, value in row.items() if field not in blank}
        if row["x"] != "":
            edges = (row["x"], row["y"], row["x"] + row["w"], row["y"] + row["h"])
            kept |= dict(zip("xywh", (round(side, 4) + 0.0 if is_exact else round(side) for side in edges), strict=True))
        if "label" in kept:
            kept["label"] = "|".join(sorted(str(row["label"]).split("|")))
        shown.append(str(sorted(kept.items())))
    return sorted(shown)


def test_the_page_about_formats_is_current():
    page = Path(REPO / "docs/label_formats.md").read_text(encoding="utf-8")
    assert page == carries.markdown(), "run python -m dataops_assets.labels.formats.carries"
