"""A vendor passes on what it shows for certain, on every attribute that matters; two vendors are compared on the same items."""

from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import conform, empty
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import qualification
from tests.conftest import changed
from tests.labels.world import COLOUR, make_spec

SIZE = {"name": "size", "values": {"s": "Small.", "l": "Large."}}


def project(**labeling: object) -> ProjectSpec:
    return make_spec(COLOUR, SIZE, qualification="required", **labeling)


def quality(vendor: str, batch: str = "qualification-001", kind: str = "qualification", **right: list[int]) -> pd.DataFrame:
    """One row a gold question; `right` says how many of three answers were right, picture by picture."""
    rows = [
        {"batch_id": batch, "kind": kind, "task_id": f"{batch}{n}", "image_id": f"i{n}", "attribute": name, "object_id": "",
         "vendor": vendor, "is_gold": True, "n_labels": 3, "gold_correct": count}
        for name, counts in right.items() for n, count in enumerate(counts)
    ]  # fmt: skip
    return conform(pd.DataFrame(rows), CONTRACTS["label_quality"])


def test_the_lower_bound_decides_not_the_share() -> None:
    few = qualification.verdicts(quality("acme", colour=[3] * 3, size=[3] * 3), project())
    assert set(few["accuracy"]) == {1.0}
    assert few["lower"].tolist() == pytest.approx([0.05 ** (1 / 9)] * 2)  # nine of nine: .717
    assert not few["is_passed"].any()
    more = qualification.verdicts(quality("acme", colour=[3] * 20, size=[3] * 18 + [1, 2]), project())
    assert more["is_passed"].all() and qualification.passed(more, project()) == {"acme", "us"}


def test_only_the_attributes_that_matter_must_be_mastered() -> None:
    answers = quality("acme", colour=[3] * 20, size=[1] * 20)
    assert "acme" not in qualification.passed(qualification.verdicts(answers, project()), project())
    spec = project(qualify_on=["colour"])
    assert "acme" in qualification.passed(qualification.verdicts(answers, spec), spec)
    with pytest.raises(ValueError, match="qualify_on names attribute 'smell'"):
        project(qualify_on=["smell"])


def test_an_attribute_that_was_not_asked_is_not_passed() -> None:
    found = qualification.verdicts(quality("acme", colour=[3] * 20), project())
    assert "acme" not in qualification.passed(found, project())
    assert qualification.sentence("acme", found, project()) == "acme has not passed qualification-001: size was not measured"


def test_the_last_qualification_counts_and_other_batches_do_not() -> None:
    good, bad = quality("acme", colour=[3] * 20, size=[3] * 20), quality("acme", "qualification-010", colour=[0] * 20, size=[3] * 20)
    other = quality("other", kind="production", batch="production-001", colour=[3] * 20, size=[3] * 20)
    found = qualification.verdicts(pd.concat([bad, good, other]), project())
    assert set(found["batch_id"]) == {"qualification-010"} and set(found["vendor"]) == {"acme"}
    assert qualification.passed(found, project()) == {"us"}


def test_a_refusal_says_what_is_missing() -> None:
    spec = project()
    nobody = qualification.verdicts(empty("label_quality"), spec)
    told = qualification.refusal(spec, nobody, "acme")
    assert "dataops plan demo --kind qualification --vendor acme" in told and "at least 75% (lower bound) on colour, size" in told
    weak = qualification.verdicts(quality("acme", colour=[3] * 20, size=[3] * 10 + [1] * 10), spec)
    assert qualification.refusal(spec, weak, "acme").endswith("size: 40 of 60 right, so at least 55%, and 75% is wanted")
    assert qualification.refusal(spec, weak, "us") == ""  # our own people
    assert "other has not passed" in qualification.refusal(spec, weak)
    assert qualification.refusal(make_spec(COLOUR, SIZE), nobody, "acme") == ""  # optional


def test_production_goes_to_the_first_vendor_that_passed() -> None:
    spec = project()
    found = qualification.verdicts(quality("other", colour=[3] * 20, size=[3] * 20), spec)
    chosen = qualification.choose(spec, found)
    assert chosen is not None and chosen.name == "other"
    assert qualification.choose(spec, found.head(0)) is None
    anybody = qualification.choose(make_spec(COLOUR, SIZE), found.head(0))
    assert anybody is not None and anybody.name == "acme"


def test_vendors_are_compared_on_the_items_they_differ_on() -> None:
    both = pd.concat(
        [
            quality("acme", colour=[3] * 20, size=[3] * 20),
            quality("other", "qualification-002", colour=[3] * 11 + [1] * 9, size=[3] * 19 + [2]),
        ]
    )
    made = qualification.compare(both, project()).set_index("attribute")
    assert made.loc["all", ["items", "only_first", "only_second"]].tolist() == [40, 9, 0]
    assert made.loc["all", "p_value"] == pytest.approx(2 * 0.5**9, abs=1e-4)
    assert made.loc["all", "sentence"] == "Of 40 items acme alone got 9 right and other alone 0: acme is better (p 0.0039)."
    assert made.loc["size", "only_first"] == 0  # two of three right is right
    assert "no difference that chance doesn't explain" in made.loc["size", "sentence"]


def test_only_items_that_both_answered_are_compared() -> None:
    both = pd.concat([quality("acme", colour=[3] * 5), quality("other", "qualification-002", colour=[3] * 3)])
    assert qualification.compare(both, project()).set_index("attribute").loc["all", "items"] == 3
    assert qualification.compare(quality("acme", colour=[3]), project()).empty


def test_price_and_speed_stand_beside_the_accuracy() -> None:
    spec = project()
    found = qualification.verdicts(quality("acme", colour=[3] * 20, size=[3] * 10 + [0] * 10), spec)
    labeled = pd.DataFrame({"vendor": "acme", "batch_id": "qualification-001", "status": "accepted", "seconds": [2.0, 4.0, 9.0]})
    offer = qualification.offers(found, labeled, spec).set_index("vendor")
    assert list(offer.index) == ["acme", "other"]
    row = offer.loc["acme"]
    assert (row["passed"], row["right"], row["weakest attribute"], row["median s an answer"]) == (False, 0.75, "size", 4.0)
    assert row["price a right one"] == pytest.approx(0.1 / 0.75, abs=1e-4)
    assert changed(spec, labeling={"qualification": "optional"}).labeling.is_qualified_first is False
