"""From a delivery to usable pictures, by the ledgers: what is paid, and what pictures are compared with."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from dataops_assets import claims, drops, gates, locks, waiting
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import images
from dataops_assets.imaging.decode import encode
from dataops_assets.imaging.relevance import ReferencesError
from dataops_assets.intake.identity import drop_id_of
from dataops_assets.manifest import Manifest, conform, records
from dataops_assets.projects import ENV_DEFS
from dataops_assets.reports import status
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import looking
from dataops_assets.store import Store, now
from tests.conftest import REPO, changed
from tests.imaging.personal_data.made import scene
from tests.reports.test_delivery import Desk, photo, terms

D1, RENAMED = drop_id_of("acme", "d1"), drop_id_of("acme", "d1-renamed")


@pytest.fixture
def desk(store: Store, garments: ProjectSpec) -> Desk:
    return Desk(store, terms(garments))


def paid(desk: Desk) -> dict[str, tuple[float, float]]:
    """Drop -> pictures paid with it, and the amount."""
    costs = desk.store.costs.rows()
    return {ref: (quantity, amount) for ref, quantity, amount in zip(costs["ref"], costs["quantity"], costs["amount"], strict=True)}


class TestRelevance:
    """What nobody asked for, by a folder of reference pictures beside the project's YAML."""

    @pytest.fixture
    def judged(self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
        monkeypatch.setenv(ENV_DEFS, str(tmp_path / "defs"))
        for kind, seeds in (("room", range(6)), ("noise", range(6))):
            folder = tmp_path / "defs" / "garments" / "references" / kind
            folder.mkdir(parents=True)
            for seed in seeds:
                (folder / f"{seed}.png").write_bytes(photo(100 + seed) if kind == "noise" else encode(scene(seed)))
        desk.spec = changed(
            desk.spec, cleaning={"relevance": {"references": "references", "wanted": ["room"]}, "review": ["irrelevant"], "reject": []}
        )
        return desk

    def test_it_is_judged_whoever_runs_it_from_where(self, judged: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        raw = images.raw_images(judged.store, judged.spec, judged.put({"room.jpg": encode(scene(20)), "noise.png": photo(1)}))
        made = images.cleaned_set(judged.store, judged.spec, raw)
        rows = made.frame.set_index("path")
        assert dict(rows["nearest_category"]) == {"room.jpg": "room", "noise.png": "noise"}
        assert (rows.loc["noise.png", "status"], rows.loc["noise.png", "reason"]) == ("review", "irrelevant")
        assert rows.loc["room.jpg", "irrelevant_score"] > rows.loc["noise.png", "irrelevant_score"]
        assert made.inputs["references"].keys() == {"garments"}

    def test_a_folder_that_is_not_there_is_named(self, judged: Desk, tmp_path: Path) -> None:
        shutil.rmtree(tmp_path / "defs")
        raw = images.raw_images(judged.store, judged.spec, judged.put({"a.png": photo(1)}))
        with pytest.raises(ReferencesError, match="garments/references holds no reference pictures"):
            images.cleaned_set(judged.store, judged.spec, raw)


class TestCosts:
    def test_a_picture_is_paid_once_under_whatever_name_it_comes_again(self, desk: Desk) -> None:
        desk.take(desk.put({"a.png": photo(1), "b.png": photo(2)}))
        desk.take(desk.put({"a.png": photo(1), "new.png": photo(3)}, name="d1-renamed"))
        assert paid(desk) == {D1: (2, 1.0), RENAMED: (1, 0.5)}

    def test_each_vendor_is_paid_for_what_it_delivers(self, desk: Desk) -> None:
        desk.take(desk.put({"a.png": photo(1)}))
        other = desk.take(desk.put({"a.png": photo(1)}, "secretive"))
        assert paid(desk) == {D1: (1, 0.5), other: (1, 0.0)}

    def test_what_was_left_out_of_a_correction_is_not_paid_again_when_it_comes_back(self, desk: Desk) -> None:
        desk.take(desk.put({"a.png": photo(1), "b.png": photo(2)}))
        folder = desk.store.home.landing("garments") / "acme" / "d1"
        (folder / "b.png").unlink()
        desk.take(f"{D1}-r2")
        desk.put({"b.png": photo(2), "c.png": photo(3)})
        desk.take(f"{D1}-r3")
        assert [quantity for quantity, _ in paid(desk).values()] == [2, 0, 1]


class TestCopiesOfWhatIsOutOfUse:
    """A picture that was left out as a copy counts again when the one that it is a copy of doesn't."""

    def take(self, desk: Desk, drop_id: str) -> str:
        return desk.use(desk.take(drop_id))

    def rescreen(self, desk: Desk) -> list[str]:
        """Screen again what is asked for, as the job does."""
        asked = [item.partition for item in waiting.rescreens(desk.store, desk.spec)]
        for drop_id in asked:
            desk.release(images.cleaned_set(desk.store, desk.spec, desk.store.load("raw_images", "garments", drop_id)))
            desk.use(drop_id)
        return asked

    def usable(self, desk: Desk) -> list[str]:
        """Drop/path of each usable picture."""
        cleaned, _ = desk.store.load_all("cleaned_set", "garments")
        rows, _ = images.usable_images(desk.store, desk.spec)
        paths = dict(zip(cleaned["drop_id"] + cleaned["image_id"], cleaned["path"], strict=True))
        rows = rows[rows["kind"] == "source"]
        return sorted(f"{drop}/{paths[drop + image]}" for drop, image in zip(rows["drop_id"], rows["image_id"], strict=True))

    def correct(self, desk: Desk, files: dict[str, bytes], number: int = 2) -> str:
        shutil.rmtree(desk.store.home.landing("garments") / "acme" / "d1")
        return self.take(desk, f"{desk.put(files)}-r{number}")

    @pytest.mark.parametrize("how", ["withdrawn", "replaced"])
    def test_it_is_asked_for_once_and_comes_back(self, desk: Desk, how: str) -> None:
        self.take(desk, desk.put({"a.png": photo(1), "b.png": photo(2)}))
        x = self.take(desk, desk.put({"a.png": photo(1), "c.png": photo(3)}, "secretive", "x"))
        other = self.take(desk, desk.put({"z.png": photo(9)}, "secretive", "other"))
        assert self.rescreen(desk) == []
        if how == "withdrawn":
            desk.withdraw(D1)
            left = []
        else:
            left = [f"{self.correct(desk, {'b.png': photo(2)})}/b.png"]
        assert self.rescreen(desk) == [x]
        assert self.usable(desk) == sorted([f"{x}/a.png", f"{x}/c.png", f"{other}/z.png", *left])
        assert self.rescreen(desk) == []

    def test_what_the_correction_still_holds_stays_a_copy(self, desk: Desk) -> None:
        self.take(desk, desk.put({"a.png": photo(1), "b.png": photo(2)}))
        x = self.take(desk, desk.put({"resized.png": photo(1, 160), "c.png": photo(3)}, "secretive", "x"))
        r2 = self.correct(desk, {"a.png": photo(1)})
        assert self.rescreen(desk) == [x]
        assert self.usable(desk) == sorted([f"{r2}/a.png", f"{x}/c.png"])
        assert self.rescreen(desk) == []

    def test_of_several_copies_one_comes_back(self, desk: Desk) -> None:
        self.take(desk, desk.put({"a.png": photo(1), "b.png": photo(2)}))
        x = self.take(desk, desk.put({"resized.png": photo(1, 160), "c.png": photo(3)}, "secretive", "x"))
        y = self.take(desk, desk.put({"again.png": photo(1, 192), "d.png": photo(4)}, "secretive", "y"))
        desk.withdraw(D1)
        assert self.rescreen(desk) == [x]
        assert self.rescreen(desk) == [y]
        assert self.usable(desk) == sorted([f"{x}/resized.png", f"{x}/c.png", f"{y}/d.png"])
        assert self.rescreen(desk) == []

    def test_one_that_the_gate_says_no_to_is_not_asked_for_again(self, desk: Desk) -> None:
        self.take(desk, desk.put({"a.png": photo(1)}))
        x = self.take(desk, desk.put({"a.png": photo(1), "c.png": photo(3)}, "secretive", "x"))
        desk.withdraw(D1)
        assert [item.partition for item in waiting.rescreens(desk.store, desk.spec)] == [x]
        made = images.cleaned_set(desk.store, desk.spec, desk.store.load("raw_images", "garments", x))
        gates.enter(desk.store, made, gates.Verdict("fail"), run_id="", until=None)
        assert self.rescreen(desk) == []

    def test_copies_of_a_drop_that_its_gate_refuses_later_come_back_and_give_way_once_it_is_let_pass(self, desk: Desk) -> None:
        def told() -> list[str]:
            return [line for line in status.of(desk.store, desk.spec).lines() if "as they aren't in use" in line]

        raw = images.raw_images(desk.store, desk.spec, desk.put({"a.png": photo(1), "b.png": photo(2)}))
        desk.release(raw)
        first = images.cleaned_set(desk.store, desk.spec, raw)  # on its way to its gate
        x = self.take(desk, desk.put({"resized.png": photo(1, 160), "c.png": photo(3)}, "secretive", "x"))
        self.take(desk, desk.put({"z.png": photo(9)}, "secretive", "other"))  # compared with it too, and nothing lost
        assert self.usable(desk).count(f"{x}/resized.png") == 0 and waiting.rescreens(desk.store, desk.spec) == []
        gates.enter(desk.store, first, gates.Verdict("fail"), run_id="", until=None)
        assert len(told()) == 1 and x in told()[0]
        assert self.rescreen(desk) == [x]
        assert f"{x}/resized.png" in self.usable(desk)
        assert self.rescreen(desk) == [] and told() == []

        desk.release(first)  # a person waives it after all
        desk.use(D1)
        assert self.rescreen(desk)[:1] == [x]
        assert f"{x}/resized.png" not in self.usable(desk) and f"{D1}/a.png" in self.usable(desk)
        self.rescreen(desk)
        assert self.rescreen(desk) == []

    @pytest.mark.parametrize("is_known", [True, False], ids=["parked before", "parked after"])
    def test_a_drop_that_is_parked_before_its_gate_spoke_keeps_nobody_out(self, desk: Desk, is_known: bool) -> None:
        raw = images.raw_images(desk.store, desk.spec, desk.put({"a.png": photo(1), "b.png": photo(2)}))
        desk.release(raw)
        desk.store.write(images.cleaned_set(desk.store, desk.spec, raw))
        last = records(desk.store.drops.rows())[-1]
        facts = {name: last[name] for name in ("drop_id", "vendor", "name", "supersedes", "fingerprint", "listing")}

        def park() -> None:
            drops.park(desk.store, desk.spec, [{**facts, "reason": "its runs failed"}])

        if is_known:
            park()
        x = self.take(desk, desk.put({"a.png": photo(1), "c.png": photo(3)}, "secretive", "x"))
        if not is_known:
            assert f"{x}/a.png" not in self.usable(desk)
            park()
            assert self.rescreen(desk) == [x]
        assert self.usable(desk) == sorted([f"{x}/a.png", f"{x}/c.png"]) and self.rescreen(desk) == []
        drops.retry(desk.store, desk.spec, D1)
        made = images.cleaned_set(desk.store, desk.spec, raw)
        desk.release(made)
        desk.use(D1)
        while self.rescreen(desk):
            pass
        kept = self.usable(desk)
        assert len(kept) == 3 and {name.split("/")[1] for name in kept} == {"a.png", "b.png", "c.png"}

    def test_what_stays_in_use_as_the_next_version_was_refused_is_kept_once(self, desk: Desk) -> None:
        self.take(desk, desk.put({"a.png": photo(1), "b.png": photo(2)}))
        strict = changed(desk.spec, cleaning={"thresholds": {"low_information": 1.0}})
        raw = desk.store.load("raw_images", "garments", D1)
        second = images.cleaned_set(desk.store, strict, raw)
        assert set(second.frame["status"]) == {"rejected"}
        x = self.take(desk, desk.put({"resized.png": photo(1, 160), "c.png": photo(3)}, "secretive", "x"))
        gates.enter(desk.store, second, gates.Verdict("fail"), run_id="", until=None)
        assert self.rescreen(desk) == [x]
        assert self.usable(desk) == sorted([f"{D1}/a.png", f"{D1}/b.png", f"{x}/c.png"])
        assert self.rescreen(desk) == []


class TestOneOfEachWhoeverComesFirst:
    """Two drops hold the same picture, and neither was released when the other was screened, or a person decides later."""

    @pytest.fixture
    def doubtful(self, desk: Desk) -> Desk:
        """Grey pictures wait for a person."""
        desk.spec = changed(desk.spec, cleaning={"review": ["grayscale"], "reject": []})
        return desk

    def gray(self, seed: int, side: int = 128) -> bytes:
        buffer = io.BytesIO()
        Image.open(io.BytesIO(photo(seed, side))).convert("L").save(buffer, "PNG")
        return buffer.getvalue()

    def screened(self, desk: Desk, drop_id: str) -> Manifest:
        return images.cleaned_set(desk.store, desk.spec, desk.store.load("raw_images", "garments", drop_id))

    def decide(self, monkeypatch: pytest.MonkeyPatch, decision: str, *ids: str) -> None:
        rows = pd.DataFrame([{"image_id": one, "decision": decision, "by": "ann", "at": now()} for one in ids])
        monkeypatch.setattr(images, "_screening_decisions", lambda *_: (rows, {"approved_labels": {}}))
        monkeypatch.setattr(images, "_answered", lambda *_: rows)

    def reasons(self, made: Manifest) -> dict[str, tuple[str, str | None]]:
        return {path: (status, reason) for path, status, reason in made.frame[["path", "status", "reason"]].itertuples(index=False)}

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_of_two_copies_that_people_keep_one_is_kept(
        self, doubtful: Desk, monkeypatch: pytest.MonkeyPatch, order: tuple[int, int]
    ) -> None:
        first = doubtful.take(doubtful.put({"a.png": self.gray(1)}))
        second = doubtful.take(doubtful.put({"b.png": self.gray(1, 160)}, "secretive", "x"))
        both = pd.concat([doubtful.store.load("cleaned_set", "garments", drop).frame for drop in (first, second)])
        assert list(both["status"]) == ["review", "review"]
        self.decide(monkeypatch, "keep", *both["image_id"])
        sooner, later = ((first, second)[place] for place in order)
        winner = self.screened(doubtful, sooner)
        assert [status for status, _ in self.reasons(winner).values()] == ["kept"]
        doubtful.release(winner)
        loser = self.screened(doubtful, later)
        assert list(self.reasons(loser).values()) == [("rejected", "near_duplicate")]
        assert list(loser.frame["duplicate_of"]) == list(winner.frame["image_id"])
        assert loser.inputs["cleaned_set"][sooner] == winner.version
        failed = {finding.name for finding in doubtful.gate(loser).failed}
        assert not failed & {"kept_once", "of_accepted_files", "every_input_accounted_for"}
        doubtful.release(loser)
        for made in (winner, loser):  # again, and once more
            assert self.screened(doubtful, made.partition).version == made.version

    def test_what_was_kept_stays_kept_when_a_later_copy_was_overlooked(self, desk: Desk) -> None:
        first = desk.take(desk.put({"a.png": photo(1)}))
        before = desk.store.load("cleaned_set", "garments", first)
        desk.take(desk.put({"b.png": photo(1, 160), "c.png": photo(3)}, "secretive", "x"))
        assert self.screened(desk, first).version == before.version

    def test_one_whose_gate_has_not_spoken_counts(self, desk: Desk) -> None:
        first = desk.take(desk.put({"a.png": photo(1)}), is_screened=False)
        waiting_ = self.screened(desk, first)
        second = desk.take(desk.put({"b.png": photo(1, 160), "c.png": photo(3)}, "secretive", "x"), is_screened=False)
        made = self.screened(desk, second)
        assert self.reasons(made) == {"b.png": ("rejected", "near_duplicate"), "c.png": ("kept", None)}
        desk.release(waiting_)
        assert self.screened(desk, second).version == made.version

    def test_one_whose_gate_said_no_does_not_count(self, desk: Desk) -> None:
        first = desk.take(desk.put({"a.png": photo(1)}), is_screened=False)
        gates.enter(desk.store, self.screened(desk, first), gates.Verdict("fail"), run_id="", until=None)
        second = desk.take(desk.put({"b.png": photo(1, 160)}, "secretive", "x"), is_screened=False)
        assert self.reasons(self.screened(desk, second)) == {"b.png": ("kept", None)}

    def test_a_run_that_was_killed_before_it_had_a_result_gives_way(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        first = desk.take(desk.put({"a.png": photo(1), "d.png": photo(4)}), is_screened=False)

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Store, "write", killed)
            with pytest.raises(KeyboardInterrupt):
                self.screened(desk, first)
        assert desk.store.pins("screening", "garments").keys() == {first}
        desk.take(desk.put({"a.png": photo(1)}, "secretive", "x"))
        assert self.reasons(self.screened(desk, first)) == {"a.png": ("rejected", "exact_duplicate"), "d.png": ("kept", None)}

    def test_the_gate_finds_two_of_one_kind_by_itself(self, desk: Desk) -> None:
        drop = desk.take(desk.put({"a.png": photo(1), "b.png": photo(1, 160), "c.png": photo(3)}), is_screened=False)
        made = self.screened(desk, drop)
        assert sorted(made.frame["status"]) == ["kept", "kept", "rejected"]
        both = made.frame.assign(
            status="kept", reason=None, duplicate_of=None, near_duplicate_group=None, clean_sha256=made.frame["image_id"], faces=0
        )
        verdict = desk.gate(Manifest("cleaned_set", "garments", drop, both, made.inputs))
        assert {finding.name: finding.failed_rows for finding in verdict.failed} == {"kept_once": 1}


class TestDecisionsHoldForWhatPeopleKnewOf:
    def approve(self, desk: Desk, image_id: str) -> None:
        """As if a person had answered a screening batch that was planned just now."""
        desk.store.charge("garments", "labels", "own", "screening-001", 1, 0.0, "EUR")
        row = {"image_id": image_id, "attribute": "screening", "object_id": "", "label": "keep", "batch_id": "screening-001"}
        row |= {"kind": "screening", "decided_by": "majority_vote", "approved_by": "ann"}
        frame = conform(pd.DataFrame([row]), CONTRACTS["approved_labels"])
        desk.release(Manifest("approved_labels", "garments", "screening-001", frame, {}))

    def covered(self, desk: Desk) -> list[bool]:
        return [bool(yes) for yes in images.decided_in_review(desk.store, desk.spec)["is_covered"]]

    def test_a_new_reason_asks_again(self, desk: Desk) -> None:
        desk.spec = changed(desk.spec, cleaning={"review": ["grayscale"], "reject": []})
        drop = desk.take(desk.put({"a.png": TestOneOfEachWhoeverComesFirst().gray(1), "c.png": photo(3)}))
        before = desk.store.load("cleaned_set", "garments", drop).frame.set_index("path")
        self.approve(desk, before.at["a.png", "image_id"])
        assert self.covered(desk) == [True]
        assert [item.partition for item in waiting.rescreens(desk.store, desk.spec)] == [drop]
        raw = desk.store.load("raw_images", "garments", drop)
        assert set(images.cleaned_set(desk.store, desk.spec, raw).frame["status"]) == {"kept"}
        desk.spec = changed(desk.spec, cleaning={"review": ["grayscale", "dark"], "thresholds": {"dark": 1.0}})
        made = images.cleaned_set(desk.store, desk.spec, raw)
        again = made.frame.set_index("path").loc["a.png"]
        assert (again["status"], again["reason"]) == ("review", "dark|grayscale")
        desk.release(made)
        assert self.covered(desk) == [False]
        assert waiting.rescreens(desk.store, desk.spec) == []  # nothing would come of it before somebody is asked


class TestBesideEachOther:
    """Looking at the pictures of one drop holds up no other; of two that hold the same one keeps it all the same."""

    SCREENING = """
import sys, time
from pathlib import Path
from dataops_assets.flow import images
from dataops_assets.home import Home
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import looking
from dataops_assets.store import Store
home, drop = Path(sys.argv[1]), sys.argv[2]
look = looking.map_blobs
def together(*args, **kwargs):  # nobody looks before both have seen what there is to compare with
    (home / f"{drop}.looks").touch()
    while len(list(home.glob("*.looks"))) < 2:
        time.sleep(0.01)
    return look(*args, **kwargs)
looking.map_blobs = together
store, spec = Store(Home.at(home)), ProjectSpec.model_validate_json((home / "spec.json").read_text())
images.cleaned_set(store, spec, store.load("raw_images", spec.name, drop))
"""

    def screened(self, desk: Desk, drop_id: str) -> Manifest:
        return images.cleaned_set(desk.store, desk.spec, desk.store.load("raw_images", "garments", drop_id))

    def test_a_drop_whose_screening_hangs_holds_up_no_other(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        slow = desk.take(desk.put({"a.png": photo(1), "b.png": photo(2)}), is_screened=False)
        quick = desk.take(desk.put({"a.png": photo(1), "c.png": photo(3)}, "secretive", "x"), is_screened=False)
        look, hangs, goes_on = looking.map_blobs, threading.Event(), threading.Event()

        def hanging(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is stuck:
                hangs.set()
                assert goes_on.wait(120)
            return look(*args, **kwargs)

        monkeypatch.setattr(looking, "map_blobs", hanging)
        made: list[Manifest] = []
        store = Store(desk.store.home)
        raw = store.load("raw_images", "garments", slow)
        stuck = threading.Thread(target=lambda: made.append(images.cleaned_set(store, desk.spec, raw)))
        passing = threading.Thread(target=lambda: made.append(self.screened(desk, quick)))
        stuck.start()
        assert hangs.wait(60)
        passing.start()
        passing.join(60)
        passed = [one.partition for one in made]
        goes_on.set()
        stuck.join(60)
        passing.join(60)
        assert passed == [quick]
        kept = [f"{row.drop_id}/{row.path}" for one in made for row in one.frame.itertuples() if row.status == "kept"]
        assert sorted(kept) == sorted([f"{quick}/a.png", f"{quick}/c.png", f"{slow}/b.png"])
        assert self.screened(desk, slow).version == made[1].version

    def test_two_processes_that_screen_the_same_pictures_at_once_keep_one_of_each(self, desk: Desk) -> None:
        files = {f"{seed}.png": photo(seed) for seed in range(1, 5)}
        pair = [desk.put(files), desk.put({**files, "own.png": photo(9)}, "secretive", "x")]
        for drop_id in pair:
            desk.take(drop_id, is_screened=False)
        home = desk.store.home.root
        (home / "spec.json").write_text(desk.spec.model_dump_json())
        running = [subprocess.Popen([sys.executable, "-c", self.SCREENING, str(home), drop_id], cwd=REPO) for drop_id in pair]
        assert [process.wait(120) for process in running] == [0, 0]
        made = [self.screened(desk, drop_id) for drop_id in pair]
        assert all(desk.store.candidates("cleaned_set", "garments")[one.partition] == [one.version] for one in made)  # the same again
        rows = pd.concat([one.frame for one in made])
        kept = rows[rows["status"] == "kept"]
        assert len(kept) == kept["image_id"].nunique() == 5
        for one in made:
            desk.release(one)
            assert not {finding.name for finding in desk.gate(one).failed} & {"kept_once", "every_input_accounted_for"}

    def test_screenings_share_the_cores_and_their_memory(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        desk.spec = changed(desk.spec, cleaning={"workers": 4})
        drop = desk.take(desk.put({"a.png": photo(1)}), is_screened=False)
        look, may = looking.map_blobs, []

        def watched(*args: Any, workers: Any, **kwargs: Any) -> Any:
            may.append(workers())
            return look(*args, workers=workers, **kwargs)

        monkeypatch.setattr(looking, "map_blobs", watched)
        with locks.share(desk.store.home, images.WORKERS):
            self.screened(desk, drop)
        assert set(may) == {2}

    def test_what_has_to_be_looked_at_after_all_is_looked_at_without_the_lock(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        first = desk.take(desk.put({"a.png": photo(1), "b.png": photo(2)}))
        second = desk.take(desk.put({"a.png": photo(1), "c.png": photo(3)}, "secretive", "x"), is_screened=False)
        look, looks = looking.map_blobs, []

        def watched(task: Any, items: Any, *args: Any, **kwargs: Any) -> Any:
            with claims.alone(desk.store.home, "garments.cleaned_set") as is_free:
                looks.append((len(items), is_free))
            if len(looks) == 1:
                desk.withdraw(first)
            return look(task, items, *args, **kwargs)

        monkeypatch.setattr(looking, "map_blobs", watched)
        assert set(self.screened(desk, second).frame["status"]) == {"kept"}
        assert looks == [(2, True), (1, True), (1, True)]
