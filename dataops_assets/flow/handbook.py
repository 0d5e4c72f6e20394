"""Guidelines and training packs: questions from the YAML, examples from what is released, and which gold that gives away.

Gold is entered as shown before anybody can see it, under the lock under which batches are planned: none is hidden and shown at once.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dataops_assets.flow import gold as flow_gold
from dataops_assets.flow import history, images
from dataops_assets.flow.shared import digest_of, exclusive, rows_of
from dataops_assets.labels.handbook import FOLDER, Edition, html, linked, markdown
from dataops_assets.labels.questions import questions
from dataops_assets.labels.request import replace_documents
from dataops_assets.manifest import UNPARTITIONED, Inputs, Manifest, is_true
from dataops_assets.projects import defs_root
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import RELEASING, NotReleased, Store, now

if TYPE_CHECKING:
    from dataops_assets.labels.examples import Example, Stock

PACKS = "packs"  # kind of pins: what a pack shows, by its name and that
SURE = 0.99  # chance from which on an approved label may be shown as an example
_AN_ID = re.compile(r"[0-9a-f]{12,64}")


def guidelines(store: Store, spec: ProjectSpec, agreed: Manifest) -> Manifest:
    """The annotators' handbook, with pictures of what is approved by now."""
    from dataops_assets.labels.examples import choose
    from dataops_assets.stages import gold, guidelines

    held = store.released("guidelines", spec.name)
    in_use = store.read_all("guidelines", spec.name, held)
    with exclusive(store, f"{spec.name}.plan_batches"):
        found, _ = flow_gold.registry(store, spec)
        stock, used = _stock(store, spec, found)
        before = guidelines.edition(in_use).examples
        examples = choose(spec.ontology, stock, _stated(store, spec, stock.may_show), spec.labeling.shown_gold, before)
        expose(store, spec, [one.image_id for one in examples], gold.SHOW, "guidelines")
    frame = guidelines.build(spec, store.blobs, examples, in_use)
    hidden = gold.usable(flow_gold.registry(store, spec)[0])["image_id"].nunique()
    facts = {"examples": len(examples), "gold": int(found["image_id"].nunique()), "gold that stays hidden": int(hidden)}
    return Manifest("guidelines", spec.name, UNPARTITIONED, frame, {**agreed.input, **_named(used, examples)}, facts=facts)


def is_current(store: Store, spec: ProjectSpec, agreed: Manifest) -> bool:
    """Whether the released guidelines say what the YAML says now. New gold alone doesn't make them old: a person asks for its pictures."""
    try:
        held = store.load("guidelines", spec.name)
    except NotReleased:
        return False
    same_brief = held.inputs.get("brief", {}).get(agreed.partition) == agreed.version
    return same_brief and set(held.frame["document_sha256"]) == {hashlib.sha256(html(spec).encode()).hexdigest()}


def expose(store: Store, spec: ProjectSpec, shown: Collection[str], action: str, where: str) -> None:
    """Enter the gold among some pictures as known to people outside; it is hidden in no batch from then on."""
    from dataops_assets.stages import gold

    def build(rows: pd.DataFrame) -> list[dict[str, Any]]:
        found = flow_gold.registry(store, spec)[0]
        new = gold.exposure(found, rows_of(rows, spec.name), shown, action, where)
        return [{"project": spec.name, **row, "at": now()} for row in new]

    store.gold.append(build)


def edition(store: Store, spec: ProjectSpec, frame: pd.DataFrame) -> Edition:
    """What a version of the guidelines shows, with the pictures as policy has them now; what may not be shown any more isn't there."""
    from dataops_assets.imaging.illustrations import Wanted, illustrations
    from dataops_assets.stages import guidelines

    told = guidelines.edition(frame)
    shas = _shas(store, spec)
    wanted = {
        one: Wanted(one.sha256 or shas[one.image_id], tuple(box[1:] for box in one.boxes), not one.given)
        for one in told.examples
        if one.sha256 or one.image_id in shas
    }
    drawn = illustrations(list(wanted.values()), store.blobs, spec.sources.limits.pixels)
    return replace(told, pictures={one: drawn[asked] for one, asked in wanted.items() if asked in drawn})


def edition_of(store: Store, spec: ProjectSpec, inputs: Inputs) -> Edition:
    """The edition that something was made with, by its inputs."""
    version = inputs.get("guidelines", {}).get(UNPARTITIONED)
    return edition(store, spec, store.read("guidelines", spec.name, UNPARTITIONED, version).frame) if version else Edition()


def page(store: Store, spec: ProjectSpec, made: Manifest) -> str:
    """The handbook of a version as HTML. Of an earlier one than the YAML's the words are today's."""
    return html(spec, edition=edition(store, spec, made.frame))


# ---- training packs


def training_pack(store: Store, spec: ProjectSpec, n: int) -> tuple[Path, int, int]:
    """Write the guidelines with `n` practice tasks and their answers to `requests/<project>/training-<edition>`.

    Practice pictures are gold: those that were practised before, then other gold that is known, then hidden gold, which is hidden no more.
    Those that the guidelines show are no practice. The same state gives the same pack.

    Returns:
        The folder, how many tasks it holds, and how many gold pictures stay hidden.

    Raises:
        ValueError: when there is no gold to practise on, or no hidden gold would be left.
        NotReleased: when no guidelines are released.
    """
    from dataops_assets.labels import training
    from dataops_assets.stages import gold, guidelines, label_tasks

    book = store.load("guidelines", spec.name)
    told = guidelines.edition(book.frame)
    name = f"training-{told.number:03d}"
    with exclusive(store, f"{spec.name}.plan_batches"):
        found, _ = flow_gold.registry(store, spec)
        plans, sources = history.plans(store, spec), images.showable(store, spec, "pilot")
        whole = label_tasks.whole_gold(gold.measuring(found), spec, sources, plans)
        hidden = set(gold.usable(found)["image_id"])
        chosen = training.practice(
            whole, _practised(store, spec), hidden, _busy(store, spec, plans) & hidden, {one.image_id for one in told.examples}, n
        )
        left = len(hidden & set(whole["image_id"]) - set(chosen))
        if not chosen:
            raise ValueError(
                "there is no gold to practise on: label and approve a pilot first, or wait for the batches that it is hidden in"
            )
        if not left:
            raise ValueError(
                f"{n} practice tasks would leave no hidden gold of {len(whole)} pictures: ask for fewer, or label another pilot"
            )
        expose(store, spec, chosen, gold.PRACTISE, name)
    answers = gold.measuring(flow_gold.registry(store, spec)[0])
    mixed = _mixed(store, spec)
    folder = write_pack(store, spec, name, answers[answers["image_id"].isin(chosen)], book, mixed=mixed)
    return folder, len(chosen), left


def write_pack(
    store: Store,
    spec: ProjectSpec,
    name: str,
    answers: pd.DataFrame,
    book: Manifest,
    *,
    mixed: pd.DataFrame | None = None,
    vendor: str | None = None,
    title: str = "Training pack",
) -> Path:
    """Write pictures with their answers as a request folder like any other, safe to send: only pictures that may be shown are in it.

    Whoever gets it knows the answers, so gold among the pictures is entered as practised: it is hidden in no batch any more. Call it with
    pictures that aren't hidden in a batch on its way.

    Args:
        store: The store.
        spec: The project.
        name: Of the folder below `requests/<project>/`, a slug.
        answers: image_id, attribute, label, object_id, x, y, w, h of what is right; `why`, where there is more to say than the definition.
        book: The released guidelines.
        mixed: `examples.mixed_up` rows: what people answered instead is told beside the right answer.
        vendor: Whom it is for; default: the first who labels production.
        title: What the page of answers is called.

    Returns:
        The folder.

    Raises:
        ValueError: when none of the pictures may be shown.
    """
    from dataops_assets.imaging.illustrations import Wanted, illustrations
    from dataops_assets.labels import training
    from dataops_assets.stages import gold, label_tasks

    sources = images.showable(store, spec, "pilot")
    answers = answers[answers["image_id"].isin(sources["image_id"])]
    if answers.empty:
        raise ValueError(f"none of the pictures of {name} may be shown any more")
    expose(store, spec, set(answers["image_id"]), gold.PRACTISE, name)
    batch = training.batch(answers, sources, spec, name, vendor or spec.labeling.production.name)
    tasks = label_tasks.build(batch, sources, spec, store.blobs)
    boxes = training.boxes(answers)
    wanted = {row["task_id"]: Wanted(row["sha256"], boxes.get(row["image_id"], ())) for row in tasks.to_dict("records")}
    drawn = illustrations(list(wanted.values()), store.blobs, spec.sources.limits.pixels)
    pictures = {task: drawn[asked] for task, asked in wanted.items() if asked in drawn}
    folder = store.home.requests(spec.name) / name
    shown = sorted(set(tasks["image_id"]))
    store.pin(PACKS, spec.name, f"{name}.{digest_of([book.version, *shown])}", {"name": name, "images": shown, "guidelines": book.version})
    training.write(tasks, answers, spec, folder, store.blobs, pictures, edition(store, spec, book.frame), mixed, title)
    return folder


# ---- what was sent and may not be shown any more


def sent_with(store: Store, spec: ProjectSpec, gone: Collection[str]) -> list[str]:
    """A sentence for every batch and training pack that may have been sent with one of some pictures as an example.

    Args:
        store: The store.
        spec: The project.
        gone: sha256s of originals or of cleaned files.
    """
    lost = _lost(store, spec, gone) if gone else set()
    batches = [
        f"The guidelines sent with batch {batch} showed it: send guidelines.html and .md of its request folder anew, and their pictures."
        for batch in _batches_with(store, spec, lost)
    ]
    packs = sorted({pack["name"] for pack in _packs_with(store, spec, lost)})
    return batches + [
        f"{name} was made with it and is deleted here: have it deleted where it was sent, and make it anew." for name in packs
    ]


def take_out(store: Store, spec: ProjectSpec, gone: Collection[str]) -> None:
    """Take pictures that were withdrawn or deleted out of what lies in `requests/`: guidelines are drawn anew, training packs deleted.

    Guidelines that can't be drawn are taken out of their folder; making the request again mends it.

    Args:
        store: The store, whose withdrawals and deletions are entered already.
        spec: The project.
        gone: sha256s of originals or of cleaned files.
    """
    lost = _lost(store, spec, gone) if gone else set()
    editions: dict[str, Edition] = {}
    for batch, book in _batches_with(store, spec, lost).items():
        folder = store.home.requests(spec.name) / batch
        if not folder.is_dir():
            continue
        frame = store.load("label_tasks", spec.name, batch).frame
        try:
            if book not in editions:
                editions[book] = edition_of(store, spec, {"guidelines": {UNPARTITIONED: book}})
            asked, shown = questions(spec, list(frame["attributes"])), editions[book].without(set(frame["image_id"]))
            texts = {"guidelines.html": html(spec, asked, shown), "guidelines.md": markdown(spec, asked, shown)}
            replace_documents(folder, texts, linked(spec, asked, shown))
        except Exception:  # one folder must not keep the others from being mended
            logging.getLogger(__name__).exception("the guidelines of %s could not be drawn anew", batch)
            for name in ("guidelines.html", "guidelines.md"):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / FOLDER, ignore_errors=True)
    for pack in _packs_with(store, spec, lost):
        shutil.rmtree(store.home.requests(spec.name) / pack["name"], ignore_errors=True)


def _batches_with(store: Store, spec: ProjectSpec, lost: Collection[str]) -> dict[str, str]:
    """Released batches whose guidelines show one of some pictures -> the version of the guidelines."""
    found = {}
    for batch, version in sorted(store.released("label_tasks", spec.name).items()) if lost else ():
        book = store.inputs("label_tasks", spec.name, batch, version).get("guidelines", {}).get(UNPARTITIONED)
        if book is not None and _shows(store, spec, book, lost):
            found[batch] = book
    return found


def _packs_with(store: Store, spec: ProjectSpec, lost: Collection[str]) -> list[dict[str, Any]]:
    packs = store.pins(PACKS, spec.name).values() if lost else ()
    return [pack for pack in packs if set(lost) & set(pack["images"]) or _shows(store, spec, pack["guidelines"], lost)]


def _lost(store: Store, spec: ProjectSpec, gone: Collection[str]) -> set[str]:
    """Images by originals or cleaned files."""
    cleaned, _ = store.load_all("cleaned_set", spec.name)
    hit = cleaned["image_id"].isin(gone) | cleaned["clean_sha256"].isin(gone)
    return set(gone) | set(cleaned.loc[hit, "image_id"])


def _shows(store: Store, spec: ProjectSpec, version: str, lost: Collection[str]) -> bool:
    from dataops_assets.stages import guidelines

    frame = store.read("guidelines", spec.name, UNPARTITIONED, version).frame
    return any(one.image_id in lost for one in guidelines.edition(frame).examples)


# ---- inside


def _stock(store: Store, spec: ProjectSpec, found: pd.DataFrame) -> tuple[Stock, Inputs]:
    """What examples are chosen from, and the versions it comes from."""
    from dataops_assets.labels.changes import restate
    from dataops_assets.labels.examples import Stock
    from dataops_assets.stages import gold
    from dataops_assets.stages.approved_labels import current

    approved, used = store.load_all("approved_labels", spec.name)
    settled, _ = restate(current(approved), spec.ontology)
    alike = settled[(settled["posterior"] >= SURE) & (settled["n_labels"] > 1)]
    practised = _practised(store, spec)
    known = set(found.loc[found["status"] == gold.RETIRED, "image_id"]) - practised
    plans = history.plans(store, spec)
    stock = Stock(
        gold.measuring(found), alike, _mixed(store, spec), _shas(store, spec).keys() - practised - _open(store, spec, plans),
        known, _busy(store, spec, plans),
    )  # fmt: skip
    return stock, used


def _mixed(store: Store, spec: ProjectSpec) -> pd.DataFrame:
    """Wrong answers of all batches by what is settled, in today's words."""
    from dataops_assets.labels.changes import restate
    from dataops_assets.labels.examples import mixed_up
    from dataops_assets.stages import gold
    from dataops_assets.stages.approved_labels import current

    settled, _ = restate(current(store.load_all("approved_labels", spec.name)[0]), spec.ontology)
    truth = pd.concat([gold.measuring(flow_gold.registry(store, spec)[0]), settled], ignore_index=True)
    given, _ = store.load_all("labeled_batches", spec.name)
    given = given[given["status"] == "accepted"]
    parts = [restate(rows, spec.ontology)[0] for _, rows in given.groupby("batch_id")]
    return mixed_up(pd.concat(parts, ignore_index=True) if parts else given, truth)


def _named(used: Inputs, examples: Sequence[Example]) -> Inputs:
    """The approved batches, where there are examples from the store at all."""
    return used if any(one.image_id for one in examples) else {}


def _shas(store: Store, spec: ProjectSpec) -> Mapping[str, str]:
    """Pictures in use -> their file as it is shown now."""
    usable, _ = images.usable_images(store, spec)
    rows = usable[usable["kind"] == "source"]
    return dict(zip(rows["image_id"], rows["sha256"], strict=True))


def _stated(store: Store, spec: ProjectSpec, may_show: Collection[str]) -> list[Example]:
    """Pictures that the YAML names; ids of pictures that are out of use are passed over.

    Raises:
        ValueError: for a file that isn't there.
    """
    from dataops_assets.labels.examples import Example

    found = []
    for attribute in spec.ontology.attributes:
        for value, told in attribute.details.items():
            for given, names in (("", told.examples), (value, told.counterexamples)):
                for name in names:
                    if _AN_ID.fullmatch(name):
                        ids = sorted(image for image in may_show if image.startswith(name))
                        found += [Example(attribute.name, value, image, given=given) for image in ids[:1]]
                        continue
                    path = defs_root() / spec.name / name
                    if not path.is_file():
                        raise ValueError(f"{attribute.name} {value} has the example {name}, but {path} is no file")
                    found.append(Example(attribute.name, value, sha256=store.blobs.put(path.read_bytes()), given=given))
    return found


def _busy(store: Store, spec: ProjectSpec, plans: pd.DataFrame) -> set[str]:
    """Gold that is hidden in batches whose answers aren't judged yet."""
    golden = is_true(plans["is_gold"])
    return set(plans.loc[golden & ~plans["batch_id"].isin(_judged(store, spec)), "image_id"])


def _open(store: Store, spec: ProjectSpec, plans: pd.DataFrame) -> set[str]:
    """Pictures that somebody is being asked about; gold is told by `_busy`."""
    golden = is_true(plans["is_gold"])
    return set(plans.loc[~golden & ~plans["batch_id"].isin(_judged(store, spec)), "image_id"])


def _judged(store: Store, spec: ProjectSpec) -> set[str]:
    """Batches whose answers are judged; a production batch that its gate refused may still be corrected, so it isn't."""
    rows = rows_of(store.gates.rows(), spec.name)
    last = rows[(rows["asset"] == "label_quality") & (rows["outcome"] != "error")].drop_duplicates("partition", keep="last")
    is_open = last["partition"].str.startswith("production-") & ~last["outcome"].isin(RELEASING)
    return set(last.loc[~is_open, "partition"])


def _practised(store: Store, spec: ProjectSpec) -> set[str]:
    from dataops_assets.stages.gold import PRACTISE

    entries = rows_of(store.gold.rows(), spec.name)
    return set(entries.loc[entries["action"] == PRACTISE, "image_id"])
