"""A contact sheet is small, always drawn, and the same each time."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dataops_assets.imaging.contact_sheet import contact_sheet


def noise(seed: int) -> bytes:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (120, 90, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_width_rows_and_bytes() -> None:
    sheet = contact_sheet([(noise(seed), f"picture {seed}") for seed in range(9)])
    with Image.open(BytesIO(sheet)) as image:
        assert image.format == "JPEG"
        assert image.width == 440
        assert 3 * 100 < image.height < 3 * 130
    assert len(sheet) <= 150_000
    assert sheet == contact_sheet([(noise(seed), f"picture {seed}") for seed in range(9)])


def test_quality_and_size_give_way() -> None:
    assert len(contact_sheet([(noise(seed), "") for seed in range(40)], max_bytes=20_000)) <= 20_000


@pytest.mark.parametrize("caption", ["", "a\nb\x00", "\ud800", "漢字 עברית 👗", "x" * 100_000, "<script>", "\u202egnp.exe"])
def test_any_caption_and_undecodable_pictures(caption: str) -> None:
    sheet = contact_sheet([(b"not a picture", caption), (b"", caption)])
    with Image.open(BytesIO(sheet)) as image:
        assert image.width == 440


def test_nothing_to_show() -> None:
    assert contact_sheet([])[:2] == b"\xff\xd8"
