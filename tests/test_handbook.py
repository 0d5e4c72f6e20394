"""Guidelines and training packs from the store: what they show is hidden gold no more, and what may not be shown any more leaves them."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataops_assets import gates, planning, waiting
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import gating, handbook, labels
from dataops_assets.flow import gold as flow_gold
from dataops_assets.imaging.illustrations import RIGHT, Wanted, illustration
from dataops_assets.manifest import Manifest, conform, empty
from dataops_assets.reports import anew, panels, shown
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import guidelines, label_tasks
from dataops_assets.store import NotReleased, Store, now
from tests.conftest import changed
from tests.labels.world import COLOUR, PARTS, make_sources, make_spec

SPEC = changed(make_spec(COLOUR, PARTS, pilot_size=12, gold_share=0.5, batch_size=4), brief={"budget": 900})
COLOURS = ("red", "blue", "NA")


def release(store: Store, made: Manifest) -> Manifest:
    store.write(made)
    gates.enter(store, made, gates.Verdict("pass"), run_id="", until=None)
    return made


def agreed(store: Store, spec: ProjectSpec = SPEC) -> Manifest:
    return labels.brief(store, spec)


def make(store: Store, spec: ProjectSpec = SPEC) -> Manifest:
    """Guidelines through their own gate."""
    made = handbook.guidelines(store, spec, agreed(store, spec))
    store.write(made)
    verdict = gates.pass_through(store, spec, "guidelines", made.partition, made.version)
    assert verdict.is_released, verdict.reason
    return made


def examples(made: Manifest) -> set[str]:
    return {one.image_id for one in guidelines.edition(made.frame).examples}


@pytest.fixture
def world(store: Store) -> Store:
    """Forty pictures, and a pilot of twelve that two of our own people labelled; they differed on one."""
    release(store, Manifest("augmented_set", SPEC.name, "d1", make_sources(40, store.blobs)))
    make(store)
    planning.plan_batches(store, SPEC, "pilot")
    pilot = store.only("batch_plans", SPEC.name, "pilot-001").frame
    rows = []
    for n, image in enumerate(pilot["image_id"]):
        row = {"batch_id": "pilot-001", "kind": "pilot", "image_id": image, "n_labels": 2, "posterior": 1.0, "ontology_version": "7"}
        rows.append(row | {"attribute": "colour", "object_id": "", "label": COLOURS[n % 3]})
        rows.append(row | {"attribute": "parts", "object_id": "001", "label": "bag", "x": 4.0, "y": 3.0, "w": 20.0, "h": 18.0})
    release(store, Manifest("approved_labels", SPEC.name, "pilot-001", conform(pd.DataFrame(rows), CONTRACTS["approved_labels"])))
    given = [
        {"batch_id": "pilot-001", "row_id": f"{n}", "image_id": image, "attribute": "colour", "status": "accepted", "ontology_version": "7",
         "label": "blue" if n == 6 else COLOURS[n % 3]}
        for n, image in enumerate(pilot["image_id"])
    ]  # fmt: skip
    release(store, Manifest("labeled_batches", SPEC.name, "pilot-001", conform(pd.DataFrame(given), CONTRACTS["labeled_batches"])))
    release(store, Manifest("label_quality", SPEC.name, "pilot-001", empty("label_quality")))
    return store


def hidden(store: Store) -> set[str]:
    """What a qualification would hide now."""
    batch = planning.plan_batches(store, SPEC, "qualification", vendor="acme").batch_ids[0]
    return set(store.only("batch_plans", SPEC.name, batch).frame["image_id"])


def send(store: Store, batch: str) -> tuple[Manifest, Path]:
    """The request of a planned batch."""
    made = release(store, labels.label_tasks(store, SPEC, batch, store.load("guidelines", SPEC.name)))
    gating.publish(store, SPEC, made)
    return made, store.home.requests(SPEC.name) / batch


def plain_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def pictures_of(page: str) -> int:
    return page.count("data:image/jpeg;base64,")


def test_before_the_pilot_there_are_no_pictures_and_new_gold_alone_makes_nothing_old(world: Store) -> None:
    first = world.load("guidelines", SPEC.name)
    assert examples(first) == set() and guidelines.edition(first.frame).number == 1
    assert handbook.is_current(world, SPEC, agreed(world))
    assert not handbook.is_current(world, changed(SPEC, brief={"goal": "Find more."}), agreed(world))
    release(world, agreed(world))
    assert waiting.setup(world, SPEC) is None


def test_gold_in_the_guidelines_is_entered_as_shown_and_hidden_no_more(world: Store) -> None:
    made = make(world)
    told = guidelines.edition(made.frame)
    assert 0 < len(examples(made)) <= 3  # a quarter of twelve
    assert {(one.attribute, one.value) for one in told.examples if not one.given} == {
        ("colour", "red"), ("colour", "blue"), ("colour", "NA"), ("parts", "bag"),
    }  # fmt: skip
    (mixed,) = [one for one in told.examples if one.is_mixed_up]
    assert (mixed.value, mixed.given, mixed.answers) == ("red", "blue", 1)
    assert told.number == 2 and told.changes[0].startswith("New pictures of ")
    entries = world.gold.rows()
    assert set(entries["image_id"]) == examples(made) and set(entries["action"]) == {"show"} and world.gold.verify() == []
    assert not hidden(world) & examples(made)
    assert flow_gold.measuring(world, SPEC)[0]["image_id"].nunique() == 12  # what it measured stands


@pytest.mark.parametrize(("chance", "is_shown"), [(0.995, True), (0.9, False)])
def test_labels_nobody_can_doubt_are_shown_before_gold_is(world: Store, chance: float, is_shown: bool) -> None:
    pilot = set(world.only("batch_plans", SPEC.name, "pilot-001").frame["image_id"])
    others = sorted(set(world.load("augmented_set", SPEC.name, "d1").frame["image_id"]) - pilot)[:6]
    rows = [
        {"batch_id": "production-001", "kind": "production", "image_id": image, "n_labels": 3, "posterior": chance, "ontology_version": "7",
         "attribute": "colour", "object_id": "", "label": COLOURS[n % 3]}
        for n, image in enumerate(others)
    ]  # fmt: skip
    release(world, Manifest("approved_labels", SPEC.name, "production-001", conform(pd.DataFrame(rows), CONTRACTS["approved_labels"])))
    assert bool(examples(make(world)) & set(others)) is is_shown


def test_making_them_again_is_the_same_version_and_gives_nothing_more_away(world: Store) -> None:
    made = make(world)
    again = handbook.guidelines(world, SPEC, agreed(world))
    assert again.version == made.version and len(world.gold.rows()) == len(examples(made))


def test_killed_after_the_ledger_the_next_try_ends_the_same(world: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(guidelines, "build", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            handbook.guidelines(world, SPEC, agreed(world))
    entered = set(world.gold.rows()["image_id"])
    assert entered and not hidden(world) & entered  # never hidden and shown
    assert examples(make(world)) == entered


def test_gold_in_a_batch_on_its_way_is_not_given_away(world: Store) -> None:
    assert len(hidden(world)) == 4
    busy = set(world.only("batch_plans", SPEC.name, "qualification-001").frame["image_id"])
    assert not examples(make(world)) & busy


def test_the_gate_holds_guidelines_that_show_hidden_gold(world: Store) -> None:
    made = make(world)
    gold = sorted(set(flow_gold.measuring(world, SPEC)[0]["image_id"]) - examples(made))[0]
    spoilt = made.frame.assign(examples=made.frame["examples"].str.replace(sorted(examples(made))[0], gold))
    candidate = Manifest("guidelines", SPEC.name, made.partition, spoilt, made.inputs)
    world.write(candidate)
    verdict = gates.pass_through(world, SPEC, "guidelines", candidate.partition, candidate.version)
    assert not verdict.is_released and verdict.reason == "hidden_gold_kept"


def test_a_batch_carries_the_pictures_but_none_of_itself(world: Store) -> None:
    made = make(world)
    planning.plan_batches(world, SPEC, "production")
    _, folder = send(world, "production-001")
    page = (folder / "guidelines.html").read_text()
    assert pictures_of(page) == len(guidelines.edition(made.frame).examples)
    assert "Edition 2" in page and "New since edition 1" in page and not re.search(r"<script|href=|url\(|src=\"(?!data:)", page)
    frame = world.load("label_tasks", SPEC.name, "production-001").frame
    edition = handbook.edition(world, SPEC, made.frame)
    label_tasks.write_request(frame.assign(image_id=sorted(examples(made))[0]), SPEC, folder, world.blobs, edition)
    assert pictures_of((folder / "guidelines.html").read_text()) < pictures_of(page)


def test_tasks_wait_for_guidelines_that_ask_as_the_yaml_does(world: Store) -> None:
    make(world)
    planning.plan_batches(world, SPEC, "production")
    other = changed(SPEC, ontology={"attributes": [{**COLOUR, "values": {**COLOUR["values"], "red": "Red alone."}}, PARTS]})  # type: ignore[dict-item]
    with pytest.raises(NotReleased, match="ask otherwise than its YAML: make them anew"):
        labels.label_tasks(world, other, "production-001", world.load("guidelines", SPEC.name))


class TestPack:
    def test_it_is_a_request_like_any_other_with_answers_and_reasons(self, world: Store) -> None:
        made = make(world)
        folder, tasks, left = handbook.training_pack(world, SPEC, 3)
        assert (folder.name, tasks) == ("training-002", 3)
        names = {path.name for path in folder.iterdir()}
        assert {"tasks.csv", "guidelines.html", "answers.csv", "answers.html", "checksums.txt", "label_studio_tasks.json"} <= names
        asked = {row["item_id"] for row in table(folder / "tasks.csv")}
        answers = table(folder / "answers.csv")
        assert {row["item_id"] for row in answers} == asked and len(answers) == 6
        bag = next(row for row in answers if row["attribute"] == "parts")
        assert (bag["label"], bag["x"], bag["w"], bag["why"]) == ("bag", "4.0", "20.0", "A bag.")
        assert "Nothing is returned" in (folder / "README.txt").read_text()
        page = (folder / "answers.html").read_text()
        assert pictures_of(page) == 3 and "Sky to navy." in page
        entries = world.gold.rows()
        practised = set(entries.loc[entries["action"] == "practise", "image_id"])
        assert len(practised) == 3 and not practised & examples(made)
        assert not practised & hidden(world) and left == 12 - 3 - len(examples(made))

    def test_asked_for_again_it_is_the_same_and_more_adds_to_it(self, world: Store) -> None:
        make(world)
        folder, _, left = handbook.training_pack(world, SPEC, 2)
        before = plain_files(folder)
        assert handbook.training_pack(world, SPEC, 2) == (folder, 2, left) and plain_files(folder) == before
        more, tasks, fewer = handbook.training_pack(world, SPEC, 3)
        assert (more, tasks, fewer) == (folder, 3, left - 1)

    def test_practised_pictures_are_never_in_the_guidelines(self, world: Store) -> None:
        make(world)
        handbook.training_pack(world, SPEC, 4)
        entries = world.gold.rows()
        practised = set(entries.loc[entries["action"] == "practise", "image_id"])
        assert not examples(make(world)) & practised

    def test_it_leaves_some_gold_hidden_or_is_refused(self, world: Store, store: Store) -> None:
        make(world)
        with pytest.raises(ValueError, match="would leave no hidden gold"):
            handbook.training_pack(world, SPEC, 12)
        assert "practise" not in set(world.gold.rows()["action"])  # nothing was given away for it

    def test_without_gold_it_says_what_to_do(self, store: Store) -> None:
        make(store)
        with pytest.raises(ValueError, match="label and approve a pilot first"):
            handbook.training_pack(store, SPEC, 2)

    def test_of_others_mistakes_it_tells_what_they_answered(self, world: Store) -> None:
        book = make(world)
        wrong = handbook._mixed(world, SPEC)
        (image,) = set(wrong["image_id"])
        gold = flow_gold.measuring(world, SPEC)[0]
        answers = gold[gold["image_id"] == image].assign(why="You said blue.")
        folder = handbook.write_pack(world, SPEC, "retraining-x", answers, book, mixed=wrong, title="Your own mistakes")
        rows = {row["attribute"]: row for row in table(folder / "answers.csv")}
        assert rows["colour"]["why"] == "Red | wine. Others answered blue (1). You said blue."
        with pytest.raises(ValueError, match="may be shown any more"):
            handbook.write_pack(world, SPEC, "retraining-y", answers.assign(image_id="gone"), book)
        assert "Your own mistakes" in (folder / "answers.html").read_text()


class TestTakenOut:
    @pytest.fixture
    def sent(self, world: Store) -> Iterator[tuple[Store, Manifest, Path]]:
        made = make(world)
        planning.plan_batches(world, SPEC, "production", limit=4)
        _, folder = send(world, "production-001")
        handbook.training_pack(world, SPEC, 2)
        yield world, made, folder

    def withdraw(self, store: Store, image: str) -> list[str]:
        row = {"project": SPEC.name, "drop_id": None, "image_id": image, "reason": "consent", "by": "ann", "at": now()}
        assert anew.withdraw(store, SPEC, row) == ([], [])
        return handbook.sent_with(store, SPEC, [image])

    def test_a_withdrawn_picture_leaves_the_page_the_requests_and_the_packs(self, sent: tuple[Store, Manifest, Path]) -> None:
        store, made, folder = sent
        page = store.home.reports(SPEC.name) / "guidelines" / "-.html"
        before, image = page.read_text(), sorted(examples(made))[0]
        lost = sum(one.image_id == image for one in guidelines.edition(made.frame).examples)
        told = self.withdraw(store, image)
        assert pictures_of(page.read_text()) == pictures_of(before) - lost
        assert pictures_of((folder / "guidelines.html").read_text()) == pictures_of(before) - lost
        sums = dict(reversed(line.split("  ")) for line in (folder / "checksums.txt").read_text().splitlines())
        assert sums["guidelines.html"] == hashlib.sha256((folder / "guidelines.html").read_bytes()).hexdigest()
        assert told[0].startswith("The guidelines sent with batch production-001 showed it")
        linked = set(re.findall(r"!\[\]\((.*?)\)", (folder / "guidelines.md").read_text()))
        lying = {path.relative_to(folder).as_posix() for path in (folder / "guidelines").iterdir()}
        assert linked == lying == {name for name in sums if name.startswith("guidelines/")} and linked
        assert told[1].startswith("training-002 was made with it and is deleted here") and not (folder.parent / "training-002").exists()
        assert image not in examples(make(store))

    def test_a_practised_one_takes_its_pack_along_and_nothing_else(self, sent: tuple[Store, Manifest, Path]) -> None:
        store, _, folder = sent
        before = (folder / "guidelines.html").read_bytes()
        entries = store.gold.rows()
        told = self.withdraw(store, sorted(entries.loc[entries["action"] == "practise", "image_id"])[0])
        assert [line.split()[0] for line in told] == ["training-002"] and (folder / "guidelines.html").read_bytes() == before

    def test_guidelines_that_cannot_be_drawn_are_taken_away(
        self, sent: tuple[Store, Manifest, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, made, folder = sent
        monkeypatch.setattr(handbook, "edition_of", lambda *given: 1 / 0)
        self.withdraw(store, sorted(examples(made))[0])
        assert not any((folder / name).exists() for name in ("guidelines.html", "guidelines.md", "guidelines"))
        assert (folder / "tasks.csv").exists()

    def test_a_picture_nobody_showed_changes_nothing(self, sent: tuple[Store, Manifest, Path]) -> None:
        store, _, folder = sent
        other = sorted(set(make_sources(40)["image_id"]) - set(store.gold.rows()["image_id"]))[0]
        assert self.withdraw(store, other) == [] and (folder.parent / "training-002").is_dir()


def test_the_ui_shows_right_and_wrong_pictures_and_links_to_the_page(world: Store) -> None:
    made = make(world)
    parts = shown.parts(world, SPEC, made)
    assert parts["guidelines page"] == panels.Page("demo/guidelines/-.html")
    assert (world.home.reports("demo") / "guidelines" / "-.html").is_file()
    assert isinstance(parts["right answers"], panels.Picture) and isinstance(parts["wrong answers"], panels.Picture)
    assert parts["edition"] == 2 and parts["pictures"] == len(guidelines.edition(made.frame).examples)
    assert parts["without a picture"].lines == ["No picture shows parts hat."]
    assert len(parts["right answers"].jpeg) <= 150_000


def test_the_box_asked_for_is_drawn_where_it_belongs(store: Store) -> None:
    file = BytesIO()
    Image.new("RGB", (800, 400), (90, 90, 90)).save(file, "PNG")
    jpeg = illustration(store.blobs, Wanted(store.blobs.put(file.getvalue()), ((200.0, 100.0, 400.0, 200.0),)))
    pixels = np.asarray(Image.open(BytesIO(jpeg)).convert("RGB")).astype(int)
    assert pixels.shape[:2] == (96, 192)
    green = (np.abs(pixels - np.array(RIGHT)).sum(axis=2) < 90).nonzero()
    assert (
        abs(green[1].min() - 48) <= 2 and abs(green[1].max() - 143) <= 2 and abs(green[0].min() - 24) <= 2 and abs(green[0].max() - 71) <= 2
    )
