"""What gates ask for: a candidate's inputs, earlier verdicts, and what a release publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import partial
from typing import Any

import pandas as pd

from dataops_assets.contracts import CONTRACTS, LEDGERS
from dataops_assets.flow import handbook, policies, refused, sight
from dataops_assets.flow.delivery import assemble
from dataops_assets.flow.gold import registry
from dataops_assets.flow.history import gone, sampled, standing
from dataops_assets.flow.labels import blobs_of, may_show
from dataops_assets.flow.shared import rows_of
from dataops_assets.manifest import Manifest, records
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.gold import usable
from dataops_assets.store import Store


class Frames(Mapping[str, pd.DataFrame]):
    """Frames by name, each read when a rule first asks for it: a batch's answers are millions of rows that few rules look at."""

    def __init__(self, readers: Mapping[str, Callable[[], pd.DataFrame]]) -> None:
        self._readers, self._read = dict(readers), dict[str, pd.DataFrame]()

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._read:
            self._read[name] = self._readers[name]()
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def __contains__(self, name: object) -> bool:  # `Mapping` would read the frame to see
        return name in self._readers

    def get(self, name: str, default: Any = None) -> Any:  # `Mapping` would take a reader's own KeyError for a name that isn't there
        return self[name] if name in self._readers else default


def input_frames(store: Store, spec: ProjectSpec, candidate: Manifest) -> Frames:
    """Frames of the versions a candidate was made from, by asset.

    - A drop: its last row in the `drops` ledger; once it is screened, kept pictures that are `copies` of others by their hashes, or
      `near_refused` ones.
    - Guidelines: those `in_use`, the `stated` changes of the ontology, and gold that is still `hidden`.
    - Approved labels: the `audits` that were known when they were approved, with the sample of `label_quality` as it is now; where
      nothing was accepted, what `settled` the batch's questions, and pictures that are `gone`.
    - A batch of tasks: the pictures that may be `shown`, and whether vendors are `qualified`. Like a licence that is a question of the
      day, so a batch may be judged again once its vendor has passed.
    - A release: what the `policy` for personal data says today of each picture that was kept, and which files lie in common `sight`.
    """
    assets = CONTRACTS.keys() - set(LEDGERS)  # a release also names the withdrawals it heeded
    readers: dict[str, Callable[[], pd.DataFrame]] = {
        asset: partial(store.read_all, asset, candidate.project, versions)
        for asset, versions in candidate.inputs.items()
        if asset in assets
    }
    if candidate.asset == "raw_images":
        readers["drops"] = lambda: _of_ledger(store, candidate)
    if candidate.asset == "guidelines":
        in_use = store.released("guidelines", candidate.project)
        stated = [change.model_dump_json(by_alias=True) for change in spec.ontology.changes]
        readers["in_use"] = lambda: store.read_all("guidelines", candidate.project, in_use)
        readers["stated"] = lambda: pd.DataFrame({"change": stated}, dtype="object")
        readers["hidden"] = lambda: usable(registry(store, spec)[0])[["image_id"]]
    if candidate.asset == "approved_labels":
        for name in ("audits", "settled"):
            readers[name] = partial(store.read_all, "label_quality", candidate.project, candidate.inputs.get(name, {}))
        if judged := readers.get("label_quality"):
            readers["label_quality"] = lambda: sampled(store, spec, judged(), frames["audits"])
        readers["gone"] = lambda: pd.DataFrame({"image_id": sorted(gone(store, spec))}, dtype="object")
    if candidate.asset == "label_tasks":
        readers["qualified"] = lambda: standing(store, spec)
        readers["shown"] = lambda: may_show(store, spec, candidate.frame)[["image_id"]]
    if candidate.asset == "cleaned_set":
        from dataops_assets.stages.copies import copies

        readers["copies"] = lambda: copies(candidate.frame, frames.get("cleaned_set", candidate.frame.head(0)), spec.cleaning)
        readers["near_refused"] = lambda: refused.near(store, spec, candidate.frame)
    if candidate.asset == "training_export":
        readers["policy"] = lambda: _policy(store, spec, frames["cleaned_set"], candidate)
        readers["sight"] = lambda: _in_sight(store, candidate.frame["sha256"])
    frames = Frames(readers)
    return frames


def _of_ledger(store: Store, drop: Manifest) -> pd.DataFrame:
    rows = rows_of(store.drops.rows(), drop.project)
    return rows[(rows["drop_id"] == drop.partition) & rows["files_seen"].notna()].tail(1).reset_index(drop=True)


def _policy(store: Store, spec: ProjectSpec, cleaned: pd.DataFrame, candidate: Manifest) -> pd.DataFrame:
    """What the policy for personal data says today of pictures that a release's screenings kept."""
    kept = cleaned[cleaned["status"] == "kept"]
    return policies.judged(store, spec, kept, candidate.inputs["cleaned_set"]).assign(drop_id=kept["drop_id"], image_id=kept["image_id"])


def _in_sight(store: Store, files: pd.Series) -> pd.DataFrame:
    files = files.drop_duplicates()
    return files[files.map(store.blobs.has).astype(bool)].to_frame()


def last_gate(store: Store, project: str, asset: str, partition: str) -> dict[str, Any] | None:
    """The newest row of the gates ledger for a partition."""
    rows = rows_of(store.gates.rows(), project)
    rows = rows[(rows["asset"] == asset) & (rows["partition"] == partition)]
    return records(rows.tail(1))[0] if len(rows) else None


def waiver(store: Store, project: str, asset: str, partition: str, version: str, today: date) -> dict[str, Any] | None:
    """A waiver that may still release this very version."""
    rows = rows_of(store.gates.rows(), project)
    rows = rows[(rows["asset"] == asset) & (rows["partition"] == partition) & (rows["version"] == version) & (rows["outcome"] == "waived")]
    rows = rows[rows["until"].fillna("") >= today.isoformat()]
    return records(rows.tail(1))[0] if len(rows) else None


def publish(store: Store, spec: ProjectSpec, released: Manifest) -> None:
    """Put what was just released where people outside the platform find it. Doing it again changes nothing."""
    from dataops_assets import measured
    from dataops_assets.stages import label_tasks, training_export

    if released.asset == "label_tasks":
        blobs = blobs_of(store, spec, released.frame)
        shown = handbook.edition_of(store, spec, released.inputs)
        label_tasks.write_request(released.frame, spec, store.home.requests(spec.name) / released.partition, blobs, shown)
    elif released.asset == "training_export":
        assembly = assemble(store, spec, released.partition, released.inputs)
        folder = store.home.exports(spec.name) / released.partition
        training_export.write(assembly, spec, folder, store.blobs, measured.facts(store, released))


def withhold(store: Store, spec: ProjectSpec, held: Manifest) -> None:
    """Take out of sight what is of a version that its gate didn't release, and that nobody will look at. Doing it again changes nothing."""
    if held.asset == "raw_images":
        sight.after_refusal(store, spec, held.frame)
