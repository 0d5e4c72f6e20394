"""Drops with a see-through mark over their pictures, and drops that share other things: made of photos, for `composition.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from dataops_assets.projects import defs_root, load_project
from dataops_assets.simulate import dresses

Picture = Image.Image
Size = tuple[int, int]

PICTURES = 120
MARKS = ("tiling", "seal", "line", "corner", "logo")
WHITE, GRAY, BLACK = (255, 255, 255), (128, 128, 128), (0, 0, 0)


@cache
def drawn(mark: str, size: Size) -> Picture:
    """A mark as a mask: letters all over, a ring with a name in the middle, a line across, a line or a filled sign in a corner."""
    width, height = size
    side = min(size)
    mask = Image.new("L", size)
    pen, fonts = ImageDraw.Draw(mask), {px: ImageFont.load_default(side * px / 100) for px in (5, 9, 11)}
    if mark == "tiling":
        whole = Image.new("L", (2 * max(size), 2 * max(size)))
        tiles = ImageDraw.Draw(whole)
        for row, top in enumerate(range(0, whole.height, int(0.16 * side))):
            for left in range(-(row % 2) * side // 5, whole.width, int(0.42 * side)):
                tiles.text((left, top), "stockphoto", font=fonts[5], fill=255)
        turned = whole.rotate(30, resample=Image.Resampling.BICUBIC)
        left, top = (turned.width - width) // 2, (turned.height - height) // 2
        return turned.crop((left, top, left + width, top + height))
    if mark == "seal":
        x, y, radius = width / 2, height / 2, 0.2 * side
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=255, width=max(2, int(0.015 * side)))
        pen.text((x, y), "VENDOR", font=fonts[9], fill=255, anchor="mm")
    elif mark == "line":
        pen.text((width / 2, height / 2), "SAMPLE ONLY", font=fonts[11], fill=255, anchor="mm")
    elif mark == "corner":
        pen.text((width - 0.03 * side, height - 0.03 * side), "© vendor.example", font=fonts[5], fill=255, anchor="rs")
    else:
        x, y, radius = width - 0.15 * side, height - 0.15 * side, 0.1 * side
        pen.polygon([(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)], fill=255)
        pen.ellipse((x - radius / 2, y - radius / 2, x + radius / 2, y + radius / 2), fill=0)
    return mask


def marked(picture: Picture, mark: str, opacity: float, colour: tuple[int, int, int] = WHITE) -> Picture:
    mask = drawn(mark, picture.size).point(lambda level: round(level * opacity))
    return Image.composite(Image.new("RGB", picture.size, colour), picture, mask)


def hung(photo: Picture, wall: Picture, stray: float, rng: np.random.Generator) -> Picture:
    """A shirt, of a photo's cloth, that hangs before a wall at about the same place each time, in light that isn't quite the same."""
    width, height = wall.size
    x, top, wide, long = rng.normal((width / 2, 0.18 * height, width, 0.62), (stray * width, stray * height, 2 * stray * width, 2 * stray))
    half = [(0.12, 0), (0.30, 0.05), (0.42, 0.3), (0.32, 0.34), (0.24, 0.2), (0.22, long)]
    outline = [(x + side * wide * across, top + 1.25 * wide * down) for side in (-1, 1) for across, down in half[::side]]
    shape = Image.new("L", (2 * width, 2 * height))
    ImageDraw.Draw(shape).polygon([(2 * across, 2 * down) for across, down in outline], fill=255)
    middle = (0.3 * photo.width, 0.3 * photo.height, 0.7 * photo.width, 0.7 * photo.height)
    cloth = photo.resize(wall.size, Image.Resampling.BICUBIC, middle)
    pixels = np.asarray(Image.composite(cloth, wall, shape.resize(wall.size)), np.float32) * rng.normal(1, 0.1)
    return Image.fromarray(np.clip(pixels + rng.normal(0, 2, (height, width, 1)), 0, 255).astype(np.uint8))


def stand(size: Size) -> Picture:
    """A white studio with a floor's edge and a mannequin."""
    width, height = size
    wall = Image.new("RGB", size, (236, 236, 238))
    pen = ImageDraw.Draw(wall)
    pen.rectangle((0, 0.86 * height, width, height), fill=(214, 212, 210))
    pen.rectangle((0.46 * width, 0.06 * height, 0.54 * width, 0.24 * height), fill=(205, 185, 165))
    pen.rectangle((0.485 * width, 0.7 * height, 0.515 * width, 0.92 * height), fill=(90, 90, 95))
    pen.ellipse((0.35 * width, 0.9 * height, 0.65 * width, 0.95 * height), fill=(90, 90, 95))
    return wall.filter(ImageFilter.GaussianBlur(0.7))


def buttoned(picture: Picture, stray: float, rng: np.random.Generator) -> Picture:
    """With a collar, a seam and its buttons, which lie at about the same place each time."""
    width, height = picture.size
    x, y = rng.normal((width / 2, height / 4), (stray * width, stray * width))
    pen = ImageDraw.Draw(picture, "RGBA")
    pen.line((x, y, x, 0.78 * height), fill=(0, 0, 0, 110), width=2)
    pen.line((x - 40, y - 15, x, y + 25, x + 40, y - 15), fill=(0, 0, 0, 120), width=2)
    for top in np.arange(y + 10, 0.78 * height, 38):
        pen.ellipse((x + 4, top, x + 10, top + 6), fill=(255, 255, 255, 150))
    return picture


def drops(files: Sequence[bytes], framed: Callable[..., Picture]) -> Iterator[tuple[str, list[Picture], list[bool]]]:
    """(what it is, its pictures, which of them are marked)."""

    def photo(place: int) -> Picture:
        return Image.open(BytesIO(files[place])).convert("RGB")

    def some(seed: int, count: int = PICTURES) -> list[Picture]:
        rng = np.random.default_rng(seed)
        return [photo(place) for place in rng.choice(len(files), min(count, len(files)), replace=False)]

    def over(pictures: list[Picture], share: float, change: Callable[[Picture], Picture]) -> tuple[list[Picture], list[bool]]:
        is_marked = [37 * number % 100 < 100 * share for number in range(len(pictures))]
        return [change(one) if is_so else one for one, is_so in zip(pictures, is_marked, strict=True)], is_marked

    def studio(seed: int, wall: Picture, stray: float) -> list[Picture]:
        rng = np.random.default_rng(seed)
        return [hung(one, wall, stray, rng) for one in some(seed)]

    size = (400, 533)
    for opacity in (0.1, 0.15, 0.25, 0.4):
        for mark in MARKS:
            yield f"{mark}, white, {opacity:.0%}", *over(some(1), 1, partial(marked, mark=mark, opacity=opacity))
    for colour, name in ((BLACK, "black"), (GRAY, "gray")):
        yield f"seal, {name}, 25%", *over(some(2), 1, partial(marked, mark="seal", opacity=0.25, colour=colour))
    for mark in MARKS:
        for share in (0.2, 0.3, 0.5):
            yield f"{mark}, 25%, on {share:.0%} of them", *over(some(3), share, partial(marked, mark=mark, opacity=0.25))
    for count in (20, 40, 400):
        for mark in ("tiling", "corner"):
            yield f"{mark}, 25%, a drop of {count}", *over(some(4, count), 1, partial(marked, mark=mark, opacity=0.25))
    for mark in MARKS:
        yield f"{mark}, 25%, in one studio", *over(studio(5, stand(size), 0.01), 1, partial(marked, mark=mark, opacity=0.25))
    nothing = partial(over, share=0, change=lambda picture: picture)
    for seed in range(6, 12):
        yield "photos as they are", *nothing(some(seed))
    for stray in (0, 0.01, 0.03):
        yield f"one studio, clothes astray by {stray:.0%}", *nothing(studio(12, stand(size), stray))
    for seed in range(13, 19):
        yield "one room, clothes astray by 1%", *nothing(studio(seed, photo(seed * len(files) // 20).resize(size), 0.01))
    for colour in (WHITE, BLACK):
        yield f"a frame of 4%, {'white' if colour == WHITE else 'black'}", *nothing([framed(one, 0.04, 0.04, colour) for one in some(19)])
    for stray in (0.02, 0.01, 0.005, 0.0025):
        rng = np.random.default_rng(20)
        yield f"buttoned shirts, astray by {stray:.2%}", *nothing([buttoned(one, stray, rng) for one in studio(20, stand(size), 0.01)])
    spec = load_project(defs_root() / "dresses" / "defs.yaml")
    yield "drawn dresses", *nothing([dresses.draw(look, seed) for look, seed in dresses.specimens(PICTURES, 21, spec)])
