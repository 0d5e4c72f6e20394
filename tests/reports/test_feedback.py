"""What a vendor hears of a batch helps its people, names nobody else, and is no help to whoever looks for the gold."""

from __future__ import annotations

import csv
import re
import shutil
from copy import copy
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from dataops_assets import gates, manifest, planning
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import delivery, handbook, history, labels
from dataops_assets.flow import gold as flow_gold
from dataops_assets.home import Home, pseudonym
from dataops_assets.labels.handbook import html as handbook_html
from dataops_assets.manifest import Manifest
from dataops_assets.operations import Operations
from dataops_assets.reports import feedback, shown
from dataops_assets.reports.panels import Points, Table
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import approved_labels, gold, label_quality, label_tasks, labeled_batches
from dataops_assets.stages import vendor_feedback as stage
from dataops_assets.store import Store, now
from tests.conftest import changed
from tests.labels.world import KEY, make_csv, make_sources, make_spec, make_tasks

COLOUR = {
    "name": "colour", "question": "Which <b>colour</b>?",
    "values": {"red": "Red <i>or</i> wine.", "=blue": "=Sky to navy.", "green": "Mint.", "white": "Ivory."},
}  # fmt: skip
VALUES = list(COLOUR["values"])
VENDORS = [
    {"name": "acme", "price_per_label": 0.1}, {"name": "rivals", "price_per_label": 0.05}, {"name": "us", "internal": True},
]  # fmt: skip
SPEC = changed(
    make_spec(COLOUR, batch_size=60, pilot_size=20, gold_share=0.25, overlap=3),
    brief={"budget": 5000, "requester": "secretive team"},
    labeling={"vendors": VENDORS},
)
WORKERS = ("Ann Smith", "Bob", "Cid", "Dee")


def settle(labeled: pd.DataFrame, tasks: pd.DataFrame, known: pd.DataFrame, spec: ProjectSpec = SPEC) -> pd.DataFrame:
    return label_quality.assess(labeled, tasks, known, spec)


class Town:
    """A project whose pilot is gold and whose first production batch came back, every page written."""

    def __init__(self, store: Store, spec: ProjectSpec = SPEC) -> None:
        self.found(store, spec)
        self.put("augmented_set", "d1", make_sources(90, store.blobs))
        planning.plan_batches(store, spec, "pilot")
        pilot = store.only("batch_plans", spec.name, "pilot-001").frame
        self.truth = {image: VALUES[place % 4] for place, image in enumerate(sorted(make_sources(90, store.blobs)["image_id"]))}
        rows = pilot[["batch_id", "kind", "image_id"]]
        rows = rows.assign(attribute="colour", object_id="", label=rows["image_id"].map(self.truth), n_labels=2, task_id="t")
        self.put("approved_labels", "pilot-001", rows)
        planning.plan_batches(store, spec, "production")
        self.made = self.returned("production-001")

    def found(self, store: Store, spec: ProjectSpec) -> None:
        """Its home, with a key that is always the same: it draws what is audited and what is shown."""
        self.store, self.spec = store, spec
        store.home.root.mkdir(parents=True, exist_ok=True)
        (store.home.root / "worker.key").write_bytes(KEY)

    def put(self, asset: str, partition: str, frame: pd.DataFrame, inputs: manifest.Inputs | None = None) -> Manifest:
        made = Manifest(asset, self.spec.name, partition, frame, inputs or {})
        self.store.write(made)
        row = {"project": self.spec.name, "asset": asset, "partition": partition, "version": made.version, "outcome": "pass", "by": "gate"}
        self.store.gates.append(lambda rows: [row | {"at": now(), "inputs": "{}", "files": "{}"}])
        return made

    def tasks_of(self, batch: str) -> Manifest:
        plan = self.store.only("batch_plans", self.spec.name, batch).frame
        return self.put("label_tasks", batch, label_tasks.build(plan, labels.may_show(self.store, self.spec, plan), self.spec))

    def returned(self, batch: str, wrong: float = 0.2) -> Manifest:
        """Answers of three of the four people; the first one takes white for green."""
        tasks = self.tasks_of(batch)
        rng = np.random.default_rng(3)
        rows = []
        for task, image in zip(tasks.frame["task_id"], tasks.frame["image_id"], strict=True):
            right = self.truth[image]
            for place in sorted(rng.permutation(4)[:3]):
                given = VALUES[int(rng.integers(4))] if rng.random() < wrong else right
                given = "green" if place == 0 and right == "white" else given
                rows.append(f"{task},colour,{given},,,,,{WORKERS[place]},2026-01-02T00:{len(rows) // 60:02d}:{len(rows) % 60:02d}Z,5")
        frame = labeled_batches.accept([("acme", "a.csv", make_csv(*rows))], tasks.frame, self.spec, KEY)
        return self.came_back(batch, tasks, frame)

    def came_back(self, batch: str, tasks: Manifest, frame: pd.DataFrame) -> Manifest:
        """What becomes of `labeled_batches` rows of a batch, to the vendor's pages."""
        labeled = self.put("labeled_batches", batch, frame, tasks.input)
        quality = self.put("label_quality", batch, labels.label_quality(self.store, self.spec, labeled, tasks).frame)
        made = labels.vendor_feedback(self.store, self.spec, quality, labeled, tasks)
        made = self.put("vendor_feedback", batch, made.frame, made.inputs)
        feedback.write(self.store, self.spec, made)
        return made

    @property
    def folder(self) -> Path:
        return feedback.folder(self.store, self.spec, "acme", "production-001")

    def texts(self) -> dict[str, str]:
        return {str(path.relative_to(self.folder)): path.read_text("utf-8") for path in sorted(self.folder.rglob("*")) if path.is_file()}

    def hidden(self) -> set[str]:
        return gold.hidden(self.store.load("label_tasks", self.spec.name, "production-001").frame)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(Store(Home.at(tmp_path_factory.mktemp("built") / "home")))


@pytest.fixture
def town(built: Town, tmp_path: Path) -> Town:
    """One to change."""
    shutil.copytree(built.store.home.root, tmp_path / "home")
    mine = copy(built)
    mine.store = Store(Home.at(tmp_path / "home"))
    return mine


def without_pictures(text: str) -> str:
    return re.sub("base64,[^\"']*", "", text)


class Markup(HTMLParser):
    """The tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_folder_can_be_sent_as_it_is(town: Town) -> None:
    texts = town.texts()
    assert {"index.html", "people.csv", "mistakes.csv"} <= texts.keys() and any(name.startswith("packs/w-") for name in texts)
    for name, text in texts.items():
        for word in ("rivals", "secretive", *WORKERS, str(town.store.home.root), "gate", "flagged", "EUR"):
            assert not re.search(rf"(?<![\w/]){re.escape(word)}\b", without_pictures(text)), (word, name)
        if name.endswith(".html"):
            tags = Markup(text).tags
            assert not {tag for tag, _ in tags} & {"script", "iframe", "object", "form", "link", "i"}
            assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
            assert all((value or "").startswith(("data:", "packs/", "guidelines.html", "../guidelines.html"))
                       for _, attributes in tags for key, value in attributes.items() if key in ("href", "src"))  # fmt: skip


def test_formulas_are_disarmed_in_the_sheets(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "SHOWN_SHARE", 1.0)  # a third, by a key that is new each time, may hold none
    feedback.write(town.store, SPEC, town.made)
    for name in ("people.csv", "mistakes.csv"):
        rows = list(csv.reader(StringIO(town.texts()[name])))
        assert len(rows) > 1
        assert not [cell for row in rows for cell in row if re.match(r"^[=+@]|^-\D", cell)], name
    assert "'=blue" in town.texts()["mistakes.csv"]


def test_people_are_named_by_pseudonyms_and_hear_what_to_read_again(town: Town) -> None:
    rows = list(csv.DictReader(StringIO(town.texts()["people.csv"])))
    assert {row["worker"] for row in rows} == {pseudonym(KEY, "acme", name) for name in WORKERS}
    ann = next(row for row in rows if row["worker"] == pseudonym(KEY, "acme", "Ann Smith"))
    assert ann["most often confused"] == "white called green" and "white: Ivory. green: Mint." in ann["read again"]


def test_a_pack_shows_ones_own_mistakes_with_pictures_and_definitions(town: Town) -> None:
    ann = pseudonym(KEY, "acme", "Ann Smith")
    mistakes = [row for row in csv.DictReader(StringIO(town.texts()["mistakes.csv"])) if row["worker"] == ann]
    pack = town.texts()[f"packs/{ann}.html"]
    assert mistakes and all(row["item_id"] in pack for row in mistakes)
    assert pack.count("data:image/jpeg") == len(mistakes) and "Ivory." in pack
    others = {row["item_id"] for row in csv.DictReader(StringIO(town.texts()["mistakes.csv"])) if row["worker"] != ann}
    assert not any(item in pack for item in others - {row["item_id"] for row in mistakes})


def test_no_hidden_gold_is_named_and_no_picture_of_it_shown(town: Town) -> None:
    hidden = town.hidden()
    assert len(hidden) >= 10
    for name, text in town.texts().items():
        assert not [task for task in hidden if task in text], name
        assert "gold" not in without_pictures(text).lower(), name


def test_a_test_of_the_vendor_is_told_in_shares_alone(town: Town) -> None:
    store = town.store
    planning.plan_batches(store, SPEC, "qualification", vendor="acme")
    town.returned("qualification-001")
    folder = feedback.folder(store, SPEC, "acme", "qualification-001")
    assert len((folder / "mistakes.csv").read_text().splitlines()) == 1 and not (folder / "packs").exists()
    page = (folder / "index.html").read_text()
    assert re.search(r"\d+% right, surely \d+% or more", page) and "data:image" not in page


def test_gold_that_a_person_has_seen_counts_in_no_table(town: Town) -> None:
    store, strict = town.store, changed(SPEC, labeling={"gold_sights": 1})
    town.spec = strict
    planning.plan_batches(store, strict, "qualification", vendor="acme")
    made = town.returned("qualification-001")
    first, second = (store.load("labeled_batches", strict.name, batch).frame for batch in ("production-001", "qualification-001"))
    known = set(map(tuple, first.loc[first["task_id"].isin(town.hidden()), ["worker_id", "image_id"]].to_numpy()))
    worn = sum(pair in known for pair in map(tuple, second[["worker_id", "image_id"]].to_numpy()))
    assert 0 < worn < len(second)
    assert made.frame["n_worn"].sum() == worn and made.frame["n_gold"].sum() == len(second) - worn
    quality = store.load("label_quality", strict.name, "qualification-001").frame
    assert quality["n_labels"].sum() == len(second) - worn
    assert made.inputs["seen_before"] == {"production-001": store.released("labeled_batches", strict.name)["production-001"]}
    again = flow_gold.seen_before(store, strict, store.load("label_tasks", strict.name, "production-001"))
    assert again[0].empty and again[1] == {}  # what was planned later doesn't count


def test_gold_that_a_person_has_seen_teaches_nothing_about_him_later(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    store = town.store
    town.spec = changed(SPEC, labeling={"gold_sights": 1})
    given: list[pd.DataFrame] = []

    def spy(*frames: object, before: pd.DataFrame, **others: object) -> pd.DataFrame:
        given.append(before)
        return assess(*frames, before=before, **others)  # type: ignore[arg-type]

    assess = label_quality.assess
    monkeypatch.setattr(label_quality, "assess", spy)
    for number in (1, 2):
        planning.plan_batches(store, town.spec, "qualification", vendor="acme")
        town.returned(f"qualification-00{number}")
    first, second = (store.load("labeled_batches", "demo", batch).frame for batch in ("production-001", "qualification-001"))
    known = set(map(tuple, first.loc[first["task_id"].isin(town.hidden()), ["worker_id", "image_id"]].to_numpy()))
    fresh = [pair not in known for pair in map(tuple, second[["worker_id", "image_id"]].to_numpy())]
    assert 0 < sum(fresh) < len(second)
    assert set(given[-1]["row_id"]) == set(first["row_id"]) | set(second.loc[fresh, "row_id"])


def test_few_known_answers_are_not_told() -> None:
    answers = pd.DataFrame({
        "attribute": "colour", "image_id": [f"i{n // 3}" for n in range(12)], "on_gold": True, "is_judged": True, "is_right": True,
        "vendor": "acme", "right": "red", "label": "red", "task_id": [f"t{n // 3}" for n in range(12)], "worker_id": "w",
    })  # fmt: skip
    assert feedback.known(answers).empty  # twelve answers, on four pictures
    more = pd.concat([answers, answers.assign(image_id="i9", task_id="t9").head(1)])
    assert feedback.known(more)["accuracy"].tolist() == [1.0]
    wrong = answers.assign(is_right=False, label="green").head(6)  # six mistakes on two pictures of gold: they would be found
    assert feedback.confused(pd.concat([answers, wrong])).empty


class TestWhoeverLooksForTheGold:
    """A vendor knows all its people's answers, this code, and what it was told. It doesn't know the key."""

    N = 4000

    def batch(self, key: bytes = b"ours") -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Its view: a row a question with `is_split` (two against one) and `was_shown`; and whether it is gold, which it doesn't know."""
        spec = make_spec(COLOUR, batch_size=self.N, pilot_size=4)
        tasks = make_tasks(spec, 4)
        images = [f"{n:064x}" for n in range(self.N)]
        rng = np.random.default_rng(5)
        is_gold = rng.random(self.N) < 0.15
        tasks = pd.concat([tasks.head(1)] * self.N, ignore_index=True).assign(
            image_id=images, task_id=[f"t{n:015x}" for n in range(self.N)], is_gold=is_gold
        )
        truth = rng.integers(0, 4, self.N)
        given = np.where(rng.random((self.N, 3)) < 0.8, truth[:, None], rng.integers(0, 4, (self.N, 3)))
        labeled = pd.DataFrame({
            "batch_id": tasks["batch_id"].iloc[0], "row_id": [str(n) for n in range(3 * self.N)], "task_id": tasks["task_id"].repeat(3),
            "image_id": tasks["image_id"].repeat(3), "attribute": "colour", "worker_id": [f"w-{n % 3:016x}" for n in range(3 * self.N)],
            "vendor": "acme", "label": [VALUES[value] for value in given.ravel()], "status": "accepted", "seconds": 5.0,
        })  # fmt: skip
        labeled = manifest.conform(labeled, CONTRACTS["labeled_batches"])
        known = tasks.loc[is_gold, ["image_id"]].assign(attribute="colour", label=[VALUES[value] for value in truth[is_gold]])
        quality = settle(labeled, tasks, known, spec)
        answers = stage.compared(labeled, quality, tasks, spec)
        registry = known.assign(status=gold.ACTIVE)
        approved = manifest.empty("approved_labels")
        mistakes = feedback.shown(answers, tasks, approved, registry, key)
        with pytest.MonkeyPatch.context() as patch:  # all that may be shown, not only as many as a page holds
            patch.setattr(feedback, "A_WORKER", self.N)
            uncut = feedback.shown(answers, tasks, approved, registry, key)
        top = labeled.groupby(["task_id", "label"]).size().groupby("task_id").max()
        view = pd.DataFrame({"is_gold": is_gold}, index=tasks["task_id"]).assign(is_split=top == 2)
        return view.assign(was_shown=view.index.isin(uncut["task_id"])), mistakes, uncut

    def test_what_is_shown_is_never_gold_and_what_is_not_shown_is_hardly_more_likely_to_be(self) -> None:
        view, mistakes, _ = self.batch()
        assert not view.loc[view["was_shown"], "is_gold"].any() and view["was_shown"].sum() > 200
        assert set(mistakes["worker_id"].value_counts()) == {feedback.A_WORKER}
        split = view[view["is_split"]]
        before = split["is_gold"].mean() / (1 - split["is_gold"].mean())
        silent = split.loc[~split["was_shown"], "is_gold"].mean()
        assert silent / (1 - silent) <= 1.5 * before * 1.05  # odds; the tolerance is chance

    def test_the_code_without_the_key_helps_no_further(self) -> None:
        view, _, _ = self.batch()
        split = view[view["is_split"]]
        for key, bound in ((b"guessed", 0.25), (b"ours", 1.01)):
            expected = [feedback._draw(key, f"{int(task[1:], 16):064x}", "colour") < feedback.SHOWN_SHARE for task in split.index]
            suspects = split[pd.Series(expected, index=split.index) & ~split["was_shown"]]
            found = suspects["is_gold"].mean()
            assert found < bound
        assert found == 1.0  # with the key it would all lie open: the key is what protects it

    @pytest.mark.parametrize("by", ["rework", "adjudication"])
    def test_what_was_settled_later_gives_no_more_away(self, by: str) -> None:
        """Where people split, all but the gold is settled later: shown whole, it would tell the gold by its silence."""
        tasks = pd.concat([make_tasks(make_spec(COLOUR), 1).head(1)] * self.N, ignore_index=True)
        is_gold = np.arange(self.N) % 5 == 0
        tasks = tasks.assign(image_id=[f"{n:064x}" for n in range(self.N)], task_id=[f"t{n:015x}" for n in range(self.N)], is_gold=is_gold)
        answers = pd.DataFrame({
            "task_id": tasks["task_id"].repeat(2), "image_id": tasks["image_id"].repeat(2), "attribute": "colour",
            "worker_id": ["a", "b"] * self.N, "label": ["red", "green"] * self.N, "right": None,
        })  # fmt: skip
        final = pd.DataFrame({"image_id": tasks.loc[~is_gold, "image_id"], "attribute": "colour", "label": "green", "kind": by})
        registry = pd.DataFrame({"image_id": tasks.loc[is_gold, "image_id"], "status": gold.ACTIVE})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(feedback, "A_WORKER", self.N)
            told = set(feedback.shown(answers, tasks, final, registry, b"ours")["image_id"])
            other_batch = answers.assign(task_id="u" + answers["task_id"])
            assert set(feedback.shown(other_batch, tasks, final, registry, b"ours")["image_id"]) == told  # silence doesn't multiply
        silent = is_gold[~tasks["image_id"].isin(told)].mean()
        assert len(told) > 100 and silent / (1 - silent) <= 1.5 * 0.25 * 1.05


def test_retired_gold_may_be_shown(town: Town) -> None:
    registry, _ = flow_gold.registry(town.store, SPEC)
    answers = stage.compared(*feedback.inputs(town.store, SPEC, town.made), SPEC)
    wrong = answers[answers["on_gold"] & answers["is_judged"] & ~answers["is_right"]]["image_id"].iloc[0]
    _, _, tasks = feedback.inputs(town.store, SPEC, town.made)
    nothing = manifest.empty("approved_labels")
    assert wrong not in set(feedback.shown(answers, tasks, nothing, registry, b"k")["image_id"])
    registry.loc[registry["image_id"] == wrong, "status"] = gold.RETIRED
    assert wrong in set(feedback.shown(answers, tasks, nothing, registry, b"k")["image_id"])


def test_links_into_the_guidelines_lead_to_a_place_in_them(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "SHOWN_SHARE", 1.0)
    feedback.write(town.store, SPEC, town.made)
    ids = {attributes["id"] for _, attributes in Markup(handbook_html(SPEC)).tags if attributes.get("id")}
    links = [
        value for name, text in town.texts().items() if name.endswith(".html")
        for _, attributes in Markup(text).tags if "guidelines.html" in (value := attributes.get("href") or "")
    ]  # fmt: skip
    links += [row["in the guidelines"] for row in csv.DictReader(StringIO(town.texts()["mistakes.csv"]))]
    assert len(links) > 10 and {unquote(link.partition("#")[2]) for link in links} <= ids


def test_gold_that_was_shown_before_it_was_answered_measures_nobody(town: Town) -> None:
    store, before = town.store, town.store.load("label_quality", SPEC.name, "production-001").frame
    measured = before[before["gold_correct"].notna()]
    image = str(measured["image_id"].iloc[0])
    handbook.expose(store, SPEC, {image}, gold.PRACTISE, "training-001")
    labeled, tasks = (store.load(asset, SPEC.name, "production-001") for asset in ("labeled_batches", "label_tasks"))
    again = labels.label_quality(store, SPEC, labeled, tasks).frame  # it was answered before
    assert set(again.loc[again["gold_correct"].notna(), "image_id"]) == set(measured["image_id"])
    corrected = town.put("labeled_batches", "production-001", labeled.frame.assign(seconds=4.0), tasks.input)
    made = town.put("label_quality", "production-001", labels.label_quality(store, SPEC, corrected, tasks).frame)
    assert set(made.frame.loc[made.frame["gold_correct"].notna(), "image_id"]) == set(measured["image_id"]) - {image}
    answers = labels.vendor_feedback(store, SPEC, made, corrected, tasks).frame
    assert answers["n_gold"].sum() == town.made.frame["n_gold"].sum() - 3


def test_gold_of_a_batch_that_was_refused_stays_hidden_while_it_may_be_corrected(town: Town) -> None:
    store, plans = town.store, history.plans(town.store, SPEC)
    mine = set(plans.loc[(plans["batch_id"] == "production-001") & plans["is_gold"].astype(bool), "image_id"])
    elsewhere = handbook._busy(store, SPEC, plans)
    assert mine - elsewhere
    row = {"project": SPEC.name, "asset": "label_quality", "partition": "production-001", "version": "v2", "outcome": "fail", "by": "gate"}
    store.gates.append(lambda rows: [row | {"at": now(), "inputs": "{}", "files": "{}"}])
    assert handbook._busy(store, SPEC, plans) == mine | elsewhere


def test_a_withdrawn_picture_goes_from_all_pages(town: Town) -> None:
    rows = list(csv.DictReader(StringIO(town.texts()["mistakes.csv"])))
    tasks = town.store.load("label_tasks", SPEC.name, "production-001").frame.set_index("task_id")
    raw = tasks[["image_id"]].assign(drop_id="d1", path=tasks.index, vendor="shop", status="accepted")
    town.put("raw_images", "d1", raw.reset_index(drop=True))
    task = rows[0]["item_id"]
    before = sum(text.count("data:image") for text in town.texts().values())
    work = Operations(town.store, [SPEC], None)
    told = work.withdraw(SPEC.name, None, tasks.loc[task, "image_id"], "consent revoked", "ann@example.org").notes
    assert not any("still show" in note for note in told)
    after = town.texts()
    assert sum(text.count("data:image") for text in after.values()) < before and "no picture" in after["index.html"] + "".join(
        text for name, text in after.items() if name.startswith("packs/")
    )


def test_what_is_settled_later_is_told_with_the_batch_it_came_from(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "SHOWN_SHARE", 1.0)
    open_ = town.store.load("label_quality", SPEC.name, "production-001").frame
    open_ = open_[open_["decision"] == "rework"]
    assert len(open_)
    planning.plan_batches(town.store, SPEC, "rework")
    plan = town.store.only("batch_plans", SPEC.name, "rework-001").frame
    wanted = plan[~plan["is_gold"].astype(bool)]
    assert set(zip(wanted["image_id"], wanted["attributes"], strict=True)) == set(zip(open_["image_id"], open_["attribute"], strict=True))
    town.returned("rework-001", wrong=0.0)
    quality = town.store.load("label_quality", SPEC.name, "rework-001").frame
    tasks = town.store.load("label_tasks", SPEC.name, "rework-001").frame
    before = town.texts()["mistakes.csv"]
    town.put("approved_labels", "rework-001", approved_labels.approve(quality, tasks, SPEC, "ann"))
    feedback.rewrite(town.store, SPEC, "rework-001")
    after = town.texts()["mistakes.csv"]
    asked = set(open_["task_id"])
    assert not any(task in before for task in asked) and any(task in after for task in asked)
    town.store.write(Manifest("batch_plans", SPEC.name, "rework-002", plan.assign(batch_id="rework-002", parent_batch_id="rework-001")))
    (town.folder / "mistakes.csv").unlink()
    feedback.rewrite(town.store, SPEC, "rework-002")  # what the second round settles is told with the first batch, too
    assert town.texts()["mistakes.csv"] == after


def test_our_own_people_see_signs_agreement_and_classes(town: Town) -> None:
    parts = shown.parts(town.store, SPEC, town.made)
    assert parts["workers"] == 4 and isinstance(parts["what to do"], Points)
    for name in ("on gold, by question", "gold by class", "agreement by question", "agreement by class", "taken for another", "people"):
        assert parts[name] is not None, name
    table = parts["agreement by class"]
    assert isinstance(table, Table) and {row["label"] for row in table.rows} == set(VALUES)
    assert all(row["alpha from"] <= row["alpha"] <= row["to"] for row in table.rows)
    assert parts["taken for another"].rows[0]["given"] == "green"


def test_written_again_it_is_the_same(town: Town) -> None:
    before = town.texts()
    feedback.write(town.store, SPEC, town.made)
    assert town.texts() == before


def test_a_lead_reads_the_scorecard_in_one_table(town: Town) -> None:
    made = delivery.vendor_scorecard(town.store, SPEC)
    parts = shown.parts(town.store, SPEC, made)
    table = {row[""]: row for row in parts["labelling vendors"].rows}
    row = manifest.records(made.frame[made.frame["vendor"] == "acme"])[0]
    assert list(table["right on gold"]) == ["", "acme"]  # who delivered nothing has no column
    assert table["right on gold"]["acme"] == (
        f"{row['gold_accuracy']:.0%} ({row['gold_lower']:.0%} to {row['gold_upper']:.0%}) of {row['n_gold']:,}"
    )
    assert table["first-pass yield"]["acme"] == f"{row['yield_share']:.0%}" and row["amount_gold"] > 0
    assert table["cost of an accepted label, EUR"]["acme"] == f"{row['amount'] / row['accepted']:.4g}"
    loop = parts["batches and their rework"].rows[0]
    assert loop["asked"] == loop["accepted_at_once"] + loop["accepted_after"] + loop["ours"] + loop["open"]
    assert parts["what it says"].lines[0].startswith("acme: ")
    worst = [row["class"] for row in parts["classes with most errors on gold"].rows[:2]]
    assert sorted(worst) == ["green", "white"]  # one is taken for the other
    assert gates.judge(made, SPEC, {})[0].outcome == "pass"
    assert gates.judge(town.made, SPEC, {})[0].outcome == "pass"


BOXED = changed(SPEC, ontology={"attributes": [{"name": "parts", "kind": "box", "values": {"bag": "A bag.", "hat": "A hat."}}]})


class BoxTown(Town):
    """Every picture has a bag and a hat, which everybody boxes; but Bob's bag is too large, and he boxes a hat where there is none."""

    BAG, HAT, LARGE, NOWHERE = "2,2,10,10", "25,15,9,9", "2,2,18,18", "34,0,5,5"

    def __init__(self, store: Store) -> None:
        self.found(store, BOXED)
        self.put("augmented_set", "d1", make_sources(60, store.blobs))
        planning.plan_batches(store, BOXED, "pilot")
        pilot = store.only("batch_plans", BOXED.name, "pilot-001").frame
        sides = {"bag": (2.0, 2.0, 10.0, 10.0), "hat": (25.0, 15.0, 9.0, 9.0)}
        rows = [
            {"batch_id": "pilot-001", "kind": "pilot", "image_id": image, "attribute": "parts", "object_id": f"00{number}", "label": label,
             "n_labels": 2, "task_id": image[:16], **dict(zip("xywh", sides[label], strict=True))}
            for image in pilot["image_id"] for number, label in enumerate(sides)
        ]  # fmt: skip
        self.put("approved_labels", "pilot-001", pd.DataFrame(rows))
        planning.plan_batches(store, BOXED, "production")
        self.made = self.returned("production-001")

    def returned(self, batch: str, wrong: float = 0.0) -> Manifest:
        tasks = self.tasks_of(batch)
        drawn = {who: [("bag", self.BAG), ("hat", self.HAT)] for who in ("Ann Smith", "Cid", "Dee")}
        drawn["Bob"] = [("bag", self.LARGE), ("hat", self.HAT), ("hat", self.NOWHERE)]
        rows = [
            f"{task},parts,{label},{box},{who},,5" for task in tasks.frame["task_id"] for who, made in drawn.items() for label, box in made
        ]
        frame = labeled_batches.accept([("acme", "a.csv", make_csv(*rows))], tasks.frame, self.spec, KEY)
        assert (frame["status"] == "accepted").all()
        return self.came_back(batch, tasks, frame)


def test_wrong_boxes_are_shown_beside_the_right_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "SHOWN_SHARE", 1.0)
    town = BoxTown(Store(Home.at(tmp_path / "home")))
    bob = pseudonym(KEY, "acme", "Bob")
    rows = list(csv.DictReader(StringIO(town.texts()["mistakes.csv"])))
    assert rows and {row["worker"] for row in rows} == {bob}
    assert {(row["was answered"], row["is"]) for row in rows} == {("bag, hat", "bag")}  # his other hat is right
    assert not town.hidden() & {row["item_id"] for row in rows} and town.hidden()
    pack = town.texts()[f"packs/{bob}.html"]
    tags = Markup(pack).tags
    assert pack.count("data:image/jpeg") == pack.count("<svg viewBox='0 0 40 30'") == len(rows)
    shown_ = [tuple(attributes[name] for name in ("class", "x", "y", "width", "height")) for tag, attributes in tags if tag == "rect"]
    assert set(shown_) == {("right", *town.BAG.split(",")), ("given", *town.LARGE.split(",")), ("given", *town.NOWHERE.split(","))}
    people = next(row for row in csv.DictReader(StringIO(town.texts()["people.csv"])) if row["worker"] == bob)
    assert people["most often confused"] == "bag called none" and people["read again"].startswith("bag: A bag.")


def test_boxes_that_our_own_people_settled_later_are_what_is_right(tmp_path: Path) -> None:
    town = BoxTown(Store(Home.at(tmp_path / "home")))
    labeled, quality, tasks = feedback.inputs(town.store, BOXED, town.made)
    answers = stage.compared(labeled, quality, tasks, BOXED)
    image = answers.loc[~answers["on_gold"] & (answers["worker_id"] == pseudonym(KEY, "acme", "Bob")), "image_id"].iloc[0]
    final = pd.DataFrame([
        {"image_id": image, "attribute": "parts", "kind": "adjudication", "label": label,
         **dict(zip("xywh", map(float, box.split(",")), strict=True))}
        for label, box in (("bag", town.LARGE), ("hat", town.HAT), ("hat", town.NOWHERE))
    ])  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feedback, "SHOWN_SHARE", 1.0)
        found = feedback.shown(answers, tasks, final, flow_gold.registry(town.store, BOXED)[0], b"k")
    mine = found[found["image_id"] == image]
    assert set(mine["worker_id"]) == {pseudonym(KEY, "acme", who) for who in ("Ann Smith", "Cid", "Dee")}  # Bob alone was right
    assert set(zip(mine["given"], mine["right"], mine["decided_by"], strict=True)) == {("bag", "bag, hat", "our own people")}
