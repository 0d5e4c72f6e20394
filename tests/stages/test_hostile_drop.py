"""Nine hundred odd and broken pictures delivered as one drop: taken in and screened like any other."""

from __future__ import annotations

import hashlib
import io
import resource
import time
import warnings

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataops_assets.apart import Apart
from dataops_assets.blobs import Blobs
from dataops_assets.imaging.decode import decode
from dataops_assets.imaging.screening import Preparation, prepare
from dataops_assets.intake import landing
from dataops_assets.intake.journal import Journal
from dataops_assets.projects import load_project
from dataops_assets.reports.reasons import REASONS
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.cleaned_set import screen
from dataops_assets.stages.raw_images import FORMATS, receive
from tests.conftest import REPO, SHARED, changed


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame, Apart, float]:
    """Rows of raw_images and cleaned_set of the whole folder, its blobs, and the seconds it took."""
    folder = SHARED / "images_hostile"
    if not folder.is_dir():
        pytest.skip(f"needs the real test data, which is not at {SHARED}")
    spec: ProjectSpec = changed(load_project(REPO / "dataops_assets/defs/garments/defs.yaml"), sources={"licenses": []})
    place = tmp_path_factory.mktemp("hostile")
    started = time.monotonic()
    delivery = landing.Delivery("garments", "acme", "hostile", folder, False)
    blobs = Apart(Blobs(str(place)), "garments")
    receipt = receive(delivery, "d", spec, blobs, Journal(place / "journal"))
    cleaned = screen(receipt.frame, pd.DataFrame(columns=["image_id", "phash", "status"]), spec.cleaning, 50_000_000, blobs)
    return receipt.frame, cleaned, blobs, time.monotonic() - started


Through = tuple[pd.DataFrame, pd.DataFrame, Apart, float]


def test_each_file_has_one_row_and_each_that_is_left_out_one_reason(through: Through) -> None:
    raw, cleaned, _, seconds = through
    assert len(raw) == sum(1 for path in (SHARED / "images_hostile").rglob("*") if path.is_file())
    assert raw["path"].is_unique
    refused = raw[raw["status"] == "quarantined"]
    assert refused["reason"].isin(["TYPE_MISMATCH", "CORRUPT", "TOO_LARGE", "MULTI_FRAME", "ZERO_BYTE"]).all()
    assert set(raw["status"]) <= {"accepted", "duplicate", "quarantined"}
    assert (raw.loc[raw["status"] == "duplicate", "reason"] == "DUPLICATE_CONTENT").all()
    assert raw.loc[raw["status"] == "accepted", "reason"].isna().all()
    assert sorted(raw.loc[raw["status"] == "accepted", "image_id"]) == sorted(cleaned["image_id"])
    left_out = cleaned[cleaned["status"] != "kept"]
    assert all(isinstance(reason, str) and set(reason.split("|")) <= REASONS.keys() for reason in left_out["reason"])
    assert cleaned.loc[cleaned["status"] == "kept", "reason"].isna().all()
    assert (cleaned["status"] == "kept").sum() > 20
    assert seconds < 240


def test_every_row_is_the_file_it_names(through: Through) -> None:
    raw, _, blobs, _ = through
    for path, sha256, status in raw[["path", "sha256", "status"]].itertuples(index=False):
        data = (SHARED / "images_hostile" / path).read_bytes()
        assert sha256 == hashlib.sha256(data).hexdigest()
        if status == "accepted":
            assert blobs.read(sha256) == data


def test_no_child_took_two_gigabytes(through: Through) -> None:
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # of the largest child so far
    assert 2**25 < peak < 2 * 2**30  # and there were some


DAMAGED = {"pngsuite__png__xcsn0g01.png"}  # its checksum is wrong on purpose, which Pillow passes over


def test_no_picture_that_another_reader_opens_is_lost(through: Through) -> None:
    """Whatever Pillow reads to the end, of a format that is taken and its name says, and of one frame, goes through."""
    raw, cleaned, _, _ = through
    damaged = set(
        cleaned.loc[cleaned["reason"].fillna("").str.contains(r"\b(?:CORRUPT|TYPE_MISMATCH|MULTI_FRAME|ZERO_BYTE)\b"), "image_id"]
    )
    opened, lost = 0, []
    for path, image_id, status, reason in raw[["path", "image_id", "status", "reason"]].itertuples(index=False):
        format_ = read_by_pillow(path)
        if format_ is None or path.rsplit(".")[-1].lower() not in FORMATS[format_]:
            continue
        opened += 1
        if status == "quarantined" or image_id in damaged:
            lost.append((path, reason))
    assert opened > 150
    assert [one for one in lost if one[0] not in DAMAGED] == []


def read_by_pillow(path: str) -> str | None:
    """The format of a file that Pillow reads in full as one picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with Image.open(SHARED / "images_hostile" / path) as image:
                if image.format not in FORMATS or getattr(image, "n_frames", 1) > 1:
                    return None
                image.load()
                return str(image.format)
        except Exception:  # whatever it says of a broken file
            return None


@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
def test_an_orientation_set_comes_out_equal(through: Through, name: str) -> None:
    raw, cleaned, blobs, _ = through
    ids = raw[raw["path"].str.fullmatch(rf"orient__{name}_[1-8]\.jpg")].set_index("path")["image_id"]
    assert len(ids) == 8
    rows = cleaned.set_index("image_id").loc[list(ids)]
    assert rows[["width_px", "height_px"]].drop_duplicates().shape[0] == 1
    pictures = [cleaned_picture(blobs, image) for image in ids]
    for picture in pictures:
        assert np.abs(picture.astype(int) - pictures[0].astype(int)).mean() < 6  # each was compressed anew
    groups = rows["near_duplicate_group"]
    assert groups.notna().all() and groups.nunique() == 1  # the one that stays may be the same picture without an orientation
    assert (rows["reason"] == "near_duplicate").sum() >= 7


def cleaned_picture(blobs: Apart, image: str) -> np.ndarray:
    """What the screening makes of a picture that stays in; most of these are copies of each other."""
    pixels = decode(blobs.read(prepare(blobs, (image, ""), Preparation(1600)).clean_sha256)).pixels
    assert pixels is not None
    return pixels


def of(path: str, through: Through) -> np.ndarray:
    raw, _, blobs, _ = through
    return cleaned_picture(blobs, raw.set_index("path").at[path, "image_id"])


@pytest.mark.parametrize("stem", ["basn2c16", "basn0g16"])
def test_sixteen_bit_is_scaled_not_clipped(through: Through, stem: str) -> None:
    path = f"pngsuite__png__{stem}.png"
    wide = cv2.imread(str(SHARED / "images_hostile" / path), cv2.IMREAD_UNCHANGED)
    expected = np.atleast_3d(wide)[:, :, ::-1] / 257
    assert wide.dtype == np.uint16
    assert np.abs(of(path, through) - expected).mean() < 4


@pytest.mark.parametrize("stem", ["basn3p08", "basn3p04", "basn3p01"])
def test_a_palette_is_looked_up(through: Through, stem: str) -> None:
    path = f"pngsuite__png__{stem}.png"
    expected = cv2.imread(str(SHARED / "images_hostile" / path), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(of(path, through).astype(int) - expected.astype(int)).mean() < 4


@pytest.mark.parametrize("stem", ["basn6a08", "basn6a16", "basn4a08", "basn4a16"])
def test_transparency_lies_on_white(through: Through, stem: str) -> None:
    path = f"pngsuite__png__{stem}.png"
    read = cv2.imread(str(SHARED / "images_hostile" / path), cv2.IMREAD_UNCHANGED).astype(float)
    full = 65535.0 if "16" in stem else 255.0
    alpha = read[:, :, 3:] / full
    expected = (read[:, :, 2::-1] / full * alpha + 1 - alpha) * 255
    assert np.abs(of(path, through) - expected).mean() < 4


@pytest.mark.parametrize("stem", ["tm3n3p02", "tbbn3p08", "tp1n3p08"])
def test_transparent_colours_of_a_palette_lie_on_white(through: Through, stem: str) -> None:
    path = f"pngsuite__png__{stem}.png"
    with Image.open(SHARED / "images_hostile" / path) as image:
        read = np.asarray(image.convert("RGBA")).astype(float)
    alpha = read[:, :, 3:] / 255
    assert alpha.min() < 1
    assert np.abs(of(path, through) - (read[:, :, :3] * alpha + 255 * (1 - alpha))).mean() < 4


@pytest.mark.parametrize("stem", ["cmyk_u8_edge_case", "cmyk_u8_trunc_case"])
def test_inks_of_a_tiff_come_out_as_colours(through: Through, stem: str) -> None:
    path = f"imagers__tests__images__tiff__testsuite__{stem}.tif"
    with Image.open(SHARED / "images_hostile" / path) as image:
        assert image.mode == "CMYK"
        inks = np.asarray(image).astype(float)
    assert np.abs(of(path, through) - (255 - inks[:, :, :3]) * (255 - inks[:, :, 3:]) / 255).mean() < 4


def test_printing_inks_come_out_as_colours() -> None:
    """CMYK as Photoshop writes it, inverted: cyan ink alone is cyan on the screen."""
    buffer = io.BytesIO()
    Image.new("CMYK", (32, 32), (255, 0, 0, 0)).save(buffer, "JPEG", quality=95)
    pixels = decode(buffer.getvalue()).pixels
    assert pixels is not None
    red, green, blue = pixels.reshape(-1, 3).mean(axis=0)
    assert red < 60 and green > 150 and blue > 150
