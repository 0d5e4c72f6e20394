"""Which pictures of a screened drop are shown to our own people, and how: whatever is personal is covered and outlined.

The UI and the page show the same drawings, so they are made once a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from dataops_assets.blobs import Blobs
from dataops_assets.flow.refused import not_drawn
from dataops_assets.imaging.portraits import Wanted
from dataops_assets.manifest import Manifest
from dataops_assets.reports.delivery_story import by_reason
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.copies import NEAR_REFUSED, NOT_DRAWN
from dataops_assets.store import Store

KEPT, A_REASON, GROUPS, IN_A_GROUP, PERSONAL, DECIDED = 12, 12, 12, 6, 24, 12

Pictures = Mapping[str, bytes]  # by image_id


def chosen(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `cleaned_set` whose pictures are shown somewhere."""
    wanted = list(kept(frame)["image_id"])
    for status in ("rejected", "review"):
        for _, rows in by_reason(frame[frame["status"] == status]):
            wanted += list(rows["image_id"].head(A_REASON))
    wanted += list(frame.loc[frame["personal_data"].notna(), "image_id"].head(PERSONAL))
    for group in groups(frame):
        wanted += [group.stays, *group.left_out["image_id"].head(IN_A_GROUP)]
    wanted += list(frame.loc[frame["decided_by"].notna(), "image_id"].head(DECIDED))
    return frame[frame["image_id"].isin(wanted)]


def kept(frame: pd.DataFrame) -> pd.DataFrame:
    """A few kept rows of every category, in order of category."""
    rows = frame[frame["status"] == "kept"]
    category = rows["category"].fillna("-")
    order = pd.DataFrame({"turn": rows.groupby(category).cumcount(), "category": category}).sort_values(["turn", "category"], kind="stable")
    return rows.loc[order.index[:KEPT]].sort_values("category", kind="stable", na_position="last")


@dataclass(frozen=True)
class Group:
    """A picture and those of the drop that were left out as its duplicates; `is_here`: it is of this drop, not of an earlier one."""

    stays: str
    left_out: pd.DataFrame
    is_here: bool


def groups(frame: pd.DataFrame) -> list[Group]:
    """Groups of duplicates, the largest first."""
    lost = frame[frame["duplicate_of"].notna() & (frame["reason"] != NEAR_REFUSED)]  # of those none stays
    here = set(frame.loc[frame["duplicate_of"].isna(), "image_id"])
    found = [Group(str(leader), rows, leader in here) for leader, rows in lost.groupby("duplicate_of", sort=True)]
    return sorted(found, key=lambda group: -len(group.left_out))[:GROUPS]


def of_drop(store: Store, spec: ProjectSpec, made: Manifest) -> dict[str, bytes]:
    """Everything that is shown of a screened drop, and of earlier drops the pictures that its duplicates are copies of."""
    rows = chosen(made.frame)
    elsewhere = {group.stays for group in groups(made.frame) if not group.is_here} - set(rows["image_id"])
    if elsewhere:
        earlier = {drop: version for drop, version in made.inputs.get("cleaned_set", {}).items() if drop != made.partition}
        known = store.read_all("cleaned_set", spec.name, earlier)
        rows = pd.concat([rows, known[known["image_id"].isin(elsewhere)].drop_duplicates("image_id")], ignore_index=True)
    return drawn(store, spec, rows)


def drawn(store: Store, spec: ProjectSpec, rows: pd.DataFrame) -> dict[str, bytes]:
    """A JPEG by image_id of each picture that is still there: at most 200 px a side, what is personal covered and outlined.

    Pictures in which nobody has looked for faces are thumbnails of 96 px. What was withdrawn isn't drawn, nor is that in which a person
    saw something which the search doesn't find: it can't be covered here either. The last decision counts, whatever version the rows are
    of.
    """
    drops, images = store.withdrawn(spec.name)
    is_out = rows["image_id"].isin(images | not_drawn(store, spec.name)) | rows["reason"].isin(NOT_DRAWN)
    rows = rows[~rows["drop_id"].isin(drops) & ~is_out]
    wanted = tuple(
        Wanted(
            (clean, image) if isinstance(clean, str) else (image,),
            _personal(regions) if was_searched or isinstance(regions, str) else None,
            None if pd.isna(side_px) else int(side_px),
            was_searched,
        )
        for image, clean, regions, was_searched, side_px in zip(
            rows["image_id"],
            rows["clean_sha256"],
            rows["regions"],
            rows["faces"].notna(),
            rows[["width_px", "height_px"]].max(axis=1),
            strict=True,
        )
    )
    made = _draw(store.blobs, spec.name, wanted, spec.cleaning.max_side_px, spec.sources.limits.pixels)
    return {image: jpeg for image, jpeg in zip(rows["image_id"], made, strict=True) if jpeg}


def in_use(store: Store, project: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose picture wasn't withdrawn, by itself or with its drop."""
    drops, images = store.withdrawn(project)
    if drops and "drop_id" not in rows:
        raw, _ = store.load_all("raw_images", project, drops)
        images = images | set(raw["image_id"].dropna())
    gone = {"drop_id": drops, "image_id": images, "source_image_id": images}
    is_gone = pd.Series(False, index=rows.index)
    for column, names in gone.items():
        if column in rows:
            is_gone |= rows[column].isin(names)
    return rows[~is_gone]


def as_taken(store: Store, project: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `raw_images` in use, without those that are drawn nowhere.

    Once their drop was screened those that lie apart aren't among them either: screening knows more of them.
    """
    rows, apart = in_use(store, project, rows), store.apart(project)
    rows = rows[~rows["image_id"].isin(not_drawn(store, project))]
    screened = {drop for drop in rows["drop_id"].unique() if drop in store.pins("screening", project, drop)}
    is_shown = [
        status != "accepted" or drop not in screened or apart.in_sight(sha256)
        for status, drop, sha256 in zip(rows["status"], rows["drop_id"], rows["sha256"], strict=True)
    ]
    return rows[pd.Series(is_shown, index=rows.index, dtype=bool)]


def forget() -> None:
    """Draw everything anew from now on: pictures were withdrawn or deleted."""
    _draw.cache_clear()


def as_sent(store: Store, project: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of a batch with the `sha256` of the picture that people saw: the cleaned one."""
    if "sha256" in rows or "batch_id" not in rows or rows.empty:
        return rows
    tasks, _ = store.load_all("label_tasks", project, set(rows["batch_id"]))
    shown = tasks.drop_duplicates(["batch_id", "image_id"]).set_index(["batch_id", "image_id"])["sha256"]
    return rows.join(shown, on=["batch_id", "image_id"])


def _personal(regions: str | None) -> tuple[tuple[object, ...], ...]:
    return tuple(tuple(region) for region in json.loads(regions or "[]") if region[0] != "text")


@lru_cache(maxsize=4)
def _draw(blobs: Blobs, project: str, wanted: tuple[Wanted, ...], max_side_px: int, max_pixels: int) -> tuple[bytes, ...]:
    from dataops_assets.apart import Apart
    from dataops_assets.imaging.portraits import portraits

    return tuple(portraits(wanted, Apart(blobs, project), max_side_px, max_pixels))
