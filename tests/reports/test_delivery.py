"""The report a vendor gets: it adds up, it helps, and it can be sent without a second look."""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import json
import re
import time
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dataops_assets
from dataops_assets import gates
from dataops_assets.contracts import ISSUES
from dataops_assets.drops import enter_drop
from dataops_assets.flow import images
from dataops_assets.home import Home
from dataops_assets.intake.identity import drop_id_of
from dataops_assets.manifest import Manifest
from dataops_assets.operations import Operations
from dataops_assets.projects import load_project
from dataops_assets.reports import delivery, shown, status
from dataops_assets.reports.delivery_story import WORDS
from dataops_assets.reports.reasons import REASONS, WARNINGS
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now
from tests.conftest import REPO, changed

HOSTILE = ["<script>alert(1)</script>.jpg", "=cmd|' /C calc'!A0.jpg", "evil\u202egpj.exe.jpg", "two\nlines.jpg", "'\"><img src=x>.jpg"]


def photo(seed: int, side: int = 128) -> bytes:
    """A sharp, bright picture that resembles no other one."""
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    patches = Image.fromarray(noise).resize((2 * side, 2 * side), Image.Resampling.NEAREST).rotate(20)
    patches.crop((side // 2, side // 2, side // 2 + side, side // 2 + side)).save(buffer, "PNG")
    return buffer.getvalue()


def dark(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo(seed))).point(lambda level: level // 30).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def spec(garments: ProjectSpec) -> ProjectSpec:
    return terms(garments)


def terms(garments: ProjectSpec) -> ProjectSpec:
    """Two vendors, one with a promise, and lenient gates."""
    acme = {"name": "acme", "price_per_image": 0.5, "license": "CC0-1.0", "category": "dress"}
    acme["promised"] = {"files": 10, "categories": {"dress": 8, "hat": 2}, "by": "2999-01-01"}
    vendors = [acme, {"name": "secretive", "license": "CC0-1.0"}]
    return changed(
        garments, sources={"vendors": vendors}, gates={"min_accepted_file_share": 0.3, "min_keep_share": 0.2}, cleaning={"workers": 1}
    )


class Desk:
    """Deliveries taken through the gates, and their reports."""

    def __init__(self, store: Store, spec: ProjectSpec) -> None:
        self.store, self.spec = store, spec

    def put(self, files: dict[str, bytes], vendor: str = "acme", name: str = "d1") -> str:
        folder = self.store.home.landing(self.spec.name) / vendor / name
        for path, data in {**files, "_COMPLETE": b""}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return drop_id_of(vendor, name)

    def take(self, drop_id: str, is_screened: bool = True) -> str:
        """Through both stages, and past gates that let everything pass: the real ones cost a second each."""
        raw = images.raw_images(self.store, self.spec, drop_id)
        self.release(raw)
        if is_screened:
            self.release(images.cleaned_set(self.store, self.spec, raw))
        delivery.write(self.store, self.spec, drop_id)
        return drop_id

    def use(self, drop_id: str) -> str:
        """The last step: from now on the drop takes the place of what it replaces."""
        self.release(images.augmented_set(self.store, self.spec, self.store.load("cleaned_set", self.spec.name, drop_id)))
        return drop_id

    def withdraw(self, drop_id: str | None = None, image_id: str | None = None) -> None:
        row = {"project": self.spec.name, "drop_id": drop_id, "image_id": image_id, "reason": "secret", "by": "who", "at": now()}
        self.store.withdrawals.append(lambda rows: [row])

    def release(self, made: Manifest) -> None:
        self.store.write(made)
        gates.enter(self.store, made, gates.Verdict("pass"), run_id="", until=None)

    def gate(self, made: Manifest) -> gates.Verdict:
        self.store.write(made)
        return gates.pass_through(self.store, self.spec, made.asset, made.partition, made.version)

    def path(self, drop_id: str) -> Path:
        return self.store.home.reports(self.spec.name) / "deliveries" / f"{drop_id}.html"

    def html(self, drop_id: str) -> str:
        return self.path(drop_id).read_text()

    def rows(self, drop_id: str) -> list[dict[str, str]]:
        with self.path(drop_id).with_suffix(".csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def desk(store: Store, spec: ProjectSpec) -> Desk:
    return Desk(store, spec)


MIXED = {
    "good1.png": photo(1), "good2.png": photo(2), "good3.png": photo(3), "dark.png": dark(4), "copy.png": photo(1), "empty.jpg": b"",
    "broken.jpg": b"not a picture", "notes.txt": b"hello", "wrong.jpg": photo(6), ".DS_Store": b"x",
}  # fmt: skip


MIXED_ID = drop_id_of("acme", "d1")


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", html, flags=re.S))))


def number(html: str, word: str) -> int:
    found = re.search(rf"<td>{word}</td><td class='number'>([\d,]+)</td>", html)
    return int(found[1].replace(",", "")) if found else 0


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One delivery of everything that happens, judged by the real gates."""
    spec = load_project(REPO / "dataops_assets/defs/garments/defs.yaml")
    desk = Desk(Store(Home.at(tmp_path_factory.mktemp("mixed") / "home")), terms(spec))
    raw = images.raw_images(desk.store, desk.spec, desk.put(MIXED))
    assert desk.gate(raw).is_released
    assert desk.gate(images.cleaned_set(desk.store, desk.spec, raw)).is_released
    return desk


class TestMixedDelivery:
    def test_page_and_table_add_up(self, mixed: Desk) -> None:
        rows, html = mixed.rows(MIXED_ID), mixed.html(MIXED_ID)
        tally = Counter(row["status"] for row in rows)
        assert tally == {"kept": 3, "left out": 1, "duplicate": 1, "refused": 4, "ignored": 2}
        assert {row["path"]: row["reason"] for row in rows if row["status"] == "refused"} == {
            "empty.jpg": "ZERO_BYTE", "broken.jpg": "CORRUPT", "notes.txt": "TYPE_MISMATCH", "wrong.jpg": "TYPE_MISMATCH",
        }  # fmt: skip
        parts = [number(html, word) for word in ("accepted", "duplicate", "refused", "ignored")]
        assert (sum(parts), number(html, "delivered")) == (11, 11)
        assert [number(html, word) for word in ("kept", "left out", "waiting")] == [3, 1, 0]
        assert tally.keys() <= WORDS.keys()

    def test_it_says_why_and_what_to_do_with_examples(self, mixed: Desk) -> None:
        html = mixed.html(MIXED_ID)
        text = text_of(html)
        assert "Partly accepted" in text
        for code in ("ZERO_BYTE", "CORRUPT", "TYPE_MISMATCH", "DUPLICATE_CONTENT", "dark"):
            assert REASONS[code].means in text and REASONS[code].do in text
        assert "shows the same as copy.png" in text
        assert html.count("data:image/jpeg") == 4  # the copy and three in use; nobody has looked for faces in the others

    def test_promise_money_and_share_are_told(self, mixed: Desk) -> None:
        text = text_of(mixed.html(MIXED_ID))
        assert "dress 8 4 4 4" in text and "hat 2 0 0 2" in text and "all 10 4 4 6" in text
        assert "this delivery 4 0.5 EUR 2.00 EUR" in text
        assert "55.6% of the files can be used, copies included; the project needs at least 30%." in text
        assert re.search(r"due by 2999-01-01\. This delivery arrived [\d,]+ days before", text)

    def test_before_the_screening_it_says_so(self, desk: Desk) -> None:
        drop_id = desk.take(desk.put(MIXED), is_screened=False)
        assert "4 of 9 files are accepted; their pictures are screened next." in text_of(desk.html(drop_id))
        assert {row["status"] for row in desk.rows(drop_id)} == {"accepted", "duplicate", "refused", "ignored"}

    def test_the_same_state_gives_the_same_bytes(self, mixed: Desk) -> None:
        before = mixed.html(MIXED_ID), mixed.rows(MIXED_ID)
        delivery.write(Store(mixed.store.home), mixed.spec, MIXED_ID)
        assert (mixed.html(MIXED_ID), mixed.rows(MIXED_ID)) == before


class TestVerdicts:
    def test_a_refused_delivery_gets_a_report_too_and_counts_nothing(self, desk: Desk) -> None:
        desk.spec = changed(desk.spec, gates={"min_accepted_file_share": 0.9})
        drop_id = desk.put(MIXED)
        assert desk.gate(images.raw_images(desk.store, desk.spec, drop_id)).outcome == "fail"
        text = text_of(desk.html(drop_id))
        assert "Refused" in text and "too many of its files can't be used" in text and "needs at least 90%" in text
        assert "all 10 0 0 10" in text and "Amounts" not in text
        assert Counter(row["status"] for row in desk.rows(drop_id))["in order"] == 4

    def test_too_much_of_one_reason_is_told(self, desk: Desk) -> None:
        desk.spec = changed(desk.spec, gates={"max_reason_share": {"dark": 0.3}})
        raw = images.raw_images(desk.store, desk.spec, desk.put({"a.png": photo(1), "b.png": photo(2), "dark.png": dark(3)}))
        desk.release(raw)
        verdict = desk.gate(images.cleaned_set(desk.store, desk.spec, raw))
        assert [finding.name for finding in verdict.failed] == ["share_of_dark"]
        assert "too many of its pictures are left out for one reason (dark)" in text_of(desk.html(raw.partition))

    def test_a_delivery_refused_as_a_whole_says_the_one_reason(self, desk: Desk) -> None:
        path = desk.store.home.landing(desk.spec.name) / "acme" / "d.zip"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no zip at all")
        drop_id = desk.take(drop_id_of("acme", "d.zip"), is_screened=False)
        assert REASONS["ARCHIVE_CORRUPT"].do in text_of(desk.html(drop_id))

    def test_what_is_missing_is_waited_for(self, desk: Desk) -> None:
        manifest = {"schema_version": 1, "files": [{"path": "a.png"}, {"path": "late\u202e.png"}]}
        drop_id = desk.take(desk.put({"a.png": photo(1), "manifest.json": json.dumps(manifest).encode()}), is_screened=False)
        assert "1 more is listed in the manifest and did not arrive." in text_of(desk.html(drop_id))
        assert {row["path"]: row["status"] for row in desk.rows(drop_id)}["late\\u202e.png"] == "missing"

    def test_a_delivery_that_never_got_to_a_gate(self, desk: Desk) -> None:
        row = {"project": "garments", "vendor": "acme", "drop_id": "acme-1", "name": "n", "status": "held", "reason": "INCOMPLETE"}
        enter_drop(desk.store, row)
        delivery.write(desk.store, desk.spec, "acme-1")
        assert "Waiting for you" in desk.html("acme-1") and desk.rows("acme-1") == []
        with pytest.raises(LookupError, match="knows no drop"):
            delivery.write(desk.store, desk.spec, "acme-2")

    def test_a_correction_names_what_it_replaces_and_counts_once(self, desk: Desk) -> None:
        first = desk.take(desk.put({"a.png": photo(1), "b.png": photo(2)}))
        second = desk.take(f"{desk.put({'c.png': photo(3)})}-r2")
        assert "This delivery replaces" in desk.html(second) and f'href="{first}.html"' in desk.html(second)
        assert "all 10 3 3 7" in text_of(desk.html(second))
        assert f"It came again as {second} , delivered under the same name; we are checking it" in text_of(desk.html(first))
        desk.use(second)
        delivery.write(desk.store, desk.spec, second)
        assert f'href="{second}.html"' in desk.html(first) and f"It was replaced by {second}" in text_of(desk.html(first))

    def test_what_was_replaced_past_a_refused_correction_counts_once(self, desk: Desk) -> None:
        first = desk.take(desk.put({"a.png": photo(1), "b.png": photo(2)}))
        desk.put({"a.png": b"junk", "b.png": b"junk"})
        assert desk.gate(images.raw_images(desk.store, desk.spec, f"{first}-r2")).outcome == "fail"
        assert f"drop {first} (acme/d1): accepted, delivered again as {first}-r2 (refused)" in self.status(desk)
        assert f"It came again as {first}-r2 , delivered under the same name and refused" in text_of(desk.html(first))
        assert "This delivery was to replace" in desk.html(f"{first}-r2")
        desk.put({"a.png": photo(1), "b.png": photo(3)})
        third = desk.take(f"{first}-r3")
        assert "all 10 2 2 8" in text_of(desk.html(third))
        desk.use(third)
        assert f"drop {first} (acme/d1): accepted, replaced by {third}" in self.status(desk)
        assert (
            f"drop {first}-r2 (acme/d1): rejected, CORRUPT, held back by the gate of raw_images, replaces {first}, replaced by {third}"
            in self.status(desk)
        )

    def status(self, desk: Desk) -> str:
        return "\n".join(status.of(desk.store, desk.spec).lines())

    def test_what_a_withdrawn_correction_replaced_does_not_count_again(self, desk: Desk) -> None:
        first = desk.take(desk.put({"a.png": photo(1)}))
        second = desk.take(f"{desk.put({'a.png': photo(2)})}-r2")
        desk.use(second)
        desk.withdraw(second)
        assert desk.store.superseded("garments") == {first}
        assert "all 10 1 1 9" in text_of(desk.html(desk.take(desk.put({"c.png": photo(3)}, name="d2"))))

    def test_a_report_that_fails_leaves_the_verdict_alone(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(delivery, "_gather", lambda *given: 1 / 0)
        raw = images.raw_images(desk.store, desk.spec, desk.put({"a.png": photo(1)}))
        assert desk.gate(raw).outcome == "pass"


class TestSafeToSend:
    def test_hostile_names_are_inert(self, desk: Desk) -> None:
        files = {name.replace("/", "_"): photo(20 + place) for place, name in enumerate(HOSTILE)}
        drop_id = desk.take(desk.put(files | {"a.png": photo(50), "=cmd.png": dark(51)}))
        html, data = desk.html(drop_id), desk.path(drop_id).with_suffix(".csv").read_text()
        assert "<script" not in html and "<img src=x" not in html and "\u202e" not in html + data and "two\nlines" not in html + data
        assert "two\\u000alines.jpg" in html and len(desk.rows(drop_id)) == len(files) + 3
        cells = [cell for row in csv.reader(io.StringIO(data)) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] and "'=cmd.png" in cells

    def test_nothing_of_another_vendor_or_of_ours_is_in_it(self, desk: Desk) -> None:
        other = desk.take(desk.put({"hidden_name.png": photo(1), "own.png": photo(9)}, "secretive", "hidden_delivery"))
        drop_id = desk.take(desk.put({"mine.png": photo(1), "new.png": photo(2)}))
        html, data = desk.html(drop_id), desk.path(drop_id).with_suffix(".csv").read_text()
        assert "a picture we already have" in html and "a picture we already have" in data
        for secret in ("secretive", "hidden_name", "hidden_delivery", other, str(desk.store.home.root), "score", "own.png"):
            assert secret not in html + data
        assert "all 10 2 2 8" in text_of(html)

    def test_a_copy_of_the_vendors_own_earlier_file_is_named(self, desk: Desk) -> None:
        desk.take(desk.put({"first.png": photo(1), "x.png": photo(8)}, name="d0"))
        html = desk.html(desk.take(desk.put({"again.png": photo(1), "new.png": photo(2)})))
        assert "first.png in your delivery d0" in html

    def test_pictures_are_small_and_carry_no_metadata(self, desk: Desk) -> None:
        import base64

        html = desk.html(desk.take(desk.put({"a.png": photo(1, 700), "b.png": photo(2)})))
        for encoded in re.findall(r"base64,([^']+)'", html):
            data = base64.b64decode(encoded)
            with Image.open(io.BytesIO(data)) as image:
                assert max(image.size) <= 96 and not image.getexif() and b"Exif" not in data

    def test_no_original_is_shown_and_nothing_with_personal_data(self, desk: Desk) -> None:
        raw = images.raw_images(desk.store, desk.spec, desk.put({"open.png": photo(1), "fine.png": photo(2), "dark.png": dark(3)}))
        desk.release(raw)
        delivery.write(desk.store, desk.spec, raw.partition)
        assert "data:image" not in desk.html(raw.partition)  # not screened yet
        made = images.cleaned_set(desk.store, desk.spec, raw)
        frame = made.frame.assign(open_personal_data=made.frame["path"].map({"open.png": "face"}))
        frame["status"] = frame["status"].mask(frame["path"] == "open.png", "review")
        desk.release(Manifest("cleaned_set", "garments", raw.partition, frame, made.inputs))
        delivery.write(desk.store, desk.spec, raw.partition)
        assert re.findall(r"<figcaption><bdi>(.*?)</bdi>", desk.html(raw.partition)) == ["fine.png"]

    def test_withdrawn_pictures_are_not_shown(self, desk: Desk) -> None:
        drop_id = desk.take(desk.put({"a.png": photo(1), "b.png": photo(2)}))
        desk.withdraw(drop_id)
        delivery.write(desk.store, desk.spec, drop_id)
        html = desk.html(drop_id)
        assert "Withdrawn" in html and "data:image" not in html and "secret" not in html

    def test_a_withdrawal_writes_the_pages_anew_that_tell_of_it(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        first = desk.take(desk.put({"a.png": photo(1), "b.png": photo(2)}))
        second = desk.take(desk.put({"same.png": photo(1), "c.png": photo(3)}, "secretive", "d2"))
        third = desk.take(desk.put({"e.png": photo(4)}, name="d3"))
        work = Operations(desk.store, [desk.spec], None)
        gone = hashlib.sha256(photo(1)).hexdigest()
        assert work.withdraw("garments", None, gone, "consent revoked", "ann").notes[1:] == []
        captions = {drop: re.findall(r"<figcaption><bdi>(.*?)</bdi>", desk.html(drop)) for drop in (first, second)}
        assert captions == {first: ["b.png"], second: ["c.png"]}
        before = desk.path(first).stat().st_mtime_ns
        work.withdraw("garments", third, None, "mistake", "ann")
        assert "Withdrawn" in desk.html(third) and "data:image" not in desk.html(third)
        assert desk.path(first).stat().st_mtime_ns == before
        monkeypatch.setattr(delivery, "_gather", lambda *given: 1 / 0)
        told = work.withdraw("garments", second, None, "mistake", "ann").notes[-1]
        assert told == f"The delivery report of {second} still shows it: it could not be written anew."

    def test_a_large_delivery_stays_small_and_quick(self, desk: Desk) -> None:
        n = 20_000
        codes = [code for code in REASONS if code.isupper() and code not in WARNINGS]
        frame = pd.DataFrame(
            {
                "drop_id": "acme-big", "vendor": "acme", "path": [f"{'<&>' * 60}{place}.jpg" for place in range(n)],
                "status": ["accepted", "quarantined"] * (n // 2), "sha256": [f"{place:064x}" for place in range(n)],
                "image_id": [f"{place:064x}" for place in range(n)], "size_bytes": 1000, "width_px": 10, "height_px": 10, "price": 0.1,
                "reason": [codes[place % len(codes)] if place % 2 else None for place in range(n)],
                "category": [f"category {place % 3000}" for place in range(n)], "warnings": "|".join(WARNINGS),
            }
        )  # fmt: skip
        made = Manifest("raw_images", "garments", "acme-big", frame)
        desk.store.write(made)
        gates.enter(desk.store, made, gates.Verdict("pass"), run_id="", until=None)
        enter_drop(desk.store, {"project": "garments", "vendor": "acme", "drop_id": "acme-big", "name": "big", "status": "partial"})
        start = time.process_time()  # a busy machine is no failure
        delivery.write(desk.store, desk.spec, "acme-big")
        assert time.process_time() - start < 5
        assert len(desk.html("acme-big").encode()) < delivery.MAX_BYTES
        assert len(desk.rows("acme-big")) == n


class TestReasons:
    def test_every_code_of_intake_and_screening_is_explained(self) -> None:
        root = Path(dataops_assets.__file__).parent
        sources = [*root.glob("intake/*.py"), root / "stages/raw_images.py", root / "imaging/decode.py", root / "imaging/workers.py"]
        texts = {node.value for path in sources for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        codes = {
            text
            for text in texts
            if isinstance(text, str) and re.fullmatch(r"[A-Z]+(_[A-Z]+)+|BOMB|CORRUPT|ENCRYPTED|INCOMPLETE|POLYGLOT", text)
        }
        codes -= {
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "MKL_NUM_THREADS",
            "NO_ALBUMENTATIONS_UPDATE",
            "MALLOC_ARENA_MAX",
            "SC_PAGE_SIZE",
        }
        assert {"UNSAFE_PATH", "ZERO_BYTE", "NAME_FORMULA"} <= codes
        assert codes - REASONS.keys() == set()
        assert {*ISSUES, "exact_duplicate", "near_duplicate"} <= REASONS.keys()


def test_the_ui_links_to_the_report(desk: Desk) -> None:
    made: Any = images.raw_images(desk.store, desk.spec, desk.put({"a.png": photo(1)}))
    page = shown.parts(desk.store, desk.spec, made)["delivery report"]
    assert page.path == f"garments/deliveries/{made.partition}.html"
