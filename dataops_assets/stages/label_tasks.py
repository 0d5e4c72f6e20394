"""From pictures that wait for an answer to batches, and from a batch's plan to the tasks an annotator sees.

A plan is made once and never changes. Everything here is deterministic: images are ordered by their content hash, so a
batch mixes drops and vendors, and the same state gives the same plan.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from dataops_assets import manifest
from dataops_assets.blobs import Blobs
from dataops_assets.contracts import CONTRACTS
from dataops_assets.imaging.sensitivity import broken as broken_by
from dataops_assets.labels.acceptance import drawn
from dataops_assets.labels.questions import SCREENING, questions
from dataops_assets.labels.request import write_request
from dataops_assets.manifest import is_true
from dataops_assets.spec import LabelVendor, ProjectSpec
from dataops_assets.stages.brief import hidden
from dataops_assets.stages.qualification import pictures

__all__ = ["Kind", "Plan", "build", "plan", "write_request"]

Kind = Literal["screening", "pilot", "qualification", "production", "rework", "adjudication", "preservation"]
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp", "GIF": ".gif"}
_ASKED = ["batch_id", "image_id", "attribute", "n_more"]
_CENT = 1e-9  # sums of prices are floats


class Plan(NamedTuple):
    """Batches to order, and a sentence about what was left out, "" when nothing was."""

    batches: list[pd.DataFrame]
    reason: str


def plan(
    kind: Kind,
    spec: ProjectSpec,
    sources: pd.DataFrame,
    planned: pd.DataFrame,
    *,
    gold: pd.DataFrame | None = None,
    quality: pd.DataFrame | None = None,
    outdated: pd.DataFrame | None = None,
    budget_left: float = float("inf"),
    vendor: str | None = None,
    limit: int | None = None,
    gold_of: int | None = None,
    like: str | None = None,
    again: Collection[str] = (),
    key: bytes | None = None,
) -> Plan:
    """Cut what waits into batches of at most `labeling.batch_size` images (a pilot is one batch) that the budget pays for.

    - `pilot`: source images never planned, drawn evenly over category and image vendor; internal. `pilot_overlap` answers each: our
      own people define what is right, and where two of them differ a third one adjudicates.
    - `production`: source images in no pilot or production plan, plus `gold_share` of hidden gold (at least one
      picture where there is gold): first what this vendor had in no qualification, the least used before others.
    - `rework`: what `quality` sends back and no later batch has planned, as many answers as it wants more; to the same vendor, one round
      later. With it what the
      ontology's changes made `outdated`. Questions that depend on one of these are asked again with it. So is hidden gold that was
      answered alike, which measures nobody there: what never comes back would be known for gold.
    - `adjudication`: what `quality` can't decide and, among it, what it drew for the audit; internal, one answer.
    - `screening`: `sources` are `cleaned_set` rows; those in `review`. Only people who may see personal data.
    - `qualification`: gold alone, to test `vendor`; what production hides in a batch is left out where enough is left for a fair test.
    - `preservation`: variants, drawn evenly over recipes, asked what they should have inherited; internal.

    Args:
        kind: What the batches are for.
        spec: The project.
        sources: What may be shown now: `augmented_set` rows (`cleaned_set` for screening), withdrawn images left out.
            Rework and adjudication of screening need those rows too.
        planned: All `batch_plans` rows of the project so far.
        gold: `gold.usable` rows: what may be hidden.
        quality: `label_quality` rows of released batches.
        outdated: `labels.changes.outdated` rows.
        budget_left: In `brief.currency`; the plan's amounts never add up to more.
        vendor: Who labels; default by kind. Needed for qualification.
        limit: At most so many images, gold not counted; default: all (`pilot_size` for pilot and preservation).
        again: Pictures to screen though a screening batch had them before: they wait for other reasons now.
        like: A pilot whose very pictures a pilot asks for again, e.g. in another tool.
        key: Draws the gold that is asked again; None: none is.
        gold_of: Hide as much gold as a batch of so many images would: a small batch of a ramp is judged as surely as a full one.

    Returns:
        `batch_plans` rows, one frame a batch; `amount` is a row's own price: overlap x attributes x `ProjectSpec.price_of_answer`.

    Raises:
        ValueError: for an unknown kind or vendor, or one that may not see what the batch shows.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"no batches of kind {kind!r}; there are {', '.join(get_args(Kind))}")
    who = _who(kind, spec, vendor)
    gold = whole_gold(gold, spec, sources, planned)
    sent_back = _sent_back_by(kind, quality, outdated, key)
    asked = planned[(planned["kind"] != "screening") | ~planned["image_id"].isin(again)] if kind == "screening" else planned
    waiting = _waiting(kind, spec, sources, asked, gold, sent_back) if like is None else _again(kind, like, sources, planned)
    waiting, gold = _as_shown(waiting, sources), _as_shown(gold, sources)
    uses = planned[is_true(planned["is_gold"])].groupby(["vendor", "image_id"]).size().to_dict()
    known = _tested(planned)
    reasons = []
    if kind == "qualification" and who is not None:
        # all candidates get the same pictures, one that tries again others where there are some
        seen = waiting["image_id"].map(lambda image: uses.get((who.name, image), 0))
        kept, total = hidden(spec).each, len(waiting)
        waiting = waiting.loc[seen.sort_values(kind="stable").index].head(pictures(spec, total, kept))
        unknown = total - len(set(waiting["image_id"]) | {image for name, image in known if name == who.name})
        if total and unknown < kept and not who.internal:
            reasons.append(
                f"{unknown} of {total} gold pictures stay unknown to {who.name}, and a production batch hides {kept}: "
                "it can tell the others by their bytes until another pilot gives new ones"
            )
    if limit is not None:
        waiting = waiting.head(limit)
    if waiting.empty:
        return Plan([], f"nothing waits for {kind}")
    with_gold = kind == "production" and spec.labeling.gold_share > 0
    reasons += ["no hidden gold: label and approve a pilot"] if with_gold and gold.empty else []
    number = _last_number(kind, planned)
    batches: list[pd.DataFrame] = []
    size = max(spec.labeling.batch_size, spec.labeling.pilot_size if kind in ("pilot", "preservation") else 1)
    left, unpaid = budget_left, 0
    for _, group in waiting.groupby("group", sort=True):
        labels_it = who or _known(spec, str(group["vendor"].iloc[0]))
        price = spec.price_of_answer(kind, labels_it)
        for start in range(0, len(group), size):
            rows = group.iloc[start : start + size]
            batch_id = f"{kind}-{number + 1:03d}"
            pool = _draw(gold, batch_id, labels_it.name, uses, known, spec) if with_gold else gold.head(0)
            n, n_gold = _affordable(rows, pool, spec, price, left, gold_of or 0)
            unpaid += len(rows) - n
            if n == 0:
                continue
            batch = pd.concat([rows.head(n), pool.head(n_gold)], ignore_index=True) if n_gold else rows.head(n)
            batch = batch.assign(batch_id=batch_id, kind=kind, vendor=labels_it.name, currency=spec.brief.currency)
            batch["amount"] = _prices(batch, price)
            left -= float(batch["amount"].sum())
            for image_id in pool["image_id"].head(n_gold):
                uses[labels_it.name, image_id] = uses.get((labels_it.name, image_id), 0) + 1
            number += 1
            batches.append(manifest.conform(batch.drop(columns="group"), CONTRACTS["batch_plans"]))
    reasons += _told_again(batches, known) if with_gold else []
    if unpaid:
        reasons.append(f"{unpaid} images wait: the budget left, {budget_left:.2f} {spec.brief.currency}, doesn't pay for them")
    return Plan(batches, "; ".join(reasons))


def build(batch: pd.DataFrame, sources: pd.DataFrame, spec: ProjectSpec, blobs: Blobs | None = None) -> pd.DataFrame:
    """Tasks of one planned batch.

    A task's id is a hash of batch and image after a letter (a spreadsheet would turn some hex digits into a number); sorted
    by it, gold can't be told by its place.

    Args:
        batch: `batch_plans` rows of one batch.
        sources: Rows with `image_id, width_px, height_px` of its images, from whichever table.
        spec: The project.
        blobs: Where the pictures are; their headers then give suffix and size. None: `.jpg`, and the sources' sizes.

    Returns:
        `label_tasks` rows.
    """
    questions(spec, list(batch["attributes"]))
    tasks = _as_shown(batch.drop(columns=["amount", "currency"]), sources)
    tasks["task_id"] = [task_id(*pair) for pair in zip(batch["batch_id"], batch["image_id"], strict=True)]
    sizes = sources.drop_duplicates("image_id").set_index("image_id")[["width_px", "height_px"]]
    tasks = tasks.join(sizes, on="image_id")
    suffixes = [".jpg"] * len(tasks)
    if blobs is not None:
        headers = [_header(blobs.read(sha256)) for sha256 in tasks["sha256"]]
        suffixes = [suffix for suffix, _, _ in headers]
        tasks["width_px"] = [width for _, width, _ in headers]
        tasks["height_px"] = [height for _, _, height in headers]
    tasks["file"] = [f"images/{name}{suffix}" for name, suffix in zip(tasks["task_id"], suffixes, strict=True)]
    tasks["ontology_version"] = spec.ontology.version
    return manifest.conform(tasks, CONTRACTS["label_tasks"])


def task_id(batch_id: str, image_id: str) -> str:
    return "t" + hashlib.sha256(f"{batch_id}|{image_id}".encode()).hexdigest()[:15]


def _header(data: bytes) -> tuple[str, int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return SUFFIXES.get(image.format or "", ".img"), image.width, image.height


def _who(kind: Kind, spec: ProjectSpec, vendor: str | None) -> LabelVendor | None:
    """Who labels; None for rework, which goes back where it came from."""
    if kind == "rework":
        return None
    if kind == "qualification" and vendor is None:
        raise ValueError("a qualification batch tests somebody: name the vendor")
    if vendor is None:
        return spec.labeling.production if kind == "production" else spec.labeling.internal
    chosen = _known(spec, vendor)
    if kind == "screening" and not (chosen.internal or chosen.may_see_personal_data):
        raise ValueError(f"{vendor} may not see personal data, which pictures to screen can hold (`may_see_personal_data`)")
    if kind in ("pilot", "adjudication", "preservation") and not chosen.internal:
        raise ValueError(f"{kind} is done by our own people; {vendor} is not `internal`")
    return chosen


def _known(spec: ProjectSpec, name: str) -> LabelVendor:
    vendor = spec.labeling.vendor(name)
    if vendor is None:
        raise ValueError(f"no labelling vendor {name!r} in {spec.name}")
    return vendor


def _waiting(
    kind: Kind, spec: ProjectSpec, sources: pd.DataFrame, planned: pd.DataFrame, gold: pd.DataFrame, sent_back: pd.DataFrame
) -> pd.DataFrame:
    """Columns of a plan that say what to show and ask, in order, and `group`: what may share a batch."""
    if kind in ("rework", "adjudication"):
        return _sent_back(kind, spec, sources, planned, sent_back)
    if kind == "qualification":
        return gold.assign(overlap=spec.labeling.overlap)
    everything = "|".join(attribute.name for attribute in spec.ontology.attributes)
    if kind == "screening":
        rows = sources[(sources["status"] == "review") & sources["clean_sha256"].notna()]
        rows = rows.assign(sha256=rows["clean_sha256"], attributes=SCREENING.name, overlap=1)
        done = planned[planned["kind"] == kind]
    elif kind == "preservation":
        rows = sources[sources["kind"] == "variant"]
        broken = {recipe.name: "|".join(broken_by(recipe, spec.ontology)) for recipe in spec.augmentation.recipes}
        kept = [
            _kept(everything, f"{breaks or ''}|{broken.get(name, '')}") for breaks, name in zip(rows["breaks"], rows["recipe"], strict=True)
        ]
        rows = rows.assign(attributes=kept, overlap=1)
        rows = rows[rows["attributes"] != ""]
        done = planned[planned["kind"] == kind]
    else:
        rows = sources[sources["kind"] == "source"].assign(attributes=everything)
        rows = rows.assign(overlap=spec.labeling.pilot_overlap if kind == "pilot" else spec.labeling.overlap)
        done = planned[planned["kind"].isin(["pilot", "production"])]
    rows = rows[~rows["image_id"].isin(set(done["image_id"]))].drop_duplicates("image_id").sort_values("image_id")
    if kind in ("pilot", "preservation"):
        rows = _evenly(rows, ["category", "vendor"] if kind == "pilot" else ["recipe"]).head(spec.labeling.pilot_size)
    rows = rows.assign(is_gold=False, round=0, parent_batch_id=None, group="")
    return rows[["image_id", "sha256", "attributes", "overlap", "is_gold", "round", "parent_batch_id", "group"]]


def _again(kind: str, like: str, sources: pd.DataFrame, planned: pd.DataFrame) -> pd.DataFrame:
    """The pictures of an earlier pilot, asked as they were."""
    rows = planned[(planned["batch_id"] == like) & (planned["kind"] == "pilot") & planned["image_id"].isin(set(sources["image_id"]))]
    if kind != "pilot" or rows.empty:
        raise ValueError(f"only a pilot may be labelled again, and {like!r} is none whose pictures may be shown")
    rows = rows.assign(group="").sort_values("image_id", ignore_index=True)
    return rows[["image_id", "sha256", "attributes", "overlap", "is_gold", "round", "parent_batch_id", "group"]]


def _as_shown(rows: pd.DataFrame, sources: pd.DataFrame) -> pd.DataFrame:
    """The rows with the pictures as they are shown now: what a policy has covered since must not be shown as it was planned once."""
    shown = sources.drop_duplicates("image_id").set_index("image_id")
    found = pd.Series(None, index=shown.index, dtype="object")
    for name in ("sha256", "clean_sha256"):
        found = found.where(found.notna(), shown[name]) if name in shown else found
    now = rows["image_id"].map(found)
    return rows.assign(sha256=now.where(now.notna(), rows["sha256"]))


def _sent_back_by(kind: str, quality: pd.DataFrame | None, outdated: pd.DataFrame | None, key: bytes | None) -> pd.DataFrame:
    """batch_id, image_id, attribute, n_more, is_gold of what is to be asked again by a batch of this kind."""
    quality = quality if quality is not None else manifest.empty("label_quality")
    decision = "adjudicate" if kind == "adjudication" else "rework"
    is_wanted = quality["decision"] == decision
    if kind == "adjudication" and "is_audit" in quality:
        is_wanted |= is_true(quality["is_audit"])
    rows = quality[is_wanted & ~is_true(quality["is_gold"])].reindex(columns=_ASKED).assign(is_gold=False)
    if kind != "rework":
        return rows
    also = [outdated.assign(is_gold=False)] if outdated is not None else []
    return pd.concat([rows, *([_answered_alike(quality, key)] if key is not None else []), *also])


def _answered_alike(quality: pd.DataFrame, key: bytes) -> pd.DataFrame:
    """Hidden gold to ask again with what is sent back: of that with as many answers that agree as much, the same share, drawn by the key.

    Otherwise whoever compares a rework batch with its own answers finds the gold: questions on which people split come back, gold didn't.
    """
    rows = quality[quality["kind"].isin(["production", "rework"])].drop_duplicates(["batch_id", "task_id", "attribute"])
    alike = ["batch_id", "attribute", "n_labels", "agreement"]
    rows = rows.assign(
        n_labels=rows["n_labels"].astype("float64").fillna(0), agreement=rows["agreement"].astype("float64").round(6).fillna(-1.0),
        is_back=rows["decision"] == "rework", n_more=pd.to_numeric(rows["n_more"]),
    )  # fmt: skip
    golden, others = rows[is_true(rows["is_gold"])], rows[~is_true(rows["is_gold"])]
    shares = others.groupby(alike).agg(share=("is_back", "mean"), most=("n_more", "max"))
    golden = golden.join(shares, on=alike)
    chance = drawn((f"{task}|{name}" for task, name in zip(golden["task_id"], golden["attribute"], strict=True)), key)
    chosen = golden[chance < golden["share"].fillna(0.0).to_numpy(dtype=np.float64)]
    return chosen.assign(n_more=chosen["most"], is_gold=True)[[*_ASKED, "is_gold"]]


def _sent_back(kind: str, spec: ProjectSpec, sources: pd.DataFrame, planned: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    dependent = {attribute.name: list(spec.ontology.depends_on(attribute.name)) for attribute in spec.ontology.attributes}
    also = [rows.loc[rows["attribute"] == name].assign(attribute=child) for name, children in dependent.items() for child in children]
    rows = pd.concat([rows, *also])
    usable = sources[sources["status"].isna()] if "status" in sources else sources  # the others are doubtful: for people who screen
    may = rows["image_id"].isin(usable["image_id"]) | ((rows["attribute"] == SCREENING.name) & rows["image_id"].isin(sources["image_id"]))
    rows = rows.assign(n_more=pd.to_numeric(rows["n_more"]) if "n_more" in rows else np.nan)
    rows = rows[may].drop_duplicates(["batch_id", "image_id", "attribute"], ignore_index=True)
    later = planned[planned["parent_batch_id"].notna()][["parent_batch_id", "image_id", "attributes"]]
    later = later.assign(attribute=later["attributes"].str.split("|")).explode("attribute")
    taken = pd.MultiIndex.from_frame(later[["parent_batch_id", "image_id", "attribute"]])
    rows = rows[~pd.MultiIndex.from_frame(rows[["batch_id", "image_id", "attribute"]]).isin(taken)]
    rows = rows[~is_true(rows["is_gold"]) | rows["batch_id"].isin(set(rows.loc[~is_true(rows["is_gold"]), "batch_id"]))]  # never gold alone
    order = {name: place for place, name in enumerate([SCREENING.name, *(attribute.name for attribute in spec.ontology.attributes)])}
    rows = rows[rows["attribute"].isin(order.keys())].sort_values("attribute", key=lambda names: names.map(order))
    joined = rows.groupby(["batch_id", "image_id"], as_index=False).agg(
        attributes=("attribute", "|".join), more=("n_more", "max"), is_gold=("is_gold", "any")
    )  # fmt: skip
    joined = joined.merge(planned[["batch_id", "image_id", "sha256", "vendor", "overlap", "round"]], on=["batch_id", "image_id"])
    joined = joined.assign(parent_batch_id=joined["batch_id"], group=joined["batch_id"])
    if kind == "rework":
        joined["round"] += 1
        more = joined["more"].where(joined["more"] > 0, joined["overlap"])  # what an ontology's change voids is asked anew
        joined["overlap"] = more.astype("float64").astype("int64")
    else:
        joined["overlap"] = 1
    return joined.drop(columns=["batch_id", "more"]).sort_values(["group", "image_id"], ignore_index=True)


def whole_gold(gold: pd.DataFrame | None, spec: ProjectSpec, sources: pd.DataFrame, planned: pd.DataFrame) -> pd.DataFrame:
    """Plan rows of the gold images that answer every question and may still be shown."""
    everything = [attribute.name for attribute in spec.ontology.attributes]
    columns = ["image_id", "sha256", "attributes", "overlap", "is_gold", "round", "parent_batch_id", "group"]
    if gold is None or gold.empty:
        return pd.DataFrame(columns=columns)
    counts = gold[gold["attribute"].isin(everything)].groupby("image_id")["attribute"].nunique()
    whole = set(counts.index[counts == len(everything)]) & set(sources["image_id"])
    rows = planned[planned["image_id"].isin(whole)].drop_duplicates("image_id").sort_values("image_id")
    rows = rows.assign(
        attributes="|".join(everything), overlap=spec.labeling.overlap, is_gold=True, round=0, parent_batch_id=None, group=""
    )
    return rows[columns]


def _draw(
    gold: pd.DataFrame, batch_id: str, vendor: str, uses: Mapping[Hashable, int], known: Collection[tuple[str, str]], spec: ProjectSpec
) -> pd.DataFrame:
    """Gold in the order to take it: what still measures, what this vendor had in no qualification, what it saw least; then by chance that
    the batch's name fixes.
    """
    chance = [hashlib.sha256(f"{batch_id}|{image_id}".encode()).hexdigest() for image_id in gold["image_id"]]
    seen = np.array([uses.get((vendor, image_id), 0) for image_id in gold["image_id"]], dtype=np.int64)
    is_known = [(vendor, image_id) in known for image_id in gold["image_id"]]
    order = ["_worn", "_known", "_seen", "_chance"]
    ranked = gold.assign(_worn=seen >= spec.labeling.gold_sights, _known=is_known, _seen=seen, _chance=chance).sort_values(order)
    return ranked.drop(columns=order)


def _tested(planned: pd.DataFrame) -> set[tuple[str, str]]:
    """Vendor and picture of all qualifications."""
    rows = planned[planned["kind"] == "qualification"]
    return set(zip(rows["vendor"], rows["image_id"], strict=True))


def _told_again(batches: Sequence[pd.DataFrame], known: Collection[tuple[str, str]]) -> list[str]:
    """A sentence where hidden gold was in a qualification of the same vendor: no other picture comes twice, so it can be told."""
    rows = pd.concat(batches) if batches else pd.DataFrame(columns=["is_gold", "vendor", "image_id"])
    golden = rows[is_true(rows["is_gold"])]
    again = [(vendor, image) in known for vendor, image in zip(golden["vendor"], golden["image_id"], strict=True)]
    if not any(again):
        return []
    who = ", ".join(sorted(golden.loc[again, "vendor"].unique()))
    told = f"{sum(again)} of {len(golden)} hidden gold pictures were in a qualification of {who}, which can tell them by it"
    return [f"{told}: label another pilot"]


def _prices(rows: pd.DataFrame, price: float) -> np.ndarray:
    n_attributes = rows["attributes"].str.count(r"\|").to_numpy(dtype=np.float64) + 1
    return rows["overlap"].to_numpy(dtype=np.float64) * n_attributes * price


def _affordable(rows: pd.DataFrame, pool: pd.DataFrame, spec: ProjectSpec, price: float, left: float, gold_of: int) -> tuple[int, int]:
    """How many of the rows, with their share of gold (or that of `gold_of` rows), the budget pays for."""
    n_gold = np.zeros(len(rows) + 1, dtype=np.int64)
    if len(pool):
        n_gold[1:] = [min(len(pool), spec.labeling.gold_in(max(n, gold_of))) for n in range(1, len(rows) + 1)]
    cost = np.concatenate([[0.0], np.cumsum(_prices(rows, price))])
    gold_cost = np.concatenate([[0.0], np.cumsum(_prices(pool, price))])
    n = int(np.flatnonzero(cost + gold_cost[n_gold] <= left + _CENT)[-1]) if left >= 0 else 0
    return n, int(n_gold[n])


def _evenly(rows: pd.DataFrame, strata: list[str]) -> pd.DataFrame:
    """The first of every stratum, then the second, and so on."""
    turn = rows.groupby(strata, dropna=False, sort=True).cumcount()
    return rows.assign(_turn=turn).sort_values(["_turn", "image_id"]).drop(columns="_turn")


def _kept(everything: str, breaks: str | None) -> str:
    broken = set((breaks or "").split("|"))
    return "|".join(name for name in everything.split("|") if name not in broken)


def _last_number(kind: str, planned: pd.DataFrame) -> int:
    found = (re.fullmatch(rf"{kind}-(\d+)", batch_id) for batch_id in planned["batch_id"].unique())
    return max((int(match[1]) for match in found if match), default=0)
