"""Whatever stands in the ledger has a report: deliveries that wait, that nothing came of, and what never was a delivery."""

from __future__ import annotations

import json
import os
import re
import time
import unicodedata
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dataops_assets import drops, gates, waiting
from dataops_assets.drops import enter_drop
from dataops_assets.flow import images
from dataops_assets.intake import fetching
from dataops_assets.intake.identity import drop_id_of
from dataops_assets.manifest import Manifest
from dataops_assets.operations import Operations
from dataops_assets.reports import delivery
from dataops_assets.reports import landed as reports_landed
from dataops_assets.reports.reasons import REASONS, WARNINGS
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.conftest import changed
from tests.reports.test_delivery import HOSTILE, Desk, photo, terms, text_of


@pytest.fixture
def desk(store: Store, garments: ProjectSpec) -> Desk:
    return Desk(store, terms(garments))


def manifest_of(*paths: str, **facts: Any) -> bytes:
    return json.dumps({"schema_version": 1, "files": [{"path": path, **facts} for path in paths]}).encode()


def landed(desk: Desk, name: str, files: dict[str, bytes], vendor: str = "acme") -> str:
    """A delivery without a marker: nobody has said that it is complete."""
    folder = desk.store.home.landing("garments") / vendor / name
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return drop_id_of(vendor, name)


def look(desk: Desk, is_settled: bool = False) -> waiting.Found:
    return waiting.drops(desk.store, desk.spec, {}, time.time(), is_settled=is_settled)


def parked(desk: Desk, drop_id: str, name: str, reason: str) -> None:
    row = {"drop_id": drop_id, "vendor": "acme", "name": name, "supersedes": None, "fingerprint": "f", "listing": None, "reason": reason}
    drops.park(desk.store, desk.spec, [row])


class TestEveryRowIsTold:
    def test_each_drop_of_the_ledger_has_a_report(self, desk: Desk) -> None:
        good = desk.take(desk.put({"a.png": photo(1), "b.png": photo(2)}))
        half = landed(desk, "half", {"a.png": photo(3), "manifest.json": manifest_of("a.png", "b.png")})
        stranger = desk.put({"a.png": photo(4)}, vendor="stranger", name="d")
        (desk.store.home.landing("garments") / "acme" / "loose.jpg").write_bytes(photo(5))
        (desk.store.home.landing("garments") / "acme" / "old.rar").write_bytes(b"Rar!")
        look(desk)
        desk.path(good).unlink()
        images.raw_images(desk.store, desk.spec, stranger)
        look(desk, is_settled=True)
        parked(desk, "acme-0000000000000000", "broken", "5 runs failed: PermissionError: /srv/secret/place")
        ledger = desk.store.drops.rows()
        assert set(ledger["status"]) == {"accepted", "held", "rejected", "parked"}
        written = delivery.catch_up(desk.store, desk.spec)
        assert sorted(written) == sorted(set(ledger["drop_id"]))
        desk.path(good).unlink()
        desk.path(half).unlink()
        assert delivery.catch_up(desk.store, desk.spec, statuses=delivery.UNJUDGED) == [half]  # of the other one a gate tells
        assert delivery.catch_up(desk.store, desk.spec) == [good]
        verdicts = {drop: text_of(desk.html(drop)) for drop in written}
        assert "Accepted" in verdicts[good] and "Waiting for you" in verdicts[half]
        assert REASONS["VENDOR_UNKNOWN"].do in verdicts[stranger]
        assert REASONS["LOOSE_FILE"].do in verdicts[drop_id_of("acme", "loose.jpg")]
        assert REASONS["UNSUPPORTED_ARCHIVE"].do in verdicts[drop_id_of("acme", "old.rar")]
        assert "Waiting for us" in verdicts["acme-0000000000000000"] and "secret" not in verdicts["acme-0000000000000000"]
        assert all(desk.path(drop).with_suffix(".csv").exists() for drop in written)

    def test_it_is_written_when_its_row_changes_and_not_before(self, desk: Desk) -> None:
        half = landed(desk, "half", {"a.png": photo(3), "manifest.json": manifest_of("a.png", "b.png")})
        look(desk)
        assert delivery.catch_up(desk.store, desk.spec) == [half]
        assert delivery.catch_up(desk.store, desk.spec) == []
        parked(desk, half, "half", "5 runs failed")
        assert delivery.catch_up(desk.store, desk.spec) == [half]
        assert "We could not process this delivery yet" in desk.html(half)
        drops.retry(desk.store, desk.spec, half)
        assert delivery.catch_up(desk.store, desk.spec) == [half]
        assert "We try this delivery once more" in desk.html(half) and "RETRY" not in desk.html(half)

    def test_a_full_disk_of_ours_is_nothing_for_them_to_do(self, desk: Desk) -> None:
        row = {"project": "garments", "vendor": "acme", "drop_id": "acme-1", "name": "n", "status": "held", "reason": drops.NO_SPACE}
        enter_drop(desk.store, row)
        assert delivery.catch_up(desk.store, desk.spec) == ["acme-1"]
        assert "Waiting for us It goes on by itself" in text_of(desk.html("acme-1")) and "NO_SPACE" not in desk.html("acme-1")

    def test_what_a_gate_has_told_is_not_told_again(self, desk: Desk) -> None:
        raw = images.raw_images(desk.store, desk.spec, desk.put({"a.png": b"junk"}))
        assert desk.gate(raw).outcome == "fail"
        assert desk.path(raw.partition).exists() and delivery.catch_up(desk.store, desk.spec) == []

    def test_a_withdrawal_whose_report_was_not_written_is_told(self, desk: Desk) -> None:
        drop_id = desk.take(desk.put({"a.png": photo(1)}))
        desk.withdraw(drop_id)
        assert delivery.catch_up(desk.store, desk.spec) == [drop_id]
        assert "Withdrawn" in desk.html(drop_id)

    def test_a_tick_has_so_much_time_and_the_next_goes_on(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(3):
            landed(desk, f"half{number}", {"a.png": photo(3), "manifest.json": manifest_of("a.png", "b.png")})
        look(desk)
        assert delivery.catch_up(desk.store, desk.spec, seconds=0) == []
        gather, bad = delivery._gather, drop_id_of("acme", "half1")
        tried = Counter[str]()

        def one_fails(store: Store, spec: ProjectSpec, drop_id: str) -> Any:
            tried[drop_id] += 1
            return 1 / 0 if drop_id == bad else gather(store, spec, drop_id)

        monkeypatch.setattr(delivery, "_gather", one_fails)
        assert len(delivery.catch_up(desk.store, desk.spec)) == 2
        assert delivery.catch_up(desk.store, desk.spec) == []
        assert tried[bad] == 1  # it is left alone until there is more to say

    def test_nothing_of_it_reaches_who_calls(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(delivery, "_news", lambda *given: 1 / 0)
        assert delivery.catch_up(desk.store, desk.spec) == []

    def test_commands_write_them_too(self, desk: Desk) -> None:
        half = landed(desk, "half", {"_COMPLETE": b""})
        (desk.store.home.landing("garments") / "acme" / "old.rar").write_bytes(b"Rar!")
        work = Operations(desk.store, [desk.spec], None)
        work._setup = lambda *given: None  # type: ignore[method-assign]
        work._drop = lambda *given: None  # type: ignore[method-assign]
        work.run("garments")
        assert desk.path(drop_id_of("acme", "old.rar")).exists() and not desk.path(half).exists()


class TestWhatIsMissing:
    def test_a_copy_in_progress_is_told_by_name(self, desk: Desk) -> None:
        files = {
            "a.png": photo(1),
            "half.png": photo(2)[:100],
            "manifest.json": manifest_of("a.png", "half.png", "x/late.png", bytes=len(photo(1))),
        }
        drop_id = landed(desk, "half", files)
        look(desk)
        delivery.catch_up(desk.store, desk.spec)
        text = text_of(desk.html(drop_id))
        assert "Missing: x/late.png." in text
        assert "Here in part 1 file of another size than the manifest says half.png" in text
        assert {row["path"]: row["status"] for row in desk.rows(drop_id)} == {
            "a.png": "held", "half.png": "held", "x/late.png": "missing", "manifest.json": "ignored",
        }  # fmt: skip
        assert "Nothing of this delivery counts" in text and "of 10" not in text

    def test_a_name_in_another_spelling_of_its_accents_is_not_missing(self, desk: Desk) -> None:
        files = {unicodedata.normalize("NFD", "café.png"): photo(1), "manifest.json": manifest_of("café.png", "late.png")}
        drop_id = landed(desk, "half", files)
        look(desk)
        delivery.catch_up(desk.store, desk.spec)
        assert "Missing: late.png." in text_of(desk.html(drop_id))
        assert sorted(row["status"] for row in desk.rows(drop_id)) == ["held", "ignored", "missing"]

    @pytest.mark.parametrize(("there", "named"), [(4, 4), (1, 4)])
    def test_of_very_many_files_only_that_is_said(self, desk: Desk, there: int, named: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reports_landed, "MOST_LISTED", 3)  # a sensor's look can't wait for thousands
        names = [f"{number}.png" for number in range(named)]
        files = dict.fromkeys(names[:there], b"x") | {"manifest.json": manifest_of(*names, bytes=len(photo(1)))}
        drop_id = landed(desk, "half", files)
        look(desk)
        delivery.catch_up(desk.store, desk.spec)
        assert "More than 3 files" in text_of(desk.html(drop_id)) and "0.png" not in desk.html(drop_id)

    def test_a_manifest_that_can_not_be_read_says_where(self, desk: Desk) -> None:
        drop_id = landed(desk, "half", {"a.png": photo(1), "manifest.csv": b"path,bytes\na.png,12\nb.png,many\n"})
        look(desk)
        delivery.catch_up(desk.store, desk.spec)
        assert "entry 2: bytes must be a number, 0 or more" in text_of(desk.html(drop_id))

    def test_what_a_run_found_missing_is_told_without_what_is_there(self, desk: Desk) -> None:
        made = desk.put({"here.png": photo(1), "manifest.json": manifest_of("here.png", *[f"gone{n:03}.png" for n in range(300)])})
        raw = images.raw_images(desk.store, desk.spec, made)
        desk.gate(raw)
        html = desk.html(made)
        assert "<li><bdi>gone000.png</bdi></li>" in html and "<li><bdi>here.png</bdi></li>" not in html
        assert "Missing: gone000.png, gone001.png, gone002.png, gone003.png, gone004.png and 295 more." in text_of(html)
        assert "and 100 more, listed in the CSV" in html
        assert Counter(row["status"] for row in desk.rows(made))["missing"] == 300

    def test_a_list_that_is_still_fetched_is_nobody_s_fault(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        rules = {"enabled": True, "hosts": ["cdn.example.org"], "run_seconds": 10}
        desk.spec = changed(desk.spec, sources={**desk.spec.sources.model_dump(), "urls": rules})
        now = [0.0]

        def chunks(asker: Any, address: Any) -> Any:
            now[0] += 6
            yield photo(address.row)

        made = fetching.fetch
        monkeypatch.setattr(fetching._Asker, "chunks", chunks)
        monkeypatch.setattr(fetching, "fetch", lambda *given, **more: made(*given, **more, clock=lambda: now[0]))
        rows = "\n".join(f"https://cdn.example.org/{n},{n}.png" for n in range(5))
        drop_id = desk.put({"urls.csv": f"url,path\n{rows}\n".encode()})
        assert desk.gate(images.raw_images(desk.store, desk.spec, drop_id)).outcome == "fail"
        text = text_of(desk.html(drop_id))
        assert "Waiting for us We still fetch what your list leads to: 2 of 5 files are here. You need not do anything." in text
        assert "3 files Their addresses are still to be asked" in text and "2.png 3.png 4.png" in text
        assert "Finish the copy" not in text


class TestItsOwnSentence:
    def test_the_manifest_s_fault_is_told_with_row_and_column(self, desk: Desk) -> None:
        drop_id = desk.put({"a.png": photo(1), "manifest.csv": b"path,sha256\nok.png,\na.png,xyz<script>\n"})
        assert desk.gate(images.raw_images(desk.store, desk.spec, drop_id)).outcome == "fail"
        assert "entry 2: sha256 must be 64 hex digits" in text_of(desk.html(drop_id))

    def test_the_one_file_that_spoils_a_delivery_is_named(self, desk: Desk) -> None:
        listed = json.loads(manifest_of("a.png", "b.png", "c.png"))
        listed["files"][1]["sha256"] = "0" * 64
        drop_id = desk.put(
            {f"{name}.png": photo(place) for place, name in enumerate("abc")} | {"manifest.json": json.dumps(listed).encode()}
        )
        assert desk.gate(images.raw_images(desk.store, desk.spec, drop_id)).outcome == "fail"
        html = desk.html(drop_id)
        found = re.search(r"<p class='found'><bdi>(.*?)</bdi>", html)
        assert found is not None and "b.png" in found[1] and "a.png" not in found[1]
        assert REASONS["CHECKSUM_MISMATCH"].do in text_of(html)

    def test_an_address_that_is_refused_is_named_and_nothing_of_ours(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        rules = {"enabled": True, "hosts": ["cdn.example.org"]}
        desk.spec = changed(desk.spec, sources={**desk.spec.sources.model_dump(), "urls": rules})
        monkeypatch.setattr(fetching, "addresses_of", lambda host: ["10.1.2.3"])
        made = fetching.fetch
        monkeypatch.setattr(fetching, "fetch", lambda *given, **more: made(*given, **more, resolve=lambda host: ["10.1.2.3"]))
        for name, url, shown in (
            ("d1", "https://evil.example/b.jpg?token=hush", "row 1, https://evil.example/b.jpg"),
            ("d2", "https://cdn.example.org/b.jpg?token=hush", "row 1, https://cdn.example.org/b.jpg"),  # leads inside
        ):
            drop_id = desk.put({"urls.csv": f"url\n{url}\n".encode()}, name=name)
            raw = images.raw_images(desk.store, desk.spec, drop_id)
            assert raw.facts["detail"] and desk.gate(raw).outcome == "fail"
            html = desk.html(drop_id)
            assert shown in html
            for secret in ("10.1.2.3", "sources.urls", "hush", "public address"):
                assert secret not in html


class Strict(HTMLParser):
    """Fails on whatever in a page runs, or leads elsewhere."""

    TAGS = re.compile(r"html|meta|title|style|h[1-3]|p|div|span|b|small|i|bdi|code|a|table|tr|t[hd]|ul|li|figure|figcaption|img|svg|rect")
    ATTRIBUTES = re.compile(r"lang|charset|name|content|class|style|href|alt|src|viewbox|preserveaspectratio|x|width|height|fill")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert self.TAGS.fullmatch(tag), tag
        for name, value in attrs:
            assert self.ATTRIBUTES.fullmatch(name), name
            if name == "src":
                assert str(value).startswith("data:image/jpeg;base64,")
            if name == "href":
                assert re.fullmatch(r"[a-z0-9_-]+\.html", str(value))
            if name == "style":
                assert re.fullmatch(r"background:#[0-9a-f]{6}", str(value))


class TestSafeToSend:
    def strict(self, html: str) -> None:
        Strict().feed(html)
        style = re.search(r"<style>(.*?)</style>", html, re.S)
        assert style is not None and not re.search(r"url\(|@import|expression\(", style[1])

    def test_no_page_runs_anything_or_leads_anywhere(self, desk: Desk) -> None:
        names = {name.replace("/", "_"): photo(20 + place) for place, name in enumerate(HOSTILE)}
        hostile = ["<img src=x onerror=alert(1)>/x.png", "\u202egnp.png", "javascript:alert(1)", "=HYPERLINK(1)"]
        taken = desk.take(desk.put(names))
        waits = landed(desk, "<b onclick=x>", {"a.png": photo(1), "manifest.json": manifest_of("a.png", *hostile)})
        bad = desk.put({"a.png": photo(1), "manifest.csv": b"path,sha256\n<script>alert(1)</script>.png,x\n"}, name="d2")
        desk.gate(images.raw_images(desk.store, desk.spec, bad))
        look(desk)
        delivery.catch_up(desk.store, desk.spec)
        for drop in (taken, waits, bad):
            self.strict(desk.html(drop))
            cells = [cell for row in desk.rows(drop) for cell in row.values()]
            assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
        assert {row["path"] for row in desk.rows(waits)} >= {"'=HYPERLINK(1)", "\\u202egnp.png"}

    def test_a_link_in_the_place_of_a_delivery_that_waits_is_not_followed(self, desk: Desk, tmp_path: Path) -> None:
        drop_id = landed(desk, "half", {"a.png": photo(1), "manifest.json": manifest_of("a.png", "b.png")})
        look(desk)
        folder = desk.store.home.landing("garments") / "acme" / "half"
        inside = tmp_path / "inside"
        folder.rename(inside)
        (inside / "salaries.xlsx").write_bytes(b"x")
        folder.symlink_to(inside)
        delivery.catch_up(desk.store, desk.spec)
        assert desk.rows(drop_id) == [] and "salaries" not in desk.html(drop_id)

    def test_a_hundred_thousand_refusals_stay_a_page(self, desk: Desk) -> None:
        n = 100_000
        codes = [code for code in REASONS if code.isupper() and code not in WARNINGS]
        frame = pd.DataFrame(
            {
                "drop_id": "acme-big", "vendor": "acme", "path": [f"{'<&>' * 60}{place}.jpg" for place in range(n)],
                "status": "quarantined",
                "reason": [codes[place % len(codes)] for place in range(n)], "warnings": "|".join(WARNINGS), "size_bytes": 1000,
            }
        )  # fmt: skip
        made = Manifest("raw_images", "garments", "acme-big", frame)
        desk.store.write(made)
        gates.enter(desk.store, made, gates.Verdict("fail"), run_id="", until=None)
        row = {"project": "garments", "vendor": "acme", "drop_id": "acme-big", "name": "big", "status": "rejected", "files_seen": n}
        enter_drop(desk.store, row | {"reason": "|".join(codes)})
        delivery.write(desk.store, desk.spec, "acme-big")
        html = desk.html("acme-big")
        assert len(html.encode()) < delivery.MAX_BYTES and len(desk.rows("acme-big")) == n
        self.strict(html)


def test_a_page_s_time_is_that_of_what_it_tells(desk: Desk) -> None:
    half = landed(desk, "half", {"a.png": photo(3), "manifest.json": manifest_of("a.png", "b.png")})
    look(desk)
    delivery.catch_up(desk.store, desk.spec)
    at = desk.store.drops.rows()["received_at"].iloc[-1]
    assert os.stat(desk.path(half)).st_mtime_ns == at.value
