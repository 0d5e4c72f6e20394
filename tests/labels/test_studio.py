"""Batches in Label Studio, against a server that can be broken at will."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataops_assets.blobs import Blobs
from dataops_assets.labels import handbook, studio, studio_client, tables
from dataops_assets.labels.examples import Example
from dataops_assets.labels.request import write_request
from dataops_assets.labels.studio_client import Client, StudioError
from dataops_assets.manifest import empty
from dataops_assets.stages import label_tasks
from tests.labels.studio_fake import TOKEN, Fake, running
from tests.labels.world import COLOUR, make_sources, make_spec


@pytest.fixture
def fake() -> Iterator[Fake]:
    with running() as held:
        yield held


@pytest.fixture
def client(fake: Fake) -> Client:
    return Client(fake.url, TOKEN)


@pytest.fixture
def batch(tmp_path: Path) -> studio.Batch:
    """Five pictures; each wants two answers."""
    return make_batch(tmp_path)


def make_batch(root: Path, overlap: int = 2) -> studio.Batch:
    blobs = Blobs(str(root / "store"))
    spec, sources = make_spec(COLOUR, pilot_size=5), make_sources(5, blobs)
    (plan,) = label_tasks.plan("pilot", spec, sources, empty("batch_plans")).batches
    tasks = label_tasks.build(plan.assign(overlap=overlap), sources, spec, blobs)
    folder = root / "requests" / "demo" / "pilot-001"
    write_request(tasks, spec, folder, blobs)
    return studio.Batch.read(folder, "demo/pilot-001")


def pictures_of(batch: studio.Batch) -> Path:
    """What the server may read."""
    return batch.folder.parents[2] / "pictures"


def send(client: Client, batch: studio.Batch, **more: Any) -> None:
    studio.send(client, batch, pictures_of(batch), **more)


def shape(fake: Fake) -> Any:
    """What is on the server, without its numbers."""
    named = {one["id"]: one["title"] for one in fake.projects}
    return {
        named[number]: (
            sorted(json.dumps(task["data"], sort_keys=True) for task in rows),
            [one["path"] for one in fake.stores if one["project"] == number],
        )
        for number, rows in fake.rows.items()
    }


def test_each_slot_is_a_project_with_every_picture_once(fake: Fake, client: Client, batch: studio.Batch) -> None:
    send(client, batch)
    assert sorted(one["title"] for one in fake.projects) == ["demo/pilot-001 #1", "demo/pilot-001 #2"]
    for rows in fake.rows.values():
        assert sorted(task["data"]["item_id"] for task in rows) == sorted(item.item_id for item in batch.items)
        assert rows[0]["data"]["image"].startswith("/data/local-files/?d=demo/pilot-001/t")
    folder = pictures_of(batch) / "demo" / "pilot-001"
    assert {one["path"] for one in fake.stores} == {str(folder)}  # this batch's pictures and no others
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        Path(item.file).name: (batch.folder / item.file).read_bytes() for item in batch.items
    }
    (batch.folder / batch.items[0].file).unlink()  # purged
    assert not (folder / Path(batch.items[0].file).name).exists()
    before = copy.deepcopy((fake.projects, fake.rows, fake.stores))
    send(client, batch)
    assert (fake.projects, fake.rows, fake.stores) == before


def test_a_picture_that_wants_fewer_answers_lies_in_fewer_projects(fake: Fake, client: Client, batch: studio.Batch) -> None:
    first, *rest = batch.items
    send(client, studio.Batch(batch.name, batch.folder, batch.config, (studio.Item(first.item_id, first.file, first.data, 1), *rest)))
    assert [len(rows) for rows in fake.rows.values()] == [5, 4]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("how", [(500, b"<h1>Server Error</h1>"), (0, b"")])
def test_broken_off_anywhere_and_sent_again_it_is_there_once(tmp_path: Path, moment: str, how: tuple[int, bytes]) -> None:
    """Whichever request fails, and whether it was carried out or not before the answer got lost."""
    batch = make_batch(tmp_path)
    with running() as whole:
        send(Client(whole.url, TOKEN), batch)
        requests = len(whole.asked)
    for number in range(requests):
        with running() as fake:
            left = iter([None] * number + [how])
            setattr(fake, moment, lambda method, path, left=left: next(left, None))
            client = Client(fake.url, TOKEN)
            with pytest.raises(StudioError):
                send(client, batch)
            send(client, batch)
            assert shape(fake) == shape(whole)


def test_a_task_that_came_twice_is_taken_out_unless_somebody_answered_it(fake: Fake, client: Client, batch: studio.Batch) -> None:
    send(client, batch)
    number, rows = next(iter(fake.rows.items()))
    rows += [task | {"id": task["id"] + 1000, "annotations": [{"id": 1}] * answered} for answered, task in enumerate(rows[:2])]
    send(client, batch)
    assert len(fake.rows[number]) == 6


def test_long_lists_come_page_by_page(fake: Fake, client: Client, batch: studio.Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio_client, "PAGE", 2)
    fake.projects = [{"id": 1000 + number, "title": f"other {number}", "label_config": ""} for number in range(5)]
    send(client, batch)
    send(client, batch)
    assert [len(rows) for rows in fake.rows.values()] == [5, 5]
    for item in batch.items:
        fake.answer("demo/pilot-001 #1", item.item_id, 1, "red")
    assert studio.poll(client, batch, batch.folder / "copies", batch.folder / "tmp").given == 5


def test_a_changed_labelling_page_replaces_the_old_one(fake: Fake, client: Client, batch: studio.Batch) -> None:
    send(client, batch)
    changed = studio.Batch(batch.name, batch.folder, batch.config.replace("Sky to navy.", "Any blue."), batch.items)
    send(client, changed)
    assert {one["label_config"] for one in fake.projects} == {changed.config}


def test_a_server_elsewhere_gets_the_pictures_sent_once(fake: Fake, client: Client, batch: studio.Batch) -> None:
    for _ in range(2):
        studio.send(client, batch, None)
    for number, rows in fake.rows.items():
        held = {f"/data/{name}": data for name, data in fake.files[number].items()}
        assert len(held) == len(rows) == 5
        files = {item.item_id: item.file for item in batch.items}
        assert all(held[task["data"]["image"]] == (batch.folder / files[task["data"]["item_id"]]).read_bytes() for task in rows)
    assert fake.stores == []


def test_answers_to_start_from_are_shown(fake: Fake, client: Client, batch: studio.Batch) -> None:
    item = batch.items[0].item_id
    send(client, batch, prelabels={item: {"colour": "red"}})
    shown = {task["data"]["item_id"]: task.get("predictions") for task in next(iter(fake.rows.values()))}
    assert shown.pop(item)[0]["result"][0]["value"] == {"choices": ["red"]}
    assert set(shown.values()) == {None}
    assert {(one["show_collab_predictions"], one["model_version"]) for one in fake.projects} == {(True, studio.PRELABELS)}


def test_names_too_long_for_label_studio_stay_apart(batch: studio.Batch) -> None:
    long = [studio.Batch(f"{'a' * 60}/production-00{number}", batch.folder, "", batch.items) for number in (1, 2)]
    titles = {one.title(slot) for one in long for slot in (1, 2)}
    assert len(titles) == 4 and all(len(title) <= 50 for title in titles)


# ---- back


def poll(client: Client, batch: studio.Batch, root: Path) -> studio.Answers:
    return studio.poll(client, batch, root / "copies", root / "tmp")


def test_copies_are_only_ever_added(fake: Fake, client: Client, batch: studio.Batch, tmp_path: Path) -> None:
    send(client, batch)
    items = [item.item_id for item in batch.items]

    def copies() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "copies").glob("*")}

    assert (str(poll(client, batch, tmp_path)), copies()) == ("0 of 10 answers", {})
    edited = fake.answer("demo/pilot-001 #1", items[0], 1, "red")
    deleted = fake.answer("demo/pilot-001 #1", items[1], 1, "red")
    assert str(poll(client, batch, tmp_path)) == "2 of 10 answers"
    first = copies()
    poll(client, batch, tmp_path)
    assert copies() == first  # nothing new, nothing written
    edited["result"][0]["value"] = {"choices": ["blue"]}
    edited["updated_at"] = fake.now()
    fake.delete(deleted)
    assert str(poll(client, batch, tmp_path)) == "2 of 10 answers"  # what was deleted there counts here
    assert len(copies()) == 2 and first.items() <= copies().items()
    newest = {item: kept["result"][0]["value"]["choices"] for (item, _), kept in studio.latest(tmp_path / "copies").items()}
    assert newest == {items[0]: ["blue"], items[1]: ["red"]}


def test_one_person_in_two_slots_counts_once(fake: Fake, client: Client, batch: studio.Batch, tmp_path: Path) -> None:
    send(client, batch)
    for slot, who in ((1, 1), (2, 1)):
        for item in batch.items:
            fake.answer(f"demo/pilot-001 #{slot}", item.item_id, who, "red")
    answers = poll(client, batch, tmp_path)
    assert (answers.given, answers.is_complete) == (5, False)
    assert "5 are by somebody who had answered the same picture before" in str(answers)


def test_what_is_handed_over_holds_each_answer_once_and_later_only_what_changed(
    fake: Fake, client: Client, batch: studio.Batch, tmp_path: Path
) -> None:
    send(client, batch)
    made = [fake.answer(f"demo/pilot-001 #{who}", item.item_id, who, "red") for who in (1, 2) for item in batch.items]
    poll(client, batch, tmp_path)
    made[0]["result"][0]["value"]["choices"] = ["blue"]
    made[0]["updated_at"] = fake.now()
    assert poll(client, batch, tmp_path).is_complete
    returns = tmp_path / "returns"

    def rows() -> list[list[dict[str, Any]]]:
        return [
            tables.read(path.read_bytes(), {}, ()).to_dict("records")
            for path in sorted(returns.glob("*.json"), key=lambda p: p.stat().st_mtime_ns)
        ]

    assert studio.hand_over(tmp_path / "copies", returns, tmp_path / "tmp")
    ((*given,),) = rows()
    assert len({(row["item_id"], row["annotator"]) for row in given}) == len(given) == 10
    assert {row["annotator"] for row in given} == {"ann@example.org", "bob@example.org"}
    assert sum(row["label"] == "blue" for row in given) == 1
    assert (returns / "_COMPLETE").exists()
    assert not studio.hand_over(tmp_path / "copies", returns, tmp_path / "tmp")
    made[1]["result"][0]["value"]["choices"] = ["NA"]
    made[1]["updated_at"] = fake.now()
    poll(client, batch, tmp_path)
    assert studio.hand_over(tmp_path / "copies", returns, tmp_path / "tmp")
    assert [(row["label"], row["submitted_at"]) for row in rows()[1]] == [("NA", made[1]["updated_at"])]


def test_files_of_others_and_damaged_copies_are_not_ours(fake: Fake, client: Client, batch: studio.Batch, tmp_path: Path) -> None:
    send(client, batch)
    fake.answer("demo/pilot-001 #1", batch.items[0].item_id, 1, "red")
    poll(client, batch, tmp_path)
    studio.hand_over(tmp_path / "copies", tmp_path / "returns", tmp_path / "tmp")
    (tmp_path / "returns" / "label-studio-export.json").write_text('{"somebody": "else\'s"}')
    (copied,) = (tmp_path / "copies").iterdir()
    before = copied.read_bytes()
    copied.write_bytes(before[:-9])
    assert poll(client, batch, tmp_path).given == 1
    assert copied.read_bytes() == before
    assert not studio.hand_over(tmp_path / "copies", tmp_path / "returns", tmp_path / "tmp")


def test_an_answer_that_strict_readers_refuse_spoils_no_other(fake: Fake, client: Client, batch: studio.Batch, tmp_path: Path) -> None:
    send(client, batch)
    first, second = batch.items[:2]
    fake.answer("demo/pilot-001 #1", first.item_id, 1, "\ud800")
    fake.answer("demo/pilot-001 #1", second.item_id, 1, "red")
    poll(client, batch, tmp_path)
    studio.hand_over(tmp_path / "copies", tmp_path / "returns", tmp_path / "tmp")
    (path,) = (tmp_path / "returns").glob("*.json")
    found = tables.read(path.read_bytes(), {}, ()).set_index("item_id")
    assert (found.loc[first.item_id, "fault"], found.loc[second.item_id, "label"]) == ("SCHEMA", "red")


def test_tasks_that_are_not_ours_are_passed_over(fake: Fake, client: Client, batch: studio.Batch, tmp_path: Path) -> None:
    send(client, batch)
    number = next(iter(fake.rows))
    fake.rows[number].append({"id": 999, "data": {"item_id": "somebody's"}, "annotations": []})
    fake.answer("demo/pilot-001 #1", "somebody's", 1, "red")
    assert poll(client, batch, tmp_path).given == 0
    assert not (tmp_path / "copies").exists()


# ---- what can go wrong


def test_nobody_there_is_a_sentence(batch: studio.Batch) -> None:
    with running() as fake:
        url = fake.url
    with pytest.raises(StudioError, match=rf"{url} doesn't answer: .*refused.* Is it running\?"):
        send(Client(url, TOKEN), batch)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, b"<h1>Server Error</h1>"), "answers 500"),
        ((400, b'{"validation_errors": {"label_config": ["unclosed token"]}}'), "answers 400 .*unclosed token"),
        ((200, b"<html>another program</html>"), "answers no JSON: is this address a Label Studio?"),
        ((200, b"[]"), "something else than Label Studio"),
        ((200, b"{}"), "no 'results' in it"),
        ((401, b"{}"), "doesn't let us in"),
        ((0, b""), "doesn't answer"),
        ((200, b"[" * 100_000), "answers no JSON"),
    ],
)
def test_whatever_is_answered_is_a_sentence(fake: Fake, client: Client, batch: studio.Batch, answer: tuple[int, bytes], said: str) -> None:
    fake.before = lambda method, path: answer
    with pytest.raises(StudioError, match=said):
        send(client, batch)


def test_the_token_goes_to_its_server_and_nowhere_else(fake: Fake, batch: studio.Batch) -> None:
    with running() as other:
        fake.before = lambda method, path: (302, f"{other.url}{path}".encode())
        with pytest.raises(StudioError, match="answers 302"):
            send(Client(fake.url, TOKEN), batch)
        assert other.asked == []


def test_a_token_of_the_newer_kind_is_exchanged(fake: Fake) -> None:
    fake.before = lambda method, path: (200, b'{"access": "short"}' if path == "/api/token/refresh" else b'{"release": "1"}')
    assert Client(fake.url, "a.b.c").version() == "1"
    assert [who for _, _, who in fake.asked] == ["", "Bearer short", "Bearer short"]


def test_a_request_folder_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="can't be read"):
        studio.Batch.read(tmp_path / "none", "demo/none")


def test_the_instructions_are_the_guidelines_without_pictures(client: Client, fake: Fake, tmp_path: Path) -> None:
    batch = make_batch(tmp_path)
    right, wrong = Example("colour", "red", "i1"), Example("colour", "red", "i2", given="blue", answers=3)
    page = handbook.html(make_spec(COLOUR), edition=handbook.Edition(2, (), (right, wrong), {right: b"R", wrong: b"W"}))
    (batch.folder / "guidelines.html").write_text(page)
    send(client, batch)
    told = fake.projects[0]["expert_instruction"]
    assert "Sky to navy." in told and "show pictures of right and wrong answers" in told
    assert not {"<figure", "<img", "base64", "Often mixed up"} & set(re.findall(r"<figure|<img|base64|Often mixed up", told))
    (batch.folder / "guidelines.html").write_text(handbook.html(make_spec(COLOUR)))
    assert "show pictures" not in studio._instruction(batch)
