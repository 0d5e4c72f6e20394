"""Blobs, manifests, ledgers and releases, as the rest of the platform relies on them."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dataops_assets.blobs import BlobMissing, Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.home import Home, pseudonym
from dataops_assets.ledger import Ledger
from dataops_assets.manifest import ContractError, Manifest, conform, digest
from dataops_assets.store import NotReleased, Store, now


def four_processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn"))


def brief(partition: str = "-", value: float = 1.0, rows: int = 2) -> Manifest:
    frame = pd.DataFrame({"check": [f"c{i}" for i in range(rows)], "value": [value] * rows})
    return Manifest("brief", "p", partition, frame)


def gate_row(made: Manifest, outcome: str) -> dict[str, object]:
    return {
        "project": made.project,
        "asset": made.asset,
        "partition": made.partition,
        "version": made.version,
        "outcome": outcome,
        "at": now(),
    }


def pass_gate(store: Store, made: Manifest, outcome: str = "pass") -> None:
    store.gates.append(lambda rows: [gate_row(made, outcome)])


class TestBlobs:
    def test_a_blob_is_named_by_its_bytes_and_read_only(self, tmp_path: Path) -> None:
        blobs = Blobs(str(tmp_path))
        name = blobs.put(b"dress")
        assert name == hashlib.sha256(b"dress").hexdigest()
        assert blobs.read(name) == b"dress"
        assert Path(blobs.path(name)).stat().st_mode & 0o222 == 0
        assert blobs.put(b"dress") == name

    def test_a_stream_that_breaks_leaves_nothing(self, tmp_path: Path) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"half"
            raise OSError("the disk is gone")

        with pytest.raises(OSError, match="gone"):
            Blobs(str(tmp_path)).put_stream(chunks())
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

    def test_a_missing_blob_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BlobMissing, match="0" * 64):
            Blobs(str(tmp_path)).read("0" * 64)

    def test_only_a_sha256_is_a_name(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="not a sha256"):
            Blobs(str(tmp_path)).path("../../etc/passwd")

    def test_any_fsspec_url_will_do(self) -> None:
        blobs = Blobs("memory://dataops-test")
        name, size = blobs.put_stream([b"a", b"b"])
        assert (blobs.read(name), size) == (b"ab", 2)


class TestManifests:
    def test_what_is_written_is_read_back(self, store: Store) -> None:
        made = Manifest("brief", "p", "-", pd.DataFrame({"check": ["b", "a"], "is_met": [True, None]}), {"x": {"y": "z"}})
        store.write(made)
        read = store.read("brief", "p", "-", made.version)
        pd.testing.assert_frame_equal(read.frame, made.frame)
        assert read.inputs == {"x": {"y": "z"}}
        assert digest(read.frame, CONTRACTS["brief"], read.inputs) == made.version

    def test_the_version_ignores_row_order_and_noise_but_not_content_or_inputs(self) -> None:
        frame = pd.DataFrame({"check": ["a", "b"], "value": [1.0, 2.0]})
        version = Manifest("brief", "p", "-", frame).version
        assert Manifest("brief", "p", "-", frame.iloc[::-1]).version == version
        assert Manifest("brief", "p", "-", frame.assign(value=[1.0 + 1e-9, 2.0])).version == version
        assert Manifest("brief", "p", "-", frame.assign(value=[1.1, 2.0])).version != version
        assert Manifest("brief", "p", "-", frame, {"raw": {"d": "v"}}).version != version

    def test_a_null_is_not_an_empty_text_nor_a_zero(self) -> None:
        versions = {
            Manifest("brief", "p", "-", pd.DataFrame({"check": ["a"], "unit": [unit], "value": [value]})).version
            for unit, value in [(None, None), ("", None), (None, 0.0), ("", 0.0)]
        }
        assert len(versions) == 4

    def test_an_empty_manifest_exists(self, store: Store) -> None:
        made = Manifest("vendor_feedback", "p", "b1", pd.DataFrame())
        store.write(made)
        assert store.read("vendor_feedback", "p", "b1", made.version).frame.empty

    @pytest.mark.parametrize(
        ("frame", "says"),
        [
            (pd.DataFrame({"check": ["a"], "colour": ["red"]}), "unknown columns"),
            (pd.DataFrame({"check": ["a", "a"]}), "repeats"),
            (pd.DataFrame({"check": ["a", None]}), "nulls"),
            (pd.DataFrame({"check": ["a"], "value": ["much"]}), "value is not float64"),
            (pd.DataFrame({"check": [7]}), "check is not string"),
        ],
    )
    def test_a_frame_that_breaks_the_contract_is_refused(self, frame: pd.DataFrame, says: str) -> None:
        with pytest.raises(ContractError, match=says):
            conform(frame, CONTRACTS["brief"])

    def test_columns_that_came_and_went_since_a_table_was_made_are_no_harm(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        full = CONTRACTS["brief"]
        columns = {name: kind for name, kind in full.columns.items() if name != "sentence"}
        old = replace(full, columns={**columns, "gone": "string"})
        with monkeypatch.context() as patch:
            patch.setitem(CONTRACTS, "brief", old)
            store.write(before := brief())
        store.write(after := Manifest("brief", "p", "-", before.frame[["check", "value"]].assign(sentence="now")))
        assert set(store.read("brief", "p", "-", after.version).frame["sentence"]) == {"now"}
        known = store.read("brief", "p", "-", before.version).frame
        assert known["value"].tolist() == [1.0, 1.0] and known["sentence"].isna().all()

    def test_four_processes_that_write_one_version_leave_one(self, tmp_path: Path) -> None:
        """In sixty stores: a process that makes the table while another one does has a few milliseconds for it."""
        with four_processes() as pool:
            list(pool.map(write_same, [str(tmp_path / f"{number}") for number in range(60) for _ in range(4)]))
        for number in range(60):
            store = Store(Home.at(tmp_path / f"{number}"))
            assert len(store.read("brief", "p", "-", brief(rows=50).version).frame) == 50


def write_same(root: str) -> None:
    Store(Home.at(root)).write(brief(rows=50))


class TestReleases:
    def test_only_what_passed_can_be_loaded(self, store: Store) -> None:
        made = brief()
        store.write(made)
        with pytest.raises(NotReleased, match="has not been through its gate"):
            store.load("brief", "p")
        pass_gate(store, made, "fail")
        with pytest.raises(NotReleased, match="gate failed on version"):
            store.load("brief", "p")
        pass_gate(store, made, "error")
        with pytest.raises(NotReleased, match="could not run"):
            store.load("brief", "p")
        pass_gate(store, made)
        assert store.load("brief", "p").version == made.version

    def test_the_last_released_version_stays_in_use_until_a_new_one_passes(self, store: Store) -> None:
        first, second = brief(value=1), brief(value=2)
        for made, outcome in ((first, "pass"), (second, "fail")):
            store.write(made)
            pass_gate(store, made, outcome)
        assert store.load("brief", "p").version == first.version
        pass_gate(store, second, "waived")
        assert store.load("brief", "p").version == second.version

    def test_rows_of_many_partitions_come_in_their_released_versions(self, store: Store) -> None:
        for partition, value, outcome in (("a", 1, "pass"), ("a", 9, "fail"), ("b", 2, "pass"), ("c", 3, "fail")):
            made = brief(partition, value)
            store.write(made)
            pass_gate(store, made, outcome)
        frame, inputs = store.load_all("brief", "p")
        assert sorted(frame["value"]) == [1, 1, 2, 2]
        assert set(inputs["brief"]) == {"a", "b"}

    def test_a_cost_is_entered_once(self, store: Store) -> None:
        for _ in range(2):
            store.charge("p", "images", "acme", "d1", 10, 0.5, "EUR")
        assert store.spent("p") == 0.5


class TestLedger:
    def test_four_writers_never_fork_the_chain(self, tmp_path: Path) -> None:
        with four_processes() as pool:
            list(pool.map(charge_ten, [(str(tmp_path), worker) for worker in range(4)]))
        costs = Store(Home.at(tmp_path)).costs
        assert list(costs.rows()["seq"]) == list(range(1, 41))
        assert costs.verify() == []

    def test_a_changed_row_is_found(self, store: Store) -> None:
        for ref in ("a", "b", "c"):
            store.charge("p", "images", "v", ref, 1, 1, "EUR")
        frame = store.costs.rows().copy()
        frame.loc[1, "amount"] = 1000.0
        forged = Forged(store.costs, frame)
        assert forged.verify() == ["costs: row 2 was changed after it was written"]
        assert Forged(store.costs, frame.drop(index=1)).verify() == ["costs: expected row 2, found 3"]

    def test_compaction_keeps_every_row(self, store: Store) -> None:
        store.costs.append(lambda rows: [{"project": "p", "kind": "k", "ref": str(i), "amount": 1.0, "at": now()} for i in range(98)])
        for ref in ("x", "y", "z"):
            store.charge("p", "images", "v", ref, 1, 1, "EUR")
        assert len(store.costs.rows()) == 101
        assert store.costs.verify() == []


class Forged(Ledger):
    """A ledger whose rows somebody changed on disk."""

    def __init__(self, real: Ledger, frame: pd.DataFrame) -> None:
        super().__init__("costs", real.uri)
        self.frame = frame

    def rows(self) -> pd.DataFrame:
        return self.frame


def charge_ten(job: tuple[str, int]) -> None:
    root, worker = job
    store = Store(Home.at(root))
    for number in range(10):
        store.charge("p", "labels", "v", f"{worker}-{number}", 1, 1, "EUR")


def test_a_pin_keeps_its_first_value(store: Store) -> None:
    store.pin("screening", "p", "d1", {"number": 1})
    store.pin("screening", "p", "d1", {"number": 2})
    assert store.pins("screening", "p") == {"d1": {"number": 1}}


def test_workers_get_stable_names_that_tell_nothing(tmp_path: Path) -> None:
    key = Home.at(tmp_path).worker_key()
    assert Home.at(tmp_path).worker_key() == key
    assert (tmp_path / "worker.key").stat().st_mode & 0o077 == 0
    name = pseudonym(key, "acme", "jane@example.org")
    assert name == pseudonym(key, "acme", "jane@example.org")
    assert name != pseudonym(key, "other", "jane@example.org")
    assert "jane" not in name
