"""Which batches go to Label Studio, and what comes back from there. The same for the sensor and the command."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from dataops_assets import claims
from dataops_assets.flow.labels import keep_prelabels
from dataops_assets.labels import studio, studio_server
from dataops_assets.labels.questions import SCREENING
from dataops_assets.labels.studio_client import Client, StudioDown, StudioError
from dataops_assets.manifest import Manifest, is_true
from dataops_assets.projects import SpecError, defs_root, load_projects
from dataops_assets.spec import LabelVendor, ProjectSpec
from dataops_assets.store import Store

SERVER = "-"
LOCK = "label_studio.sensor"
DOWN = "no Label Studio runs for this home: dataops labelstudio up"


@dataclass
class Synced:
    """What one look at Label Studio brought about.

    Attributes:
        sent: Batches that are there now and weren't before, or say something else now.
        answers: batch -> how far it is.
        returned: Batches whose answers were put into returns.
        held: batch (or SERVER) -> what is wrong.
        warnings: What a person should do something about.
    """

    sent: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    returned: list[str] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [why if batch == SERVER else f"{batch}: {why}" for batch, why in sorted(self.held.items())]
        parts += self.warnings
        parts += [f"sent {', '.join(self.sent)}"] if self.sent else []
        parts += [f"{', '.join(self.returned)} came back"] if self.returned else []
        return "; ".join([*parts, *(f"{batch}: {told}" for batch, told in sorted(self.answers.items()))]) or "No batch is out."


def is_used(spec: ProjectSpec) -> bool:
    return any(vendor.tool == "label_studio" for vendor in spec.labeling.vendors)


def sync(store: Store, spec: ProjectSpec, seconds: float = float("inf"), as_it_is: str | None = None) -> Synced:
    """Send what is released and not there, copy what was answered, and put complete batches into returns.

    What goes wrong with a batch is told and holds up no other one. Use it while nobody else does, see `claims.alone`.

    Args:
        store: The store.
        spec: The project.
        seconds: After so long the rest waits for the next look; who waited longest comes first.
        as_it_is: A batch whose answers are taken as complete.
    """
    done, deadline = Synced(), time.monotonic() + seconds
    batches = out(store, spec)
    if not batches:
        return done
    try:
        server = studio_server.find(store.home)
        client = server.client if server else None
    except (studio_server.ServerError, StudioError) as error:
        done.held[SERVER] = str(error)
        return done
    if server is None or client is None:
        done.held[SERVER] = DOWN
        return done
    folder = studio_server.folder_of(store.home)
    for name, tasks in sorted(batches.items(), key=lambda one: (_looked_at(_note(folder, spec, one[0])), one[0])):
        if time.monotonic() > deadline:
            break
        vendor, note = str(tasks["vendor"].iloc[0]), _note(folder, spec, name)
        try:
            batch = studio.Batch.read(store.home.requests(spec.name) / name, f"{spec.name}/{name}")
            facts = {"url": server.url, "content": _content(batch)}
            if claims.read(note) != facts:
                _may_go(spec, tasks, server)
                shown, lacking = prelabels(store, spec, tasks)
                keep_prelabels(store, spec, name, shown)
                studio.send(client, batch, server.pictures, shown, deadline)
                claims.write(note, facts, store.home.tmp)
                done.sent.append(name)
                done.warnings += [f"{name}: {told}" for told in lacking]
                done.warnings += _gold_in_sight(client, spec, tasks)
            copies = folder / "copies" / spec.name / name
            answers = studio.poll(client, batch, copies, store.home.tmp)
            done.answers[name] = str(answers)
            returns = store.home.returns(spec.name) / name / vendor
            is_taken = answers.is_complete or name == as_it_is or (returns / studio.MARKER).exists()
            if is_taken and answers.given and studio.hand_over(copies, returns, store.home.tmp):
                done.returned.append(name)
            os.utime(note)
        except StudioDown as error:
            done.held[SERVER] = str(error)
            break
        except StudioError as error:
            if error.code == 404:
                note.unlink(missing_ok=True)  # somebody deleted it there: the next look sends it anew
            done.held[name] = str(error)
        except OSError as error:
            done.held[name] = f"{error.filename or ''}: {error.strerror}"
    return done


def remove(store: Store, spec: ProjectSpec, batch_id: str) -> int:
    """Take a batch that is through out of Label Studio, after a last look at it; returns how many projects it had there.

    Raises:
        StudioError: when it isn't through, or the server says no.
    """
    if batch_id in out(store, spec):
        raise StudioError(f"{batch_id} is still out: approve it first, so that no answer is lost")
    server = studio_server.find(store.home)
    if server is None:
        raise StudioError(DOWN)
    folder = studio_server.folder_of(store.home)
    batch = studio.Batch.read(store.home.requests(spec.name) / batch_id, f"{spec.name}/{batch_id}")
    with _missing_or_not():
        studio.poll(server.client, batch, folder / "copies" / spec.name / batch_id, store.home.tmp)
    removed = studio.remove(server.client, batch)
    if server.pictures is not None:
        shutil.rmtree(server.pictures / batch.name, ignore_errors=True)
    _note(folder, spec, batch_id).unlink(missing_ok=True)
    return removed


@contextmanager
def _missing_or_not() -> Iterator[None]:
    """Pass over a batch that isn't there, or not all of it."""
    try:
        yield
    except StudioError as error:
        if error.code != 404:
            raise


def _gold_in_sight(client: Client, spec: ProjectSpec, tasks: pd.DataFrame) -> list[str]:
    """Whoever answers a batch with gold can read its answers in the pilots that are still there."""
    vendor = spec.labeling.vendor(str(tasks["vendor"].iloc[0]))
    if vendor is None or vendor.internal or not tasks["is_gold"].any():
        return []
    pilots = sorted({project["title"] for project in client.projects() if project["title"].startswith(f"{spec.name}/pilot-")})
    batches = sorted({title.partition("/")[2].partition(" ")[0] for title in pilots})
    return [f"{vendor.name} can read gold's answers in {name}: dataops labelstudio remove {spec.name} {name}" for name in batches]


def out(store: Store, spec: ProjectSpec) -> dict[str, pd.DataFrame]:
    """Released batches of vendors who work in Label Studio, until their labels are approved; a test, until it is judged."""
    names = {vendor.name for vendor in spec.labeling.vendors if vendor.tool == "label_studio"}
    open_ = store.released("label_tasks", spec.name).keys() - store.released("approved_labels", spec.name).keys()
    if not names or not open_:
        return {}
    tasks, _ = store.load_all("label_tasks", spec.name, open_)
    is_over = (tasks["kind"] == "qualification") & tasks["batch_id"].isin(store.released("label_quality", spec.name).keys())
    return {str(batch): rows for batch, rows in tasks[tasks["vendor"].isin(names) & ~is_over].groupby("batch_id")}


def prelabels(store: Store, spec: ProjectSpec, tasks: pd.DataFrame) -> tuple[studio.Prelabels, list[str]]:
    """item -> attribute -> the answer to start from, as the vendor's setting says: of the batch it was sent back from, or a model's.

    A model's answers to a question are shown in all of a batch or nowhere in it: which pictures have one would tell the hidden gold.

    Returns:
        What to show, and a sentence for each question of which nothing is shown because predictions are missing.
    """
    vendor = spec.labeling.vendor(str(tasks["vendor"].iloc[0]))
    wanted = vendor.prelabels if vendor is not None else "none"
    found = {"consensus": _sent_back_with, "model": _predicted}[wanted](store, spec, tasks) if wanted != "none" else _nothing()
    chosen = {attribute.name for attribute in spec.ontology.attributes if attribute.kind != "box"}
    asked = tasks[["task_id", "image_id", "attributes"]].assign(attribute=tasks["attributes"].str.split("|")).explode("attribute")
    asked = asked[asked["attribute"].isin(chosen)]
    found = found[found["label"].notna() & (found["label"] != "")].drop_duplicates(["image_id", "attribute"], keep="last")
    rows = asked.merge(found[["image_id", "attribute", "label"]], how="left", on=["image_id", "attribute"])
    lacking: list[str] = []
    if wanted == "model":
        of, missing = Counter(rows["attribute"]), Counter(rows.loc[rows["label"].isna(), "attribute"])
        lacking = [f"no prediction of {name} is shown, {n:,} of {of[name]:,} pictures have none" for name, n in missing.items()]
        rows = rows[~rows["attribute"].isin(missing.keys())]
    made: dict[str, dict[str, str]] = {}
    for task_id, attribute, label in rows.loc[rows["label"].notna(), ["task_id", "attribute", "label"]].itertuples(index=False):
        made.setdefault(task_id, {})[attribute] = label
    return made, lacking


def _nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=["image_id", "attribute", "label"])


def _sent_back_with(store: Store, spec: ProjectSpec, tasks: pd.DataFrame) -> pd.DataFrame:
    """What was found in the batch that the questions were sent back from: of gold, too, what people said and not what is right."""
    released = store.released("label_quality", spec.name)
    parents = sorted(set(tasks["parent_batch_id"].dropna()) & released.keys())
    golden = set(tasks.loc[is_true(tasks["is_gold"]), "image_id"])
    found = [_nothing()]
    for batch in parents:
        made = store.read("label_quality", spec.name, batch, released[batch])
        found.append(made.frame[~made.frame["image_id"].isin(golden)])
        if golden:
            said = _without_gold(store, spec, made)
            found.append(said[said["image_id"].isin(golden)])
    return pd.concat([rows[["image_id", "attribute", "label"]] for rows in found])


def _without_gold(store: Store, spec: ProjectSpec, made: Manifest) -> pd.DataFrame:
    """What a batch's answers come to where no answer is known: `label_quality` rows, from what it was judged by."""
    from dataops_assets.stages import label_quality as stage

    labeled, tasks = (store.read_all(asset, spec.name, made.inputs[asset]) for asset in ("labeled_batches", "label_tasks"))
    before = store.read_all("labeled_batches", spec.name, made.inputs.get("earlier_answers", {}))
    return stage.assess(labeled, tasks, None, spec, before=before)


def _predicted(store: Store, spec: ProjectSpec, tasks: pd.DataFrame) -> pd.DataFrame:
    """What the newest model results say, of released pictures and of others."""
    from dataops_assets.stages.model_feedback import ACCEPTED, UNLABELLED

    released = store.released("model_feedback", spec.name)
    if not released:
        return _nothing()
    rows = store.load("model_feedback", spec.name, max(released)).frame
    return rows[rows["status"].isin([ACCEPTED, UNLABELLED])].assign(label=lambda frame: frame["predicted"])


def _may_go(spec: ProjectSpec, tasks: pd.DataFrame, server: studio_server.Server) -> None:
    """Whoever has an account on a free Label Studio sees every project there: pictures to screen share it with nobody who may not see them.

    Raises:
        StudioError: with the vendors who would; or when pictures would stay on a server elsewhere beyond their retention period.
    """
    if not tasks["attributes"].str.split("|").explode().eq(SCREENING.name).any():
        return
    if server.pictures is None:
        raise StudioError(
            "it may hold personal data, which we could not delete on a server elsewhere: plan screening for a vendor with tool: files"
        )
    specs: list[ProjectSpec] = [spec]
    with suppress(SpecError):
        specs += [other for other in load_projects(defs_root()) if other.name != spec.name]
    strangers = sorted({f"{vendor.name} ({one.name})" for one in specs for vendor in _strangers(one.labeling.vendors)})
    if strangers:
        raise StudioError(
            f"it may hold personal data, and {', '.join(strangers)}, who may not see any, use Label Studio too: "
            "plan screening for a vendor with tool: files"
        )


def _strangers(vendors: Sequence[LabelVendor]) -> list[LabelVendor]:
    return [one for one in vendors if one.tool == "label_studio" and not (one.internal or one.may_see_personal_data)]


def _note(folder: Path, spec: ProjectSpec, batch: str) -> Path:
    """What was sent where. Losing it costs a look: sending again adds what is missing."""
    return folder / "sent" / spec.name / f"{batch}.json"


def _looked_at(note: Path) -> float:
    try:
        return note.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _content(batch: studio.Batch) -> str:
    """Tells a request from one with other tasks or another labelling page."""
    told = [batch.config, *(f"{item.item_id} {item.answers_wanted}" for item in batch.items)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
