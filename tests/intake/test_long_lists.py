"""A list that takes longer than a run may: held, and taken up again where it was, until it is through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataops_assets import drops, waiting
from dataops_assets.flow import images
from dataops_assets.intake import fetching, urls
from dataops_assets.intake.identity import drop_id_of
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import raw_images
from dataops_assets.store import Store
from tests.conftest import changed
from tests.reports.test_delivery import photo

DROP = drop_id_of("acme", "list")


class Hosts:
    """Addresses that take a minute each, on a clock of their own; `dead` ones answer 503, `gone` ones 404."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.dead: set[str] = set()
        self.gone: set[str] = set()
        self.now = 0.0
        hosts = self

        def chunks(asker: Any, address: urls.Address) -> Iterator[bytes]:
            hosts.asked.append(address.path)
            hosts.now += 60
            if address.path in hosts.dead:
                raise fetching.Unreachable(f"row {address.row}: answered 503")
            if address.path in hosts.gone:
                raise fetching.Missing(f"row {address.row}: answered 404")
            yield photo(address.row)

        made = fetching.fetch
        monkeypatch.setattr(fetching._Asker, "chunks", chunks)
        monkeypatch.setattr(fetching, "fetch", lambda *given, **more: made(*given, **more, clock=lambda: hosts.now))


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    return Hosts(monkeypatch)


@pytest.fixture
def spec(garments: ProjectSpec) -> ProjectSpec:
    rules = {"enabled": True, "hosts": ["cdn.example.org"], "run_seconds": 120, "list_seconds": 1000}
    return changed(garments, sources={"vendors": [{"name": "acme", "license": "CC0-1.0"}], "urls": rules}, cleaning={"workers": 1})


@pytest.fixture
def landed(store: Store, spec: ProjectSpec) -> Path:
    folder = store.home.landing(spec.name) / "acme" / "list"
    folder.mkdir(parents=True)
    rows = [f"https://cdn.example.org/{number},{number}.png" for number in range(1, 6)]
    (folder / "urls.csv").write_text("\n".join(["url,path", *rows]))
    (folder / "_COMPLETE").touch()
    return folder


def last(store: Store) -> dict[str, Any]:
    return dict(store.drops.rows().iloc[-1])


def test_each_run_goes_on_where_the_one_before_stopped(store: Store, spec: ProjectSpec, hosts: Hosts, landed: Path) -> None:
    for came in (2, 4):
        made = images.raw_images(store, spec, DROP)
        row = last(store)
        assert (row["status"], row["reason"], row["files_seen"]) == ("held", "INCOMPLETE", 7)
        assert set(made.frame["status"]) == {"held", "ignored"}
        assert f"{5 - came} of 5 addresses are still to be fetched" in str(made.facts["detail"])
        (item,) = waiting.drops(store, spec, {}, time.time()).ready  # it waits for its next run, and that is no failed attempt
        assert (item.partition, item.has_addresses) == (DROP, True)
        assert item.since == row["received_at"].timestamp()
    made = images.raw_images(store, spec, DROP)
    assert hosts.asked == ["1.png", "2.png", "3.png", "4.png", "5.png"]  # each once
    assert (last(store)["status"], (made.frame["status"] == "accepted").sum()) == ("accepted", 5)
    assert not list((store.home.scratch / "intake").glob("*.jsonl"))
    assert store.drops.verify() == []


def test_the_same_files_come_of_it_as_of_one_run(store: Store, spec: ProjectSpec, hosts: Hosts, landed: Path) -> None:
    for _ in range(3):
        made = images.raw_images(store, spec, DROP)
    whole = images.raw_images(store, changed(spec, sources={**spec.sources.model_dump(), "urls": {
        "enabled": True, "hosts": ["cdn.example.org"], "run_seconds": 1e6}}), DROP)  # fmt: skip
    assert made.version == whole.version


def test_addresses_that_lead_nowhere_do_not_take_up_every_run(store: Store, spec: ProjectSpec, hosts: Hosts, landed: Path) -> None:
    hosts.gone = {"1.png", "2.png", "3.png"}
    for _ in range(3):
        made = images.raw_images(store, spec, DROP)
    assert hosts.asked == ["1.png", "2.png", "3.png", "4.png", "5.png"]
    found = made.frame.set_index("path")
    assert dict(found["status"].value_counts()) == {"quarantined": 3, "accepted": 2, "ignored": 2}
    assert set(found.loc[sorted(hosts.gone), "reason"]) == {"MANIFEST_FILE_MISSING"}


def test_a_run_that_got_nothing_is_a_failed_attempt(store: Store, spec: ProjectSpec, hosts: Hosts, landed: Path) -> None:
    hosts.dead = {f"{number}.png" for number in range(1, 6)}
    with pytest.raises(raw_images.Unfetched, match="5 of 7 files could not be fetched"):
        images.raw_images(store, spec, DROP)
    assert store.drops.rows().empty
    assert drops.retried(store.drops.rows()) == {}


def test_a_list_has_only_so_much_time_in_all(store: Store, spec: ProjectSpec, hosts: Hosts, landed: Path) -> None:
    spec = changed(spec, sources={**spec.sources.model_dump(), "urls": {**spec.sources.urls.model_dump(), "list_seconds": 200}})
    images.raw_images(store, spec, DROP)
    with pytest.raises(raw_images.Unfetched):  # from now on each run that leaves something is a failed attempt
        images.raw_images(store, spec, DROP)
    assert hosts.asked == ["1.png", "2.png", "3.png", "4.png"]
    made = images.raw_images(store, spec, DROP)
    assert (made.frame["status"] == "accepted").sum() == 5
