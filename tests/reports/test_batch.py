"""What the page of a batch says of money: by the ledger, and each question once."""

from __future__ import annotations

import pandas as pd
import pytest

from dataops_assets.contracts import CONTRACTS
from dataops_assets.manifest import Manifest, conform
from dataops_assets.reports import batch
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.conftest import changed
from tests.labels.programme import put
from tests.labels.world import COLOUR, make_spec


def planned(store: Store, spec: ProjectSpec, name: str, rows: list[tuple[str, str | None]], price: float) -> None:
    """A batch with its commitment in the ledger; `rows` are pictures and the batch that each comes from."""
    frame = pd.DataFrame(rows, columns=["image_id", "parent_batch_id"]).assign(
        batch_id=name, kind=name.split("-")[0], attributes="colour", amount=price, vendor="acme", is_gold=False
    )
    store.write(Manifest("batch_plans", spec.name, name, conform(frame, CONTRACTS["batch_plans"])))
    store.charge(spec.name, "labels", "acme", name, len(rows), price * len(rows), "EUR")


def test_what_settles_a_batch_is_counted_once(store: Store) -> None:
    spec = make_spec(COLOUR)
    quality = conform(
        pd.DataFrame({"image_id": ["i1", "i2", "i3"], "decision": ["accept", "rework", "adjudicate"], "n_more": [0, 1, 0]}).assign(
            batch_id="production-001", kind="production", task_id=["t1", "t2", "t3"], attribute="colour", object_id="", label="red",
            posterior=0.99, n_labels=2, is_gold=False, is_audit=[True, False, False], vendor="acme", inspection="normal", most_wrong=0,
        ),
        CONTRACTS["label_quality"],
    )  # fmt: skip
    planned(store, spec, "production-001", [("i1", None), ("i2", None), ("i3", None)], 0.2)
    planned(store, spec, "production-002", [("j1", None)], 0.2)
    before = batch.verdict(store, spec, "production-001", quality).money
    assert before == {"cost so far": 0.6, "more labels": 0.1, "our own people": 1.0, "cost expected in all": 1.7}
    planned(store, spec, "rework-001", [("i2", "production-001")], 0.1)
    planned(store, spec, "adjudication-001", [("i1", "production-001"), ("i3", "production-001"), ("j1", "production-002")], 0.5)
    after = batch.verdict(store, spec, "production-001", quality).money
    assert after == {"cost so far": pytest.approx(1.7), "more labels": 0.0, "our own people": 0.0, "cost expected in all": 1.7}


def test_a_batch_is_not_paid_on_its_vendors_own_rework_but_on_what_our_people_say_of_that(store: Store) -> None:
    spec, images = changed(make_spec(COLOUR), gates={"min_accept_share": 0.0}), ["i1", "i2", "i3", "i4"]
    common = pd.DataFrame({"image_id": images, "task_id": images}).assign(
        attribute="colour", object_id="", label="red", posterior=0.99, n_labels=2, n_more=0, is_gold=False, vendor="acme"
    )

    def judged(name: str, **columns: object) -> pd.DataFrame:
        rows = common.assign(batch_id=name, kind=name.split("-")[0], is_audit=False, **columns)
        return conform(rows, CONTRACTS["label_quality"])

    quality = judged("production-001", decision="rework")
    again = judged("rework-001", decision="accept", inspection="normal", most_wrong=0).assign(is_audit=[True, True, False, False])
    planned(store, spec, "production-001", [(image, None) for image in images], 0.2)
    planned(store, spec, "rework-001", [(image, "production-001") for image in images], 0.1)
    put(store, "label_quality", "production-001", quality)
    put(store, "label_quality", "rework-001", again)
    said = batch.verdict(store, spec, "production-001", quality)
    assert said.pay == "not yet" and "2 audited labels of its rework are still to be answered: plan adjudication" in said.sentence
    planned(store, spec, "adjudication-001", [(image, "rework-001") for image in images[:2]], 0.5)
    put(store, "label_quality", "adjudication-001", judged("adjudication-001", decision="accept").head(2))
    said = batch.verdict(store, spec, "production-001", quality)
    assert said.pay == "pay" and "2 of 2 questions were settled as its answers had it (2 more by rework alone)" in said.sentence
