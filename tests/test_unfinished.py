"""A process that is killed between a ledger and what people see: another one finishes, and the bytes are the same."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from dataops_assets import gates, lineage, planning, program, unfinished
from dataops_assets.flow import handbook as books
from dataops_assets.flow import labels
from dataops_assets.home import Home
from dataops_assets.manifest import Manifest
from dataops_assets.operations import Operations
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests.conftest import REPO
from tests.reports.test_anew import DAY, Shop, built, shop  # noqa: F401  # fixtures
from tests.reports.test_delivery import Desk, photo, terms

KILLED = """
import sys
from pathlib import Path
from dataops_assets import gates
from dataops_assets.home import Home
from dataops_assets.operations import Operations
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store
from tests import faults
home = Path(sys.argv[1])
store, spec = Store(Home.at(home)), ProjectSpec.model_validate_json((home / "spec.json").read_text())
faults.arm({"kill": sys.argv[2], "when": sys.argv[3], "nth": 1})
"""
CONCLUDE = "gates._conclude(store, spec, store.read(*sys.argv[4:]), gates.Verdict('pass'), run_id='', until=None)"
WITHDRAW = "Operations(store, [spec], None).withdraw(spec.name, None, sys.argv[4], 'consent revoked', 'ann')"
PURGE = "Operations(store, [spec], None).purge(spec.name)"


def kill(store: Store, spec: ProjectSpec, what: str, step: str, when: str, *more: str) -> None:
    """Do something in a process that is killed at a step of it."""
    (store.home.root / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-c", KILLED + what, str(store.home.root), step, when, *more]
    assert subprocess.run(command, cwd=REPO, timeout=120).returncode == -signal.SIGKILL


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def desk(store: Store, garments: ProjectSpec) -> Desk:
    return Desk(store, terms(garments))


@pytest.fixture
def batch(desk: Desk) -> Manifest:
    """The tasks of a pilot, written and not judged."""
    desk.use(desk.take(desk.put({f"{seed}.png": photo(seed) for seed in range(3)})))
    planning.plan_batches(desk.store, desk.spec, "pilot")
    handbook = books.guidelines(desk.store, desk.spec, labels.brief(desk.store, desk.spec))
    desk.store.write(handbook)
    made = labels.label_tasks(desk.store, desk.spec, "pilot-001", handbook)
    desk.store.write(made)
    return made


def place(made: Manifest) -> tuple[str, str, str, str]:
    return made.asset, made.project, made.partition, made.version


@pytest.mark.parametrize(
    ("step", "when"), [("enter a verdict", "after"), ("show it", "before"), ("write a page", "before"), ("show it", "after")]
)
def test_a_request_whose_run_was_killed_is_sent_all_the_same(desk: Desk, batch: Manifest, step: str, when: str) -> None:
    kill(desk.store, desk.spec, CONCLUDE, step, when, *place(batch))
    assert "pilot-001" in desk.store.released("label_tasks", "garments")
    assert [problem for problem in lineage.verify(desk.store, "garments") if "`dataops run garments` shows them" in problem]
    assert gates.catch_up(desk.store, desk.spec) == ["garments: verdict label_tasks pilot-001 was left half-way, and is finished now."]
    finished = below(desk.store.home.requests("garments")), below(desk.store.home.reports("garments"))
    assert "pilot-001/README.md" in finished[0] or len(finished[0]) > 3
    assert gates.catch_up(desk.store, desk.spec) == [] and not [p for p in lineage.verify(desk.store, "garments") if "shows them" in p]
    shutil.rmtree(desk.store.home.requests("garments"))
    gates._conclude(desk.store, desk.spec, batch, gates.Verdict("pass"), run_id="", until=None)
    assert (below(desk.store.home.requests("garments")), below(desk.store.home.reports("garments"))) == finished


def test_what_was_not_entered_is_not_sent(desk: Desk, batch: Manifest) -> None:
    kill(desk.store, desk.spec, CONCLUDE, "enter a verdict", "before", *place(batch))
    assert len(gates.catch_up(desk.store, desk.spec)) == 1
    assert desk.store.released("label_tasks", "garments") == {}
    assert not desk.store.home.requests("garments").exists()
    assert unfinished.left(desk.store.home, "garments") == []


def test_a_later_verdict_is_not_talked_over(desk: Desk, batch: Manifest) -> None:
    kill(desk.store, desk.spec, CONCLUDE, "show it", "before", *place(batch))
    later = Manifest("label_tasks", "garments", "pilot-001", batch.frame.head(1))
    desk.store.write(later)
    gates._conclude(desk.store, desk.spec, later, gates.Verdict("fail"), run_id="", until=None)
    page = desk.store.home.reports("garments") / "label_tasks" / "pilot-001.html"
    told = page.read_text()
    assert not (desk.store.home.requests("garments") / "pilot-001").exists()
    gates.catch_up(desk.store, desk.spec)
    assert (desk.store.home.requests("garments") / "pilot-001").exists()  # released it still is
    assert page.read_text() == told


def test_a_note_of_a_process_that_lives_is_left_alone_and_one_that_cant_be_finished_stays(store: Store, dresses: ProjectSpec) -> None:
    with unfinished.noted(store.home, "dresses", {"kind": "verdict"}):
        assert unfinished.left(store.home, "dresses") == []
        assert gates.catch_up(store, dresses) == []
    assert list(store.home.unfinished("dresses").iterdir()) == []
    with pytest.raises(OSError, match="full"), unfinished.noted(store.home, "dresses", {"kind": "verdict"}):
        raise OSError("full")
    assert len(unfinished.left(store.home, "dresses")) == 1
    assert "can't be finished" in gates.catch_up(store, dresses)[0]  # it doesn't say which verdict
    assert len(unfinished.left(store.home, "dresses")) == 1


def test_a_report_that_found_no_room_is_written_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    drop = desk.take(desk.put({"a.png": photo(1)}))
    made = desk.store.load("cleaned_set", "garments", drop)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(gates.delivery, "write", full)
        gates._conclude(desk.store, desk.spec, made, gates.Verdict("pass"), run_id="", until=None)
    desk.path(drop).unlink()
    assert "is finished now" in gates.catch_up(desk.store, desk.spec)[0]
    assert desk.path(drop).exists()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_withdrawal_killed_before_the_pages_were_drawn_is_caught_up(shop: Shop, when: str) -> None:  # noqa: F811
    image = str(shop.rows.loc["green.png", "image_id"])
    home = shop.store.home.root
    shutil.copytree(home, home.with_name("twin"))
    twin = Store(Home.at(home.with_name("twin")))
    Operations(twin, [shop.spec], None).withdraw("garments", None, image, "consent revoked", "ann")
    kill(shop.store, shop.spec, WITHDRAW, "write a page", when, image)
    assert len(shop.store.withdrawals.rows()) == 1
    assert shop.green() & {f"cleaned_set/{shop.first}.html", f"raw_images/{shop.first}.html"}
    assert "withdrawal" in gates.catch_up(shop.store, shop.spec)[0]
    assert {name for name in shop.green() if shop.second not in name} == set()
    assert shop.pages() == {
        str(path.relative_to(twin.home.reports("garments"))): path.read_text()
        for path in sorted(twin.home.reports("garments").rglob("*.html"))
    }


@pytest.mark.parametrize("step", ["delete", "write a page"])
def test_a_deletion_killed_half_way_is_caught_up(shop: Shop, step: str) -> None:  # noqa: F811
    gone = list(shop.rows.loc["green.png", ["image_id", "clean_sha256"]])
    apart = shop.store.apart("garments")
    apart.set_apart(gone)
    for sha256 in gone:
        os.utime(apart.apart(sha256), (DAY, DAY))
    kill(shop.store, shop.spec, PURGE, step, "after")
    assert "deletion" in gates.catch_up(shop.store, shop.spec)[0]
    assert {name for name in shop.green() if not name.startswith("augmented_set") and shop.second not in name} == set()
    assert shop.work.purge("garments").notes[0].startswith("garments: 0 pictures")


def test_the_sensor_asks_while_something_is_left(store: Store, dresses: ProjectSpec) -> None:
    with dg.build_sensor_context(resources={"store": store}) as context:
        assert isinstance(program.unfinished_sensor(context), dg.SkipReason)
        with pytest.raises(KeyError), unfinished.noted(store.home, "dresses", {"kind": "verdict"}):
            raise KeyError
        asked = program.unfinished_sensor(context)
    assert isinstance(asked, dg.RunRequest) and unfinished.left(store.home, "dresses")[0] in str(asked.run_key)
