"""The guidelines say what is asked, when, how, and what to do in doubt; their pictures are right or wrong at a glance."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from dataops_assets.labels import handbook
from dataops_assets.labels.examples import Example
from tests.labels.world import COLOUR, MARKS, PARTS, make_spec

SPEC = make_spec(COLOUR, MARKS, PARTS)
SLEEVES = {
    "name": "sleeves", "cant_tell": True,
    "values": {"none": "No sleeves.", "some": {"definition": "Sleeves.", "synonyms": ["sleeved"]}},
}  # fmt: skip
LENGTH = {
    "name": "sleeve_length", "when": {"sleeves": ["some"]}, "required": False, "edge_cases": ["Rolled up: as they are."],
    "values": {"short": "Above the elbow.", "long": {"definition": "To the wrist.", "edge_cases": ["Three quarters count as long."]}},
}  # fmt: skip
DEPENDENT = make_spec(SLEEVES, LENGTH)


def test_the_page_says_everything_and_loads_nothing() -> None:
    page = handbook.html(SPEC)
    for text in (
        "Find it.", "Which &lt;colour&gt;?", "Sky to navy.", "Ontology version 7", "can't tell", "Draw a tight box",
        "every value that applies", "outermost visible parts", "Nothing to box is an answer too: say `none`.",
    ):  # fmt: skip
        assert text in page
    assert not re.search(r"<script|<img|<link|href=|src=|url\(", page)


def test_dependent_and_optional_questions_synonyms_and_close_calls_are_told_in_both_forms() -> None:
    for text in (handbook.html(DEPENDENT), handbook.markdown(DEPENDENT).replace("\\_", "_")):
        for sentence in (
            "Only asked where sleeves is some; otherwise leave it out.", "May be left open.", "Also called sleeved.",
            "Close call: Three quarters count as long.", "Rolled up: as they are.",
        ):  # fmt: skip
            assert sentence in text, sentence
    alone = handbook.html(DEPENDENT, [DEPENDENT.ontology.attributes[1]])  # rework may ask it of those it applies to, and nothing else
    assert "Only asked where" not in alone


def test_where_cant_tell_is_an_answer_nobody_is_told_to_leave_it_out() -> None:
    all_offer = make_spec(SLEEVES)
    for text in (handbook.html(all_offer), handbook.markdown(all_offer).replace("\\_", "_")):
        assert "Sleeves: answer cant_tell." in text and "leave the answer out" not in text
        assert "doesn't show enough" in text.replace("&#x27;", "'")  # its definition stands among the values
    mixed = handbook.html(DEPENDENT)
    assert (
        "Sleeves: answer cant_tell." in mixed
        and "Sleeve_length: if the picture does not show enough to answer, leave the answer out" in mixed
    )


def test_right_and_wrong_pictures_can_be_told_apart() -> None:
    right, wrong = Example("colour", "red", "i1"), Example("colour", "red", "i2", given="blue", answers=3)
    named, gone = Example("colour", "blue", "i3", given="blue"), Example("colour", "blue", "i4")
    edition = handbook.Edition(3, ("colour: <red> is new.",), (right, wrong, named, gone), {right: b"R", wrong: b"W", named: b"N"})
    page = handbook.html(SPEC, edition=edition)
    assert page.count("<img") == 3  # one has no picture any more
    figures = re.findall(r"<figure.*?</figure>", page)
    assert ["wrong" in figure for figure in figures] == [False, True, True]  # red's own, then blue's counterexample, then what is mixed up
    told = [re.sub(r"<[^>]+>", "", figure) for figure in figures]
    assert told == ["red", "not blue", "red. 3 answers to such pictures said blue"]
    assert "New since edition 2" in page and "colour: &lt;red&gt; is new." in page
    assert handbook.html(SPEC, edition=edition.without({"i1", "i2"})).count("<img") == 1
    assert "<img" not in handbook.html(SPEC, [SPEC.ontology.attributes[1]], edition)  # another question's


def test_markdown_shows_the_same_pictures_and_says_what_is_mixed_up() -> None:
    right, wrong = Example("colour", "red", "i1"), Example("colour", "red", "i2", given="blue", answers=3)
    named, gone = Example("colour", "blue", "i3", given="blue"), Example("colour", "blue", "i4")
    edition = handbook.Edition(3, (), (right, wrong, named, gone), {right: b"R", wrong: b"W", named: b"N"})
    text, pictures = handbook.markdown(SPEC, edition=edition), handbook.linked(SPEC, edition=edition)
    path = {data: name for name, data in pictures.items()}
    assert set(path) == {b"R", b"W", b"N"} and text.count("![](") == 3 and "i2" not in text
    (red,) = [line for line in text.splitlines() if line.startswith("| red")]
    assert red.endswith(f"![]({path[b'R']}) red |")
    assert f"![]({path[b'N']}) not blue |" in text
    assert f"Often mixed up:\n\n- ![]({path[b'W']}) red. 3 answers to such pictures said blue\n" in text
    other = [SPEC.ontology.attributes[1]]
    assert handbook.linked(SPEC, other, edition) == {} and "![](" not in handbook.markdown(SPEC, other, edition)


def test_pictures_keep_to_their_room() -> None:
    many = [Example("colour", "red", f"i{n}") for n in range(4)]
    mixed = Example("colour", "red", "m", given="blue", answers=1)
    pictures = dict.fromkeys([*many, mixed], b"x" * (handbook.PAGE_BYTES // 3))
    page = handbook.html(SPEC, edition=handbook.Edition(1, (), (*many, mixed), pictures))
    assert page.count("<img") == 3 and "Often mixed up" in page


def test_text_of_the_spec_stays_text() -> None:
    spec = make_spec({"name": "a", "values": {'<script>alert("1")</script>': "x | y\n# z [l](javascript:1) `c`"}})
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(handbook.html(spec))
    assert "script" not in tags
    (line,) = [line for line in handbook.markdown(spec).splitlines() if "alert" in line]
    assert "<script" not in line and len(re.findall(r"(?<!\\)\|", line)) == 3 and "\\[l\\]" in line and "\\`c\\`" in line


def test_the_same_spec_gives_the_same_bytes() -> None:
    assert handbook.html(SPEC) == handbook.html(make_spec(COLOUR, MARKS, PARTS))
