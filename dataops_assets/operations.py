"""What a person can do, headless: each runs the same assets and gates as the UI's jobs, on the instance the UI shows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from dataops_assets import atomic, claims, drops, gates, planning, runs, waiting
from dataops_assets.flow import gating, handbook, images, shared, studio
from dataops_assets.flow import gold as flow_gold
from dataops_assets.home import Home, is_slug
from dataops_assets.intake import landing
from dataops_assets.labels import studio_server
from dataops_assets.labels.studio_client import StudioError
from dataops_assets.manifest import records
from dataops_assets.reports import anew
from dataops_assets.reports import delivery as reports
from dataops_assets.reports.guidelines import path as page_of
from dataops_assets.room import Room, unpacked_bytes
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages import guidelines
from dataops_assets.store import NotReleased, Store, now

STILL_SHOWN = "reports/{} may still show it: the page could not be drawn anew; delete it."


class Refused(ValueError):
    """The request itself can't be carried out; the message says why and what to do."""


@dataclass
class Done:
    """What was run, and how it ended."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_success(self) -> bool:
        return all(step["is_success"] for step in self.steps)

    def add(self, what: str, result: runs.Result, **facts: Any) -> None:
        """Enter one run."""
        step = {"what": what, "is_success": result.is_success, "error": result.error, "run_id": result.run_id, **facts}
        self.steps.append(step)

    def as_dict(self) -> dict[str, Any]:
        return {"is_success": self.is_success, "steps": self.steps, "notes": self.notes}

    def lines(self) -> list[str]:
        shown = []
        for step in self.steps:
            facts = ", ".join(f"{name} {value}" for name, value in step.items() if name not in ("what", "is_success", "error", "run_id"))
            shown.append(f"{'done' if step['is_success'] else 'HELD'}  {step['what']}" + (f": {facts}" if facts else ""))
            if step["error"]:
                shown.append(f"      {step['error']}")
        return [*shown, *self.notes] or ["Nothing waits."]


class Operations:
    """Projects' operations on one home. Open it with `Operations.open`."""

    def __init__(self, store: Store, specs: Sequence[ProjectSpec], instance: Any) -> None:
        self.store = store
        self.specs = {spec.name: spec for spec in specs}
        self.instance = instance

    @classmethod
    @contextmanager
    def open(cls, home: Path | str | None, specs: Sequence[ProjectSpec]) -> Iterator[Operations]:
        """Prepare the home and open the Dagster instance in it."""
        place = Home.at(home)
        runs.prepare(place)
        with runs.instance() as instance:
            yield cls(Store(place), specs, instance)

    def ingest(self, project: str, vendor: str, path: Path) -> Done:
        """Copy a delivery into landing and take it to `augmented_set`."""
        done, spec = Done(), self.specs[project]
        if not is_slug(vendor):
            raise Refused(f"{vendor!r} can't be a vendor's folder name: use lower-case letters, digits, - and _.")
        try:
            size = landing.size_bytes(path)
            lack = Room(self.store).lack(unpacked_bytes(path.resolve(), size, spec.sources.limits_for(vendor)), at_home=size)
            if lack:
                raise ValueError(lack)
            delivery = landing.place(path, self.store.home.root / "landing", project, vendor)
        except (OSError, ValueError) as error:
            raise Refused(f"{path} can't be taken in: {error}") from error
        self._setup(spec, done)
        found = waiting.drops(self.store, spec, {}, time.time(), is_settled=True)
        name = f"{delivery.vendor}/{delivery.name}"
        mine = [item for item in found.ready if item.name == name]
        for item in mine:
            self._drop(spec, item, done)
        if not mine:
            self._not_taken(spec, delivery, found.held.get(name), done)
        reports.catch_up(self.store, spec)
        return done

    def run(self, project: str | None = None) -> Done:
        """Run everything that waits, in the order of the flow."""
        done = Done()
        for spec in self.specs.values() if project is None else [self.specs[project]]:
            done.notes += gates.catch_up(self.store, spec)
            self._setup(spec, done)
            for item in waiting.drops(self.store, spec, {}, time.time(), is_settled=True).ready:
                self._drop(spec, item, done)
            for item in waiting.rescreens(self.store, spec):
                done.add(f"{item.name} screened again", self._run(spec, "rescreen", item))
            for batch in waiting.batches(self.store, spec):
                self._tasks(spec, batch, done)
            self._studio(spec, done)
            for item in waiting.returns(self.store, spec, {}, time.time(), is_settled=True).ready:
                self._returned(spec, item, done)
            for item in waiting.predictions(self.store, spec, {}, time.time(), is_settled=True).ready:
                done.add(f"model results for {item.partition}", self._run(spec, "feedback", item))
            reports.catch_up(self.store, spec)
        return done

    def plan(
        self,
        project: str,
        kind: str = "production",
        limit: int | None = None,
        vendor: str | None = None,
        like: str | None = None,
        is_anyway: bool = False,
    ) -> Done:
        """Cut batches of a kind and make their request folders."""
        done, spec = Done(), self.specs[project]
        self._setup(spec, done)
        if not done.is_success:
            return done
        try:
            planned = planning.plan_batches(self.store, spec, kind, limit, vendor, like, is_anyway)
        except ValueError as error:
            raise Refused(str(error)) from error
        if planned.is_refused:
            done.add(f"{kind} batches", runs.Result(False, f"{planned.reason}."))
            return done
        if planned.batch_ids:
            done.notes.append(f"{len(planned.batch_ids)} {kind} batches for {planned.amount:,.2f} {spec.brief.currency}.")
        if planned.reason:
            done.notes.append(planned.reason[0].upper() + planned.reason[1:] + ".")
        for batch in planned.batch_ids:
            self._tasks(spec, batch, done)
        return done

    def guidelines(self, project: str) -> Done:
        """Make the guidelines anew, with pictures of what is approved by now."""
        done, spec = Done(), self.specs[project]
        done.add(f"{project}: brief and guidelines", runs.run(self.instance, project, "setup"))
        held = self.store.released("guidelines", project)
        if done.is_success and held:
            told = guidelines.edition(self.store.read_all("guidelines", project, held))
            done.notes.append(
                f"Edition {told.number} with {len(told.examples)} examples: {self.store.home.root / 'reports' / page_of(spec)}"
            )
            done.notes += [f"New: {line}" for line in told.changes]
        return done

    def training_pack(self, project: str, tasks: int) -> Done:
        """Write a labelling vendor's training pack: the guidelines, and so many practice tasks with their answers."""
        done, spec = Done(), self.specs[project]
        self._setup(spec, done)
        if not done.is_success:
            return done
        try:
            folder, made, left = handbook.training_pack(self.store, spec, tasks)
        except (ValueError, NotReleased) as error:
            raise Refused(f"{str(error)[0].upper()}{str(error)[1:]}.") from error
        done.notes.append(f"Training pack with {made} practice tasks and their answers: {folder}")
        done.notes.append(f"They are hidden in batches no more; {left} gold pictures stay hidden.")
        return done

    def import_labels(self, project: str, batch: str, file: Path, vendor: str) -> Done:
        """Put a returned file in place and judge the batch."""
        done, spec = Done(), self.specs[project]
        if batch not in self.store.released("label_tasks", project):
            raise Refused(f"There is no released batch {batch!r} in {project}; see `dataops status {project}`.")
        if spec.labeling.vendor(vendor) is None:
            names = ", ".join(held.name for held in spec.labeling.vendors)
            raise Refused(f"{vendor!r} is no labelling vendor of {project}; there are: {names}.")
        name = re.sub(r"[^\w.=@%+-]", "_", file.name).lstrip("._") or "labels"
        target, data = self.store.home.returns(project) / batch / vendor / name, file.read_bytes()
        if not target.exists() or target.read_bytes() != data:
            atomic.write(target, data, self.store.home.tmp)
        for item in waiting.returns(self.store, spec, {}, time.time(), is_settled=True).ready:
            if item.partition == batch:
                self._returned(spec, item, done)
        if not done.steps:
            done.notes.append(f"{batch}: this file was read before, with the same content: nothing to do.")
        return done

    def sync_label_studio(self, project: str | None = None, as_it_is: str | None = None) -> Done:
        """Send released batches to Label Studio, and put what is complete there (or is to be taken as it is) under returns."""
        done, specs = Done(), self.specs.values() if project is None else [self.specs[project]]
        used = [spec for spec in specs if studio.is_used(spec)]
        if not used:
            raise Refused("No vendor works in Label Studio; say so in the YAML: labeling.vendors[].tool: label_studio")
        if as_it_is is not None and not any(as_it_is in studio.out(self.store, spec) for spec in used):
            raise Refused(f"No batch {as_it_is!r} is out in Label Studio.")
        for spec in used:
            self._studio(spec, done, as_it_is)
        return done

    def remove_from_label_studio(self, project: str, batch: str) -> Done:
        """Delete the projects of a batch that is through; our copies stay."""
        if batch not in self.store.released("label_tasks", project):
            raise Refused(f"There is no released batch {batch!r} in {project}; see `dataops status {project}`.")
        try:
            with shared.exclusive(self.store, studio.LOCK):
                removed = studio.remove(self.store, self.specs[project], batch)
        except (StudioError, studio_server.ServerError) as error:
            raise Refused(str(error)[0].upper() + str(error)[1:]) from error
        return Done(notes=[f"{removed} projects of {batch} were deleted in Label Studio; our copies of their answers stay."])

    def approve(self, project: str, batch: str, by: str) -> Done:
        """Approve a batch's accepted labels on a person's word."""
        done = Done()
        if not by.strip():
            raise Refused("--by must name a person.")
        if batch not in self.store.candidates("label_quality", project):
            raise Refused(f"Batch {batch!r} of {project} has no judged labels yet; import them first.")
        config = {"ops": {f"{project}__approved_labels": {"config": {"by": by}}}}
        result = runs.run(self.instance, project, "approve", batch, config)
        count = self._rows("approved_labels", project, batch) if result.is_success else 0
        done.add(f"{batch} approved by {by}", result, labels=count)
        if result.is_success and not count:
            done.notes.append(f"Nothing of {batch} was accepted by itself: the labels of its questions are those of later batches.")
        if result.is_success and batch.startswith("pilot-"):
            done.notes.append(f"Pictures of it go into the guidelines by `dataops guidelines {project}`, before a vendor is tried.")
        return done

    def release(self, project: str, name: str | None = None) -> Done:
        """Deliver a release."""
        done = Done()
        chosen = name or self._next_release(project)
        if not is_slug(chosen):
            raise Refused(f"{chosen!r} can't name a release: use lower-case letters, digits, - and _.")
        if chosen in self.store.released("training_export", project):
            raise Refused(f"Release {chosen} of {project} exists and never changes; name another.")
        if not self.store.released("approved_labels", project):
            raise Refused(f"{project} has no approved labels yet: nothing to release.")
        result = runs.run(self.instance, project, "release", chosen)
        folder = self.store.home.exports(project) / chosen
        done.add(f"release {chosen}", result, images=self._rows("training_export", project, chosen), folder=str(folder))
        if result.is_success:
            done.add("scorecard and audit", runs.run(self.instance, project, "reports"))
        return done

    def withdraw(self, project: str, drop: str | None, image: str | None, reason: str, by: str) -> Done:
        """Enter a withdrawal into the ledger."""
        done = Done()
        if drop is not None and drop not in set(self.store.drops.rows().query("project == @project")["drop_id"]):
            raise Refused(f"{project} has no drop {drop!r}; see `dataops status {project}`.")
        if image is not None:
            raw, _ = self.store.load_all("raw_images", project)
            if image not in set(raw["image_id"]):
                raise Refused(f"{project} has no released image {image!r}.")
        row = {"project": project, "drop_id": drop, "image_id": image, "reason": reason, "by": by, "at": now()}
        spec = self.specs[project]
        reports_left, pages_left = anew.withdraw(self.store, spec, row)
        holding, sent = self._holding(project, drop, image), self._sent(project, drop, image)
        done.notes.append(f"Withdrawn: {drop or image}. It is left out of every batch and release made from now on.")
        done.notes += [f"The delivery report of {name} still shows it: it could not be written anew." for name in reports_left]
        done.notes += [STILL_SHOWN.format(path) for path in pages_left]
        of_drop = self.store.load_all("raw_images", project, [] if drop is None else [drop])[0]["image_id"].dropna()
        done.notes += handbook.sent_with(self.store, spec, [*of_drop, *([] if image is None else [image])])
        done.notes += [
            f"Batch {name} was sent to {vendor} with {count} of its pictures: have them deleted." for name, vendor, count in sent
        ]
        done.notes += [f"Release {name} was delivered with {count} of its rows: tell the technical team." for name, count in holding]
        return done

    def purge(self, project: str | None) -> Done:
        """Delete pictures that lie apart and whose retention period has passed, and take them off the report pages."""
        done = Done()
        for spec in self.specs.values() if project is None else [self.specs[project]]:
            (gone, still), days = anew.purge(self.store, spec, time.time()), spec.cleaning.personal_data.retention_days
            done.notes.append(f"{spec.name}: {len(gone)} pictures that lay apart for more than {days} days deleted.")
            done.notes += [STILL_SHOWN.format(path) for path in still]
            done.notes += handbook.sent_with(self.store, spec, gone)
            for path, count in images.left_in_landing(self.store, spec).items():
                done.notes.append(f"{path} still holds {count} of the pictures deleted: clear it away, it was taken long ago.")
        return done

    def retry(self, project: str, drop: str, by: str = "", reason: str = "") -> Done:
        """Have a drop tried again that was parked or refused, with all its attempts."""
        try:
            name = drops.retry(self.store, self.specs[project], drop, by, reason)
        except LookupError as error:
            raise Refused(str(error.args[0])) from error
        return Done(notes=[f"{name} ({drop}) waits again: the sensor takes it, or `dataops run {project}` does now."])

    def waive(self, project: str, asset: str, partition: str, *, reason: str, by: str, until: date) -> Done:
        """Release what a gate held back, and show it in the UI."""
        done, spec = Done(), self.specs[project]
        try:
            verdict = gates.waive(self.store, spec, asset, partition, reason=reason, by=by, until=until)
        except (ValueError, LookupError) as error:
            raise Refused(str(error)) from error
        self._show(spec, asset, partition, verdict)
        done.notes.append(f"Released {asset} {partition} on {by}'s word until {until}; `dataops run {project}` carries on.")
        return done

    def gold(self, project: str, action: str, image: str, attribute: str | None, label: str | None, reason: str, by: str) -> Done:
        """Enter into the ledger that a gold answer is disputed, settled or retired."""
        from dataops_assets.stages import gold

        done, spec = Done(), self.specs[project]
        if not by.strip() or not reason.strip():
            raise Refused("--by must name a person, and --reason say why.")

        def build(rows: pd.DataFrame) -> list[dict[str, Any]]:
            row = gold.entry(flow_gold.registry(self.store, spec)[0], action, image, attribute, label, spec)
            return [{"project": project, **row, "reason": reason, "by": by, "at": now()}]

        try:
            (row,) = self.store.gold.append(build)
        except ValueError as error:
            raise Refused(f"{str(error)[0].upper()}{str(error)[1:]}.") from error
        what = f"{row['attribute'] or 'picture'} of {row['image_id'][:12]}"
        told = {
            "dispute": f"{what} is disputed: it measures nobody until it is settled: "
            f"dataops gold settle {project} {row['image_id'][:12]} {row['attribute']} --label ... --reason ... --by ...",
            "settle": f"{what} is settled"
            + (f": {row['label']}." if row["label"] else ": it stays as it was.")
            + " Labels approved for training don't change by it.",
            "retire": f"{what} is retired: it isn't hidden in batches any more; what it measured stands.",
        }
        done.notes.append(told[action])
        return done

    def gate(self, project: str, asset: str, partition: str) -> Done:
        """Judge the version that was judged last once more: a threshold changed, or the gate could not run."""
        done, spec = Done(), self.specs[project]
        last = gating.last_gate(self.store, project, asset, partition)
        if last is None:
            raise Refused(f"{asset} of {project}/{partition} has not been through its gate yet.")
        verdict = gates.pass_through(self.store, spec, asset, partition, last["version"], by="gate, asked again")
        self._show(spec, asset, partition, verdict)
        done.add(f"{asset} {partition} version {last['version']}: {verdict.outcome}", runs.Result(verdict.is_released, verdict.reason))
        return done

    # ---- inside

    def _show(self, spec: ProjectSpec, asset: str, partition: str, verdict: gates.Verdict) -> None:
        """Report a verdict that no run made to the UI."""
        last = gating.last_gate(self.store, spec.name, asset, partition)
        version = last["version"] if last else ""
        for evaluation in gates.evaluations(self.store, spec, asset, partition, version, verdict):
            self.instance.report_runless_asset_event(evaluation)

    def _setup(self, spec: ProjectSpec, done: Done) -> None:
        """Brief and guidelines follow the YAML: made anew when it changed."""
        if waiting.setup(self.store, spec):
            done.add(f"{spec.name}: brief and guidelines", runs.run(self.instance, spec.name, "setup"))

    def _studio(self, spec: ProjectSpec, done: Done, as_it_is: str | None = None) -> None:
        if not studio.is_used(spec):
            return
        with shared.exclusive(self.store, studio.LOCK):
            synced = studio.sync(self.store, spec, as_it_is=as_it_is)
        for batch, why in synced.held.items():
            done.add(f"{spec.name} in Label Studio" + ("" if batch == studio.SERVER else f", {batch}"), runs.Result(False, why))
        for batch in sorted({*synced.sent, *synced.answers}):
            what = "sent" if batch in synced.sent else "returned" if batch in synced.returned else "out"
            done.add(f"{spec.name} in Label Studio, {batch} {what}", runs.Result(True), answers=synced.answers.get(batch, "none"))
        done.notes += synced.warnings

    def _not_taken(self, spec: ProjectSpec, delivery: landing.Delivery, held: str | None, done: Done) -> None:
        """Why a delivery that lies in landing doesn't wait to be taken in."""
        name = f"{delivery.vendor}/{delivery.name}"
        rows = self.store.drops.rows()
        rows = rows[(rows["project"] == spec.name) & (rows["vendor"] == delivery.vendor) & (rows["name"] == delivery.name)]
        last = records(rows.tail(1))[0] if len(rows) else {}
        if held is not None:
            done.add(name, runs.Result(False, held))
        elif last.get("status") == "parked":
            again = f"mend what is wrong, then: dataops retry {spec.name} {last['drop_id']}"
            done.add(name, runs.Result(False, f"parked, it isn't tried any more: {last['reason']}; {again}"))
        else:
            done.notes.append(f"{name} was delivered before, with the same content: nothing to do.")

    def _drop(self, spec: ProjectSpec, item: waiting.Waiting, done: Done) -> None:
        place = self.store.home.landing(spec.name) / item.name
        limits = spec.sources.limits_for(item.name.partition("/")[0])
        lack = Room(self.store).lack(unpacked_bytes(place, item.bytes or 0, limits))
        if lack:
            done.add(f"{item.name} ({item.partition})", runs.Result(False, lack))
            return
        result = self._run(spec, "drop", item)
        stages = {"files": "raw_images", "screened": "cleaned_set", "images with variants": "augmented_set"}
        facts = {name: self._rows(asset, spec.name, item.partition) for name, asset in stages.items()}
        done.add(f"{item.name} ({item.partition})", result, **facts)

    def _tasks(self, spec: ProjectSpec, batch: str, done: Done) -> None:
        result = self._run(spec, "tasks", waiting.Waiting(batch, "planned", batch))
        folder = self.store.home.requests(spec.name) / batch
        done.add(f"request {batch}", result, tasks=self._rows("label_tasks", spec.name, batch), folder=str(folder))

    def _returned(self, spec: ProjectSpec, item: waiting.Waiting, done: Done) -> None:
        result = self._run(spec, "returns", item)
        decisions: dict[str, int] = {}
        if item.partition in self.store.released("label_quality", spec.name):
            frame = self.store.load("label_quality", spec.name, item.partition).frame
            decisions = {str(name): int(count) for name, count in frame["decision"].value_counts().sort_index().items()}
        done.add(f"labels of {item.partition}", result, **decisions)

    def _run(self, spec: ProjectSpec, job: str, item: waiting.Waiting) -> runs.Result:
        work = f"{spec.name}/{item.partition}/{item.fingerprint}"
        tags = {"dataops/work": work, "dataops/name": item.name[:120]}
        result = runs.run(self.instance, spec.name, job, item.partition, tags=tags)
        claims.forget(self.store.home, spec.name, work)
        return result

    def _rows(self, asset: str, project: str, partition: str) -> int:
        version = self.store.released(asset, project).get(partition)
        return self.store.row_count(asset, project, partition, version) if version else 0

    def _next_release(self, project: str) -> str:
        """The first number that isn't delivered; one that was opened and held back is taken up again."""
        released = self.store.released("training_export", project)
        numbers = [int(name[1:]) for name in released if re.fullmatch(r"r\d+", name)]
        return f"r{max(numbers, default=0) + 1:03d}"

    def _sent(self, project: str, drop: str | None, image: str | None) -> list[tuple[str, str, int]]:
        """Batches that show something withdrawn: name, vendor and how many of the pictures."""
        tasks, _ = self.store.load_all("label_tasks", project)
        rows, _ = self.store.load_all("raw_images", project, {drop} if drop is not None else set())
        shown = tasks[tasks["image_id"].isin({image, *rows["image_id"]})]
        counted = shown.groupby(["batch_id", "vendor"], as_index=False).size()
        return list(zip(counted["batch_id"], counted["vendor"], counted["size"], strict=True))

    def _holding(self, project: str, drop: str | None, image: str | None) -> list[tuple[str, int]]:
        export, _ = self.store.load_all("training_export", project)
        hit = export["drop_id"].isin([drop]) | export["image_id"].isin([image]) | export["source_image_id"].isin([image])
        counted: pd.Series = export[hit].groupby("release").size()
        return [(str(name), int(count)) for name, count in counted.items()]
