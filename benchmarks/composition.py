"""How well quality and composition are judged: python benchmarks/composition.py FOLDER of photos [--every 6]

Photos as they are give the false alarms; the same photos spoiled in known ways (blurred, shaken, saved coarsely, framed, put together,
shown on a drawn shop page, written over) give the recall. One line each: the share that the issue's own threshold flags. Then whole drops,
with a see-through mark and without one: the share of the marked pictures that is found, and of the others that is flagged.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from marks import drops
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from dataops_assets.imaging.decode import MAX_PIXELS, decode
from dataops_assets.imaging.duplicates import calc_phash
from dataops_assets.imaging.measures import THRESHOLDS, calc_scores
from dataops_assets.imaging.screening import Marked, Measured
from dataops_assets.imaging.view import WORKING_SIDE_PX, View
from dataops_assets.imaging.watermark import SAMPLE, calc_watermark, trace
from dataops_assets.stages.marked import learn_marks, watermark_scores

Picture = Image.Image


def saved(picture: Picture, quality: int = 90) -> bytes:
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def scores(data: bytes) -> dict[str, float]:
    return calc_scores(View.of(decode(data, enough_px=WORKING_SIDE_PX)))


def shaken(picture: Picture, pixels: int) -> Picture:
    kernel = np.zeros((pixels, pixels), dtype=np.float32)
    kernel[pixels // 2] = 1 / pixels
    return Image.fromarray(cv2.filter2D(np.asarray(picture), -1, kernel))


def framed(picture: Picture, across: float, down: float, colour: tuple[int, int, int]) -> Picture:
    x, y = int(picture.width * across), int(picture.height * down)
    whole = Image.new("RGB", (picture.width + 2 * x, picture.height + 2 * y), colour)
    whole.paste(picture, (x, y))
    return whole


def beside(pictures: list[Picture], columns: int, gutter: int) -> Picture:
    width, height = 300, 400
    rows = len(pictures) // columns
    whole = Image.new("RGB", (columns * (width + gutter) - gutter, rows * (height + gutter) - gutter), "white")
    for place, picture in enumerate(pictures):
        whole.paste(picture.resize((width, height)), (place % columns * (width + gutter), place // columns * (height + gutter)))
    return whole


def page(picture: Picture, seed: int) -> Picture:
    """A shop's page on a phone, with the photo in it."""
    random = np.random.default_rng(seed)
    is_dark = random.random() < 0.3
    paper, ink = ((20, 20, 24), (230, 230, 230)) if is_dark else ((255, 255, 255), (30, 30, 30))
    whole = Image.new("RGB", (450, 900), paper)
    pen = ImageDraw.Draw(whole)
    pen.rectangle([0, 0, 450, 60], fill=tuple(random.integers(0, 255, 3).tolist()))
    pen.text((20, 20), "Shop  Women  Dresses", font=ImageFont.load_default(20), fill="white")
    top = 80
    for _ in range(int(random.integers(1, 3))):
        width = int(random.integers(200, 430))
        whole.paste(picture.resize((width, int(width * 1.1))), (10, top))
        top += int(width * 1.1) + 10
        for _ in range(int(random.integers(2, 5))):
            text = f"Summer dress, size {random.integers(30, 44)}, only {random.integers(10, 90)}.99"
            pen.text((14, top), text, font=ImageFont.load_default(int(random.integers(12, 20))), fill=ink)
            top += 24
        pen.rectangle([14, top, 160, top + 36], fill=(200, 30, 60))
        top += 50
    return whole


def written_over(picture: Picture, size: float, opacity: int) -> Picture:
    """A line of lettering near the lower edge; its height is a share of the picture's."""
    layer = Image.new("RGBA", picture.size)
    pen, font = ImageDraw.Draw(layer), ImageFont.load_default(max(8, int(picture.height * size)))
    text = "www.fashion.example"
    left = (picture.width - pen.textlength(text, font=font)) / 2
    pen.text((left, picture.height * (1 - 1.6 * size)), text, font=font, fill=(255, 255, 255, opacity))
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def spoiled(photos: list[Picture]) -> Iterator[tuple[str, str, Callable[[int], bytes]]]:
    """(issue, what was done, the file made of a photo by its number)."""

    def some(number: int, count: int) -> list[Picture]:
        return [photos[(number + 7 * step) % len(photos)] for step in range(count)]

    for radius in (1.5, 2, 3, 6, 12):
        yield "blurry", f"blurred by {radius} px", lambda n, r=radius: saved(photos[n].filter(ImageFilter.GaussianBlur(r)))
    for pixels in (5, 9, 13):
        yield "blurry", f"shaken by {pixels} px", lambda n, p=pixels: saved(shaken(photos[n], p))
    for quality in (5, 10, 20, 40):
        yield "blocky", f"JPEG quality {quality}", lambda n, q=quality: saved(photos[n], q)
    for quality in (5, 10):
        yield (
            "blocky",
            f"quality {quality}, saved again at 95",
            lambda n, q=quality: saved(Image.open(BytesIO(saved(photos[n], q))).convert("RGB"), 95),
        )
    for share in (0.03, 0.1):
        yield "bordered", f"bars of {share:.0%}", lambda n, s=share: saved(framed(photos[n], 0, s, (0, 0, 0)))
    yield "bordered", "white frame of 4%", lambda n: saved(framed(photos[n], 0.04, 0.04, (255, 255, 255)))
    for count, columns in ((2, 2), (2, 1), (4, 2)):
        for gutter in (0, 6):
            yield (
                "collage",
                f"{count} in {columns} columns, {gutter} px between",
                lambda n, c=count, k=columns, g=gutter: saved(beside(some(n, c), k, g)),
            )
    yield "screenshot", "on a shop's page", lambda n: saved(page(photos[n], n))
    for size in (0.02, 0.03, 0.045, 0.07):
        yield "overlaid_text", f"letters of {size:.1%}", lambda n, s=size: saved(written_over(photos[n], s, 255))
    yield "overlaid_text", "letters of 4.5%, see-through", lambda n: saved(written_over(photos[n], 0.045, 110))


def marks(pictures: Sequence[Picture]) -> np.ndarray:
    """The drop's `watermark` scores, nan where there are too few pictures of a shape."""
    views = [View.of(decode(saved(picture), enough_px=WORKING_SIDE_PX)) for picture in pictures]
    seen = [Measured(None, view.sides_px, f"{calc_phash(view.half):016x}", trace=trace(view)) for view in views]

    def look(kind: type, task: Callable, items: Sequence[tuple[str, str]], what: str) -> list:
        if kind is Measured:
            return [seen[int(name)] for name, _ in items]
        return [Marked(score=calc_watermark(trace(views[int(name)]), task.keywords["mark"])) for name, _ in items]

    return watermark_scores([str(number) for number in range(len(views))], seen, learn_marks(seen[:SAMPLE]), look, MAX_PIXELS)


def judge_pictures(files: list[bytes], every: int) -> None:
    found = [scores(data) for data in files]
    print(f"{len(files)} photos as they are: share flagged, and the lowest score")
    for issue, limit in THRESHOLDS.items():
        if issue in found[0]:
            held = np.array([one[issue] for one in found])
            print(f"  {issue:18s} {np.mean(held < limit):6.2%}   {held.min():.3f} against {limit:g}")
    photos = [Image.open(BytesIO(data)).convert("RGB") for data in files[::every]]
    print(f"\n{len(photos)} of them spoiled: share found")
    for issue, what, made in spoiled(photos):
        flagged = np.mean([scores(made(number))[issue] < THRESHOLDS[issue] for number in range(len(photos))])
        print(f"  {issue:18s} {what:36s} {flagged:4.0%}", flush=True)


def judge_drops(files: list[bytes]) -> None:
    print("Whole drops: share of the marked pictures that is found, and of the others that is flagged")
    for what, pictures, is_marked in drops(files, framed):
        flagged, known = marks(pictures) < THRESHOLDS["watermark"], np.array(is_marked)
        shares = [f"{flagged[which].mean():4.0%} of {which.sum():3d}" if which.any() else f"{'':11s}" for which in (known, ~known)]
        print(f"  {what:40s} {shares[0]}   {shares[1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="photos, *.jpg, in any depth")
    parser.add_argument("--every", type=int, default=6, help="spoil every so-manieth photo only")
    parser.add_argument("--only", choices=("pictures", "drops"), help="one half only")
    asked = parser.parse_args()
    files = [path.read_bytes() for path in sorted(asked.folder.rglob("*.jpg"))]
    if asked.only != "drops":
        judge_pictures(files, asked.every)
        print()
    if asked.only != "pictures":
        judge_drops(files)


if __name__ == "__main__":
    main()
