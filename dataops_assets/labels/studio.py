"""Batches in Label Studio: sent as one project an annotator slot, looked at by polling, copied to our side append-only.

The free edition lets whoever has an account open every project, and change or delete another's annotations. So a picture that wants
three independent answers lies in three projects, `<project>/<batch> #1` to `#3`, each worked by another person; and what we saw once
stays in our copies whatever becomes of it there.

Nothing is remembered about a server but what it says itself: sending again, after a crash or by another process, looks what is there
and adds what isn't.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataops_assets import atomic
from dataops_assets.labels import label_studio, tables
from dataops_assets.labels.studio_client import Client, StudioError

TITLE_CHARS = 50  # Label Studio takes no longer titles
LUMP = 20  # pictures sent at once to a server elsewhere
TASKS_A_CALL = 500
PRELABELS = "dataops"
MARKER = "_COMPLETE"
_FIGURES = re.compile(r"(?:<h3>[^<]*</h3>)?(?:<br>)?(?:<figure.*?</figure>)+", re.DOTALL)
KEPT = ("id", "created_at", "updated_at", "lead_time", "was_cancelled", "result", "project")

Prelabels = Mapping[str, Mapping[str, str]]  # item_id -> attribute -> label


@dataclass(frozen=True)
class Item:
    """One picture of a request, and how many people shall answer."""

    item_id: str
    file: str
    data: Mapping[str, Any]
    answers_wanted: int


@dataclass(frozen=True)
class Batch:
    """A request folder, as Label Studio is to have it."""

    name: str
    folder: Path
    config: str
    items: tuple[Item, ...]

    @classmethod
    def read(cls, folder: Path, name: str) -> Batch:
        """What a request folder (`labels/request.py`) holds; `name` is `<project>/<batch>`.

        Raises:
            StudioError: when it isn't there or was tampered with.
        """
        try:
            with (folder / "tasks.csv").open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            data = {task["data"]["item_id"]: task["data"] for task in json.loads((folder / "label_studio_tasks.json").read_bytes())}
            items = tuple(Item(row["item_id"], row["file"], data[row["item_id"]], int(row["answers_wanted"])) for row in rows)
            return cls(name, folder, (folder / "label_config.xml").read_text(encoding="utf-8"), items)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StudioError(
                f"the request folder {folder} can't be read ({error}): judge label_tasks again to have it made anew"
            ) from error

    @property
    def slots(self) -> int:
        return max((item.answers_wanted for item in self.items), default=0)

    @property
    def answers_wanted(self) -> int:
        return sum(item.answers_wanted for item in self.items)

    def title(self, slot: int) -> str:
        """The project of a slot; a name too long for Label Studio is cut and told apart by a digest."""
        end = f" #{slot}"
        if len(self.name) + len(end) <= TITLE_CHARS:
            return self.name + end
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        return f"{self.name[: TITLE_CHARS - len(end) - 9]}~{digest}{end}"


@dataclass(frozen=True)
class Answers:
    """How far a batch is, by our copies. `repeated`: answers of somebody who had answered the same picture in another slot."""

    given: int
    wanted: int
    repeated: int = 0
    is_complete: bool = False

    def __str__(self) -> str:
        twice = f"; {self.repeated} are by somebody who had answered the same picture before and don't count" if self.repeated else ""
        return f"{self.given} of {self.wanted} answers{twice}"


# ---- out


def send(client: Client, batch: Batch, pictures: Path | None, prelabels: Prelabels | None = None, deadline: float = float("inf")) -> None:
    """Put a batch into Label Studio, or what is missing of it there.

    Args:
        client: The server.
        batch: The request.
        pictures: Folder below which the server may read pictures itself; the batch gets one there, of links to its own pictures: whoever
            has an account can make a project that shows any folder below. None: the server gets them sent.
        prelabels: Answers to start from, for choices only.
        deadline: On the monotonic clock; a later call goes on.

    Raises:
        StudioError: what the server said, or that there is more to send.
    """
    projects = _projects(client)
    for slot in range(1, batch.slots + 1):
        title = batch.title(slot)
        shown = {"show_skip_button": True, "show_collab_predictions": bool(prelabels), "show_instruction": True}
        project = projects.get(title) or client.create(
            title,
            batch.config,
            description=_description(batch, slot),
            expert_instruction=_instruction(batch),
            maximum_annotations=1,
            **shown,
        )
        if str(project.get("label_config", "")).strip() != batch.config.strip():
            client.change(project["id"], label_config=batch.config, expert_instruction=_instruction(batch))
        _fill(client, int(project["id"]), batch, slot, pictures, prelabels or {}, deadline)


def remove(client: Client, batch: Batch) -> int:
    """Delete a batch's projects there; returns how many."""
    titles = {batch.title(slot) for slot in range(1, batch.slots + 1)}
    found = [int(project["id"]) for project in client.projects() if project["title"] in titles]
    for project in found:
        client.remove(project)
    return len(found)


def _projects(client: Client) -> dict[str, dict[str, Any]]:
    """By title; of several the first that was made."""
    return {project["title"]: project for project in sorted(client.projects(), key=lambda project: -int(project["id"]))}


def _fill(client: Client, project: int, batch: Batch, slot: int, pictures: Path | None, prelabels: Prelabels, deadline: float) -> None:
    wanted = {item.item_id: item for item in batch.items if item.answers_wanted >= slot}
    there: set[str] = set()
    for task in client.tasks(project):
        item_id = str((task.get("data") or {}).get("item_id", ""))
        if item_id in there and not task.get("total_annotations") and not task.get("cancelled_annotations"):
            client.remove_task(task["id"])  # an import that was thought to have failed, and hadn't
        there.add(item_id)
    missing = [item for item_id, item in wanted.items() if item_id not in there]
    if pictures is not None:
        client.serve(project, str(_link(batch, pictures)))
        addresses = {item.file: f"{label_studio.LOCAL_FILES}{batch.name}/{Path(item.file).name}" for item in missing}
    else:
        addresses = _upload(client, project, batch, missing, deadline)
    tasks = [_task(item, addresses[item.file], prelabels.get(item.item_id, {})) for item in missing]
    for lump in _lumps(tasks, TASKS_A_CALL):
        client.add_tasks(project, lump)
    if any("predictions" in task for task in tasks):
        client.change(project, model_version=PRELABELS)


def _task(item: Item, address: str, labels: Mapping[str, str]) -> dict[str, Any]:
    task: dict[str, Any] = {"data": {**item.data, "image": address}}
    if labels:
        task["predictions"] = [{"model_version": PRELABELS, "result": label_studio.choices(labels)}]
    return task


def _link(batch: Batch, pictures: Path) -> Path:
    """A folder of links to the batch's pictures; one that is deleted in the request is gone there too."""
    folder = pictures / batch.name
    folder.mkdir(parents=True, exist_ok=True)
    for item in batch.items:
        link, target = folder / Path(item.file).name, str(batch.folder / item.file)
        if not link.is_symlink() or os.readlink(link) != target:
            new = folder / f".{link.name}.{os.getpid()}"
            os.symlink(target, new)
            os.replace(new, link)
    return folder


def _upload(client: Client, project: int, batch: Batch, items: Sequence[Item], deadline: float) -> dict[str, str]:
    """Send the pictures a server elsewhere doesn't have yet; returns file -> address there."""
    held = client.uploads(project) if items else {}
    for lump in _lumps([item for item in items if Path(item.file).name not in held], LUMP):
        if time.monotonic() > deadline:
            raise StudioError(f"{batch.name}: pictures are being sent; the next look goes on")
        client.upload(project, [(Path(item.file).name, (batch.folder / item.file).read_bytes()) for item in lump])
        held = {}
    held = held or (client.uploads(project) if items else {})
    lost = [item.file for item in items if Path(item.file).name not in held]
    if lost:
        raise StudioError(f"{batch.name}: Label Studio did not keep {len(lost)} pictures, {lost[0]} the first")
    return {item.file: held[Path(item.file).name] for item in items}


def _description(batch: Batch, slot: int) -> str:
    return (
        f"Slot {slot} of {batch.slots} of {batch.name}: one person answers all of it, and nobody answers in two slots. "
        "Answers are copied by the data platform; what is deleted here stays there."
    )


def _instruction(batch: Batch) -> str:
    """The guidelines, without the page around them and its pictures: Label Studio shows a picture's markup as text."""
    try:
        page = (batch.folder / "guidelines.html").read_text(encoding="utf-8")
    except OSError:
        return ""
    text, pictures = _FIGURES.subn("", page.partition("<body>")[2].partition("</body>")[0])
    return text + ("<p>The guidelines that came with this batch show pictures of right and wrong answers.</p>" if pictures else "")


def _lumps(items: Sequence[Any], size: int) -> Iterator[Any]:
    return (items[start : start + size] for start in range(0, len(items), size))


# ---- back


def poll(client: Client, batch: Batch, copies: Path, tmp: Path) -> Answers:
    """Copy every annotation not seen before, as it is now, into a new file of `copies`; nothing there is ever changed.

    An annotation that was edited is copied again; one that was deleted stays.

    Raises:
        StudioError: what the server said, or that the batch isn't there.
    """
    projects, people = _projects(client), client.users()
    known = {item.item_id for item in batch.items}
    seen = {_digest(*one) for one in _read(copies)}
    new: dict[str, tuple[str, dict[str, Any]]] = {}
    repeated = 0
    answered: set[tuple[str, str]] = set()
    for slot in range(1, batch.slots + 1):
        project = projects.get(batch.title(slot))
        if project is None:
            raise StudioError(f"{batch.name}: there is no project {batch.title(slot)!r} in Label Studio any more", 404)
        for task in client.tasks(int(project["id"]), with_answers=True):
            item_id = str((task.get("data") or {}).get("item_id", ""))
            if item_id not in known:
                continue
            here = set()
            for annotation in task.get("annotations") or []:
                kept = _kept(annotation, people)
                here.add((item_id, kept["completed_by"]))
                digest = _digest(item_id, kept)
                if digest not in seen:
                    new[digest] = (item_id, kept)
            repeated += len(here & answered)
            answered |= here
    _write(copies, new.values(), tmp)
    return _count(batch, latest(copies), repeated)


def _kept(annotation: Mapping[str, Any], people: Mapping[int, str]) -> dict[str, Any]:
    """What we copy of an annotation; people by e-mail, which stays when a server is set up anew."""
    kept = {name: annotation.get(name) for name in KEPT}
    for name in ("completed_by", "updated_by"):
        who = annotation.get(name)
        who = who.get("email") or who.get("id") if isinstance(who, dict) else who
        kept[name] = (people.get(who) if isinstance(who, int) else None) or (f"user-{who}" if isinstance(who, int) else str(who or ""))
    try:
        tables.strict_json(json.dumps(kept).encode())
    except tables.Refused as refused:
        kept["result"] = refused.code  # a reader would refuse the whole file for it; so this answer alone is refused
    return kept


def latest(copies: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(item, person) -> their newest annotation that we have seen."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for item_id, kept in _read(copies):
        key = (item_id, str(kept.get("completed_by")))
        if key not in found or _age(kept) > _age(found[key]):
            found[key] = kept
    return found


def _age(kept: Mapping[str, Any]) -> tuple[str, str]:
    return str(kept.get("updated_at") or kept.get("created_at") or ""), json.dumps(kept, sort_keys=True)


def _count(batch: Batch, held: Mapping[tuple[str, str], Any], repeated: int) -> Answers:
    people: dict[str, int] = {}
    for item_id, _ in held:
        people[item_id] = people.get(item_id, 0) + 1
    given = sum(min(people.get(item.item_id, 0), item.answers_wanted) for item in batch.items)
    return Answers(given, batch.answers_wanted, repeated, given == batch.answers_wanted)


def hand_over(copies: Path, returns: Path, tmp: Path) -> bool:
    """Put the newest answers that `returns` doesn't hold into a new file there, and mark it complete; whether anything was new."""
    held = {_digest(*one) for one in _read(returns)}
    new = [(item_id, kept) for (item_id, _), kept in latest(copies).items() if _digest(item_id, kept) not in held]
    _write(returns, new, tmp)
    if (returns / MARKER).exists():
        return bool(new)
    atomic.write(returns / MARKER, b"", tmp)
    return True


def _write(folder: Path, found: Iterable[tuple[str, Mapping[str, Any]]], tmp: Path) -> None:
    """Annotations as Label Studio exports them, in a file named by its content."""
    by_item: dict[str, list[Mapping[str, Any]]] = {}
    for item_id, kept in sorted(found, key=lambda one: (one[0], json.dumps(one[1], sort_keys=True))):
        by_item.setdefault(item_id, []).append(kept)
    if by_item:
        document = [{"data": {"item_id": item_id}, "annotations": given} for item_id, given in by_item.items()]
        data = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True).encode()
        atomic.write(folder / _name(data), data, tmp)


def _name(data: bytes) -> str:
    return f"label-studio-{hashlib.sha256(data).hexdigest()[:16]}.json"


def _read(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The annotations of our own files in a folder; what isn't named by its content is another's, or damaged."""
    for path in sorted(folder.glob("label-studio-*.json")):
        data = path.read_bytes()
        for task in json.loads(data) if path.name == _name(data) else []:
            for kept in task["annotations"]:
                yield task["data"]["item_id"], kept


def _digest(item_id: str, kept: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([item_id, kept], sort_keys=True).encode()).hexdigest()
