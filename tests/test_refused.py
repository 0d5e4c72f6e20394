"""What a person saw and no search finds: no page shows it any more, and what shows the same goes with it, whichever drop it came with."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataops_assets import gates, waiting
from dataops_assets.flow import delivery, images, refused
from dataops_assets.imaging.decode import decode, encode
from dataops_assets.manifest import Manifest
from dataops_assets.reports import pictures, shown
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.conftest import changed
from tests.imaging.personal_data.made import scene
from tests.test_personal_data import DAY, World, project


class Seen(World):
    """Grey pictures go to people. Another drop, screened before anybody decided, holds a smaller copy of the grey one."""

    def __init__(self, root: Path, folder: Path) -> None:
        super().__init__(root, folder, changed(project(), gates={"min_keep_share": 0.0, "min_accepted_file_share": 0.0}))
        assert self.desk.gate(self.raw).is_released  # its page is drawn
        grey = Image.fromarray(scene(8).mean(axis=2, keepdims=True).astype("uint8").repeat(3, axis=2))
        small = encode(np.asarray(grey.resize((grey.width * 3 // 4, grey.height * 3 // 4))))
        self.later, self.careless = self.other_drop({"small.jpg": small, "other.jpg": encode(scene(9))}, "d2")

    def other_drop(self, files: dict[str, bytes], name: str) -> tuple[Manifest, Manifest]:
        """Screened by a project that doesn't ask about grey pictures."""
        spec = self.desk.spec
        self.desk.spec = changed(spec, cleaning={"review": []})
        raw = images.raw_images(self.store, self.desk.spec, self.desk.put(files, name=name))
        assert self.desk.gate(raw).is_released
        made = images.cleaned_set(self.store, self.desk.spec, raw)
        assert self.desk.gate(made).is_released
        self.desk.spec = spec
        return raw, made

    def decide(self, word: str, is_screened: bool = True) -> Manifest:
        """What people say about the grey picture; faces are refused."""
        tasks = self.batch("screening")
        self.desk.gate(tasks)
        assert self.sheets(f"label_tasks/{tasks.partition}")  # of what may be seen by everybody: the grey picture
        self.answer(tasks, {image: word if image == self.ids()["grey.jpg"] else "reject" for image in tasks.frame["image_id"]})
        self.tasks = tasks
        return self.screened() if is_screened else tasks

    def sheets(self, page: str) -> list[bytes]:
        text = (self.home.reports("garments") / f"{page}.html").read_text()
        return [base64.b64decode(data) for data in re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", text)]

    def drawn(self, raw: Manifest) -> bytes:
        sheet = shown.parts(self.store, self.spec, raw)["pictures accepted"]
        return bytes(sheet.jpeg) if sheet is not None else b""


@pytest.fixture
def seen(tmp_path: Path, faces_folder: Path) -> Seen:
    return Seen(tmp_path / "home", faces_folder)


def test_no_page_shows_it_any_more_and_its_files_lie_apart(seen: Seen) -> None:
    clean = seen.by_path(seen.first).loc["grey.jpg", "clean_sha256"]
    assert seen.store.blobs.has(clean)
    raw_before = seen.sheets(f"raw_images/{seen.drop}")
    made = seen.decide("redact")
    grey = seen.by_path(made).loc["grey.jpg"]
    assert (grey["status"], grey["reason"]) == ("rejected", "NOTHING_TO_REDACT")
    assert not {clean, grey["image_id"]} & seen.shas("store/blobs")
    assert seen.sheets(f"label_tasks/{seen.tasks.partition}") == []
    after = seen.sheets(f"raw_images/{seen.drop}")
    assert after and after != raw_before and after[0] == seen.drawn(seen.raw)
    assert refused.not_drawn(seen.store, "garments") >= {grey["image_id"]}
    assert grey["image_id"] not in pictures.drawn(seen.store, seen.spec, seen.first.frame)  # nor by the rows of an earlier version


def test_not_even_where_the_gate_says_no(seen: Seen) -> None:
    clean = seen.by_path(seen.first).loc["grey.jpg", "clean_sha256"]
    tasks = seen.decide("redact", is_screened=False)
    seen.desk.spec = changed(seen.spec, gates={"min_keep_share": 1.0})
    made = images.cleaned_set(seen.store, seen.spec, seen.raw)
    assert seen.desk.gate(made).outcome == "fail"
    assert seen.sheets(f"label_tasks/{tasks.partition}") == [] and not seen.store.blobs.has(clean)


def test_a_kept_copy_in_another_drop_goes_with_it(seen: Seen) -> None:
    assert set(seen.careless.frame["status"]) == {"kept"} and waiting.rescreens(seen.store, seen.spec) == []
    grey = seen.ids()["grey.jpg"]
    made = seen.decide("redact")
    judged = gates.pass_through(seen.store, seen.desk.spec, "cleaned_set", seen.later.partition, seen.careless.version)
    assert [finding.name for finding in judged.failed] == ["nothing_refused_kept"]
    assert refused.still_kept(seen.store, seen.spec) == {seen.later.partition: [grey]}
    assert [item.partition for item in waiting.rescreens(seen.store, seen.spec)] == [seen.later.partition]

    again = images.cleaned_set(seen.store, changed(seen.spec, cleaning={"review": []}), seen.later)
    small = again.frame.set_index("path").loc["small.jpg"]
    assert (small["status"], small["reason"], small["duplicate_of"]) == ("rejected", "near_refused", grey)
    assert again.inputs["refused"].keys() == {seen.later.partition}
    assert seen.desk.gate(again).is_released and waiting.rescreens(seen.store, seen.spec) == []
    was = seen.careless.frame.set_index("path").loc["small.jpg", "clean_sha256"]
    assert not {was, small["image_id"]} & seen.shas("store/blobs")
    assert small["image_id"] not in pictures.of_drop(seen.store, seen.spec, again)
    assert images.cleaned_set(seen.store, seen.spec, seen.raw).version == made.version  # the first drop's answer doesn't change


def test_a_copy_that_comes_later_goes_with_it_and_the_same_bytes_too(seen: Seen) -> None:
    seen.decide("redact")
    raw, made = seen.other_drop({"same.jpg": seen.files["grey.jpg"], "third.jpg": encode(scene(11))}, "d3")
    assert dict(made.frame.set_index("path")["status"]) == {"same.jpg": "rejected", "third.jpg": "kept"}
    same = made.frame.set_index("path").loc["same.jpg", "image_id"]
    assert not seen.store.blobs.has(same) and same not in pictures.of_drop(seen.store, seen.spec, made)
    assert seen.sheets(f"raw_images/{raw.partition}") == [seen.drawn(raw)]


@pytest.mark.parametrize("is_screened", [True, False], ids=["its gate said no", "not screened since"])
def test_it_stays_refused_once_its_original_is_gone(seen: Seen, is_screened: bool) -> None:
    grey, spec = seen.ids()["grey.jpg"], seen.desk.spec
    seen.decide("redact", is_screened=False)
    if is_screened:
        seen.desk.spec = changed(spec, gates={"min_keep_share": 1.0})
        assert seen.desk.gate(images.cleaned_set(seen.store, spec, seen.raw)).outcome == "fail"
        seen.desk.spec = spec
    apart = seen.store.apart("garments")
    apart.set_apart([grey])
    assert grey in images.purge(seen.store, spec, apart.since([grey])[grey] + 31 * DAY)
    made = images.cleaned_set(seen.store, spec, seen.raw)
    assert seen.desk.gate(made).is_released
    assert seen.by_path(made).loc["grey.jpg", "reason"] == "NOTHING_TO_REDACT" and grey in refused.not_drawn(seen.store, "garments")
    again = images.cleaned_set(seen.store, changed(spec, cleaning={"review": []}), seen.later)
    assert again.frame.set_index("path").loc["small.jpg", "duplicate_of"] == grey
    assert images.cleaned_set(seen.store, spec, seen.raw).version == made.version


def test_what_a_person_rejects_for_its_looks_takes_no_copy_with_it(seen: Seen) -> None:
    made = seen.decide("reject")
    assert seen.by_path(made).loc["grey.jpg", "reason"] == "grayscale"
    assert refused.still_kept(seen.store, seen.spec) == {} and waiting.rescreens(seen.store, seen.spec) == []


def test_what_another_project_has_in_use_of_it_stays_there(seen: Seen, garments: ProjectSpec) -> None:
    """The same original makes the same cleaned file."""
    clean = seen.by_path(seen.first).loc["grey.jpg", "clean_sha256"]
    other: dict[str, Any] = {"name": "dresses", "cleaning": {"review": []}}
    spec = changed(seen.spec, **other)
    raw = Manifest("raw_images", "dresses", seen.drop, seen.raw.frame)
    for made in (raw, cleaned := images.cleaned_set(seen.store, spec, raw), images.augmented_set(seen.store, spec, cleaned)):
        seen.desk.release(made)
    seen.decide("redact")
    assert seen.store.blobs.has(clean) and not seen.store.apart("garments").in_sight(clean)
    assert decode(seen.store.blobs.read(clean)).pixels is not None


def test_a_copy_is_out_of_use_too_where_the_gate_says_no(seen: Seen) -> None:
    """Its file lies apart from then on, and the version that keeps it is still the released one."""
    spec = seen.desk.spec
    seen.desk.release(images.augmented_set(seen.store, spec, seen.careless))
    tasks = seen.batch("production")
    answers = dict.fromkeys(tasks.frame["image_id"], "dress")
    seen.answer(tasks, answers, answers)
    small, other = (seen.careless.frame.set_index("path").loc[name, "image_id"] for name in ("small.jpg", "other.jpg"))
    opened = delivery.training_export(seen.store, spec, "r001")
    assert {small, other} < set(opened.frame["image_id"])
    seen.decide("redact")
    seen.desk.spec = changed(spec, gates={"min_keep_share": 1.0}, cleaning={"review": []})
    again = images.cleaned_set(seen.store, seen.desk.spec, seen.later)
    assert seen.desk.gate(again).outcome == "fail"

    usable, _ = images.usable_images(seen.store, spec)
    assert other in set(usable["image_id"]) and small not in set(usable["image_id"])
    assert usable["sha256"].map(seen.store.blobs.has).all()
    anew = delivery.training_export(seen.store, spec, "r001")
    assert set(anew.frame["image_id"]) == set(opened.frame["image_id"]) - {small}
    out = delivery.assemble(seen.store, spec, "r001", anew.inputs).left_out.set_index("image_id")["reason"]
    assert out[small] == "personal_data"
    assert anew.frame["sha256"].map(seen.store.blobs.has).all()
    assert delivery.assemble(seen.store, spec, "r001", opened.inputs).frame.equals(opened.frame)  # what it was opened with stands


def test_little_is_read_where_nobody_refused_anything(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    seen.decide("keep")
    asked: list[set[str]] = []
    read_all = Store.read_all

    def read(store: Store, asset: str, project: str, versions: dict[str, str], columns: Any = None) -> Any:
        asked.append(set(columns or ["all"]) if versions else set())
        return read_all(store, asset, project, versions, columns)

    monkeypatch.setattr(Store, "read_all", read)
    monkeypatch.setattr(refused, "is_refused", lambda rows: rows["status"].isna())  # the faces are, here
    assert refused.still_kept(seen.store, seen.spec) == {}
    assert set().union(*asked) == {"image_id", "drop_id", "status", "reason", "decided_by"}
