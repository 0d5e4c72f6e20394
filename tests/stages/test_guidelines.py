from __future__ import annotations

import re
from html.parser import HTMLParser

from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform
from dataops_assets.stages import guidelines
from tests.labels.world import COLOUR, MARKS, PARTS, make_spec

SPEC = make_spec(COLOUR, MARKS, PARTS)


def test_a_row_a_value_and_the_page_is_in_the_store(tmp_path):
    blobs = Blobs(str(tmp_path))
    frame = guidelines.build(SPEC, blobs)
    assert len(frame) == 8
    assert set(frame["ontology_version"]) == {"7"}
    (sha256,) = set(frame["document_sha256"])
    assert blobs.read(sha256).decode() == guidelines.html(SPEC)
    conform(frame, CONTRACTS["guidelines"])


def test_the_page_says_everything_and_loads_nothing():
    page = guidelines.html(SPEC)
    for text in (
        "Find it.",
        "Which &lt;colour&gt;?",
        "Sky to navy.",
        "Ontology version 7",
        "can't tell",
        "Draw a tight box",
        "every value",
    ):
        assert text in page
    assert not re.search(r"<script|<img|<link|href=|src=|url\(", page)


def test_text_of_the_spec_stays_text():
    spec = make_spec({"name": "a", "values": {'<script>alert("1")</script>': "x | y\n# z [l](javascript:1) `c`"}})
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(guidelines.html(spec))
    assert "script" not in tags
    (line,) = [line for line in guidelines.markdown(spec).splitlines() if "alert" in line]
    assert "<script" not in line and len(re.findall(r"(?<!\\)\|", line)) == 3 and "\\[l\\]" in line and "\\`c\\`" in line


def test_the_same_spec_gives_the_same_bytes():
    assert guidelines.html(SPEC) == guidelines.html(make_spec(COLOUR, MARKS, PARTS))
