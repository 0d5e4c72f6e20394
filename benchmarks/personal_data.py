"""What finding personal data costs and how well it works.

    python benchmarks/personal_data.py [--data PATH] [--photos 900] [--insertions 240]

Prints, one section each: milliseconds a picture of every check apart (one core, wall clock; RapidOCR as it comes beside our reading);
memory of a process; recall of faces by size and false alarms; recall of the cheap test for text and how much it lets through; recall
of e-mail addresses, phone numbers, IBANs and card numbers from picture to finding; licence plates.

The truth is known because it is inserted: real faces cut from labelled photos, and texts of four kinds in six fonts, are set into
real photos of garments at known places, sizes and contrasts, and saved as JPEG. Garment photos as they are give the false alarms.
Where the real data isn't found, texts and plates go into drawn rooms, and faces are left out.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dataops_assets.imaging.decode import Pixels, decode
from dataops_assets.imaging.personal_data import contacts, text, text_hint
from dataops_assets.imaging.personal_data.faces import faces
from dataops_assets.imaging.personal_data.findings import CONTACTS, KINDS, look_for
from dataops_assets.imaging.personal_data.metadata import metadata
from dataops_assets.imaging.personal_data.plates import plates
from dataops_assets.imaging.personal_data.redact import redact
from dataops_assets.simulate.backdrops import room

REPO = Path(__file__).resolve().parents[1]
FACE_SHARES = (0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.2, 0.4, 0.8)
LETTER_PX = (7, 9, 12, 16, 24)
LARGE_LETTER_PX = (12, 16, 24, 36, 60)
LARGE_SIDE_PX = 1600
GROUNDS = ("paper", "contrast 110", "contrast 50")
FONTS = ("Pillow", cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX, "Pillow bold")
PLATE_PX = (60, 90, 130, 200)
Box = tuple[float, float, float, float]


@dataclass
class Written:
    """A photo with a text in it."""

    pixels: Pixels
    kind: str
    letter_px: int
    ground: str


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=REPO.parent / "shared" / "data", help="folder with clothing/ and pii/")
    parser.add_argument("--photos", type=int, default=900, help="garment photos for false alarms")
    parser.add_argument("--insertions", type=int, default=240, help="texts inserted; faces and plates a size: a quarter")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    files = sorted((given.data / "clothing").glob("*/*.jpg"))
    if files:
        files = files[:: max(1, len(files) // given.photos)]
        names, stored = [f"{path.parent.name}/{path.name}" for path in files], [path.read_bytes() for path in files]
        print(f"{len(files)} garment photos of {given.data / 'clothing'}")
    else:
        print(f"no real data at {given.data}: drawn rooms stand in for garment photos; faces need real ones and are left out")
        stored = [_jpeg(_drawn(seed)) for seed in range(min(given.photos, 100))]
        names = [f"room {seed}" for seed in range(len(stored))]
    photos = [np.asarray(decode(data).pixels) for data in stored]
    costs(photos, stored)
    memory(given.data)
    if files:
        finding_faces(given.data / "pii" / "faces", names, photos, given.insertions // 4)
    finding_text(given.data / "pii" / "text", names, photos, given.insertions)
    finding_plates(names, photos, given.insertions // 4)


def costs(photos: list[Pixels], stored: list[bytes]) -> None:
    step = max(1, len(photos) // 90)
    some, files = photos[::step], stored[::step]
    large = [_scaled(pixels, LARGE_SIDE_PX) for pixels in some[::6]]
    boxes = [faces(pixels) + plates(pixels) for pixels in some]
    print(f"\nms a picture, one core: median of {len(some)} photos as they are (mean), and of {len(large)} at {LARGE_SIDE_PX} px")
    checks: list[tuple[str, Callable[[Any], object]]] = [
        ("faces", faces),
        ("text: cheap test, its first look alone", text_hint.has_text_hint),
        ("text: cheap test", text_hint.text_part),
        ("text: cheap test, then reading where it says so", _read_where_likely),
        ("text: reading the whole picture", text.read_text),
        ("text: RapidOCR as it comes", _rapid_ocr()),
        ("plates", plates),
        ("everything", lambda pixels: look_for(pixels, b"", KINDS)),
    ]
    for name, check in checks:
        print(f"  {name:50s} {_ms(check, some)}   {_ms(check, large)}")
    print(f"  {'metadata (of the file)':50s} {_ms(metadata, files)}")
    print(f"  {'decoding the file, to compare':50s} {_ms(decode, files)}")
    print(f"  {'redacting what was found':50s} {_ms(lambda pair: redact(pair[0], pair[1], 'blur'), list(zip(some, boxes, strict=True)))}")


def _read_where_likely(pixels: Pixels) -> list[text.Line]:
    part = text_hint.text_part(pixels)
    return text.read_text(pixels, part) if part else []


def _rapid_ocr() -> Callable[[Pixels], object]:
    from rapidocr import RapidOCR

    engine = RapidOCR(params={name: value for name, value in text.ENGINE.items() if not name.startswith("Det.")})
    return lambda pixels: engine(np.ascontiguousarray(pixels[..., ::-1]))


def _ms(check: Callable[[Any], object], items: Sequence[Any]) -> str:
    for item in items[:2]:
        check(item)
    seconds = []
    for item in items:
        started = time.perf_counter()
        check(item)
        seconds.append(time.perf_counter() - started)
    return f"{1000 * float(np.median(seconds)):7.1f} ({1000 * float(np.mean(seconds)):6.1f})"


def memory(data: Path) -> None:
    print("\nmemory of a process after 60 photos: resident, address space")
    for name, kinds in (("decoding only", ()), ("faces", ("face",)), ("faces and text", ("face", *sorted(CONTACTS)))):
        code = f"from benchmarks.personal_data import weigh; weigh({str(data)!r}, {kinds!r})"
        done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
        print(f"  {name:20s} {done.stdout.strip()}")


def weigh(data: str, kinds: Sequence[str]) -> None:
    """In a process of its own: look at photos, print the memory it took."""
    cv2.setNumThreads(1)
    files = [path.read_bytes() for path in sorted(Path(data).glob("clothing/*/*.jpg"))[::15]] or [_jpeg(_drawn(seed)) for seed in range(60)]
    for file in files:
        look_for(np.asarray(decode(file).pixels), file, kinds)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(", ".join(f"{int(status[name].split()[0]) // 1024} MB" for name in ("VmRSS", "VmSize")))


def finding_faces(folder: Path, names: list[str], photos: list[Pixels], count: int) -> None:
    labelled = list(_labelled(folder))
    hits = sum(_is_hit(faces(pixels), box) for pixels, boxes in labelled for box in boxes)
    total, found = sum(len(boxes) for _, boxes in labelled), sum(len(faces(pixels)) for pixels, _ in labelled)
    print(f"\nfaces: {hits} of {total} labelled ones found; {found - hits} more were found there (people in the background, not labelled)")
    rng = np.random.default_rng(0)
    cut = [_cut_out(pixels, box) for pixels, boxes in labelled for box in boxes]
    print(f"  recall of real faces set into garment photos, {count} a size (share of the longer side; px in a 533 px photo)")
    for share in FACE_SHARES:
        hits = 0
        for number in range(count):
            photo = photos[rng.integers(len(photos))]
            pixels, box = _with_face(photo, *cut[number % len(cut)], share * max(photo.shape[:2]), rng)
            hits += _is_hit(faces(pixels), box)
        print(f"    {share:4.0%} ({533 * share:3.0f} px): {hits / count:.2f}")
    alarms = [(name, found) for name, photo in zip(names, photos, strict=True) if (found := faces(photo))]
    print(f"  found in {len(alarms)} of {len(photos)} garment photos; seen by eye, no photo of the 900 shows a face of a person")
    for name, found in alarms:
        print(f"    {name}: {', '.join(f'{face.w} x {face.h} px, {face.score}' for face in found)}")


def _labelled(folder: Path) -> Iterator[tuple[Pixels, list[Box]]]:
    for image in ET.parse(folder / "training.xml").iter("image"):
        boxes = [tuple(float(box.get(name, 0)) for name in ("left", "top", "width", "height")) for box in image.iter("box")]
        yield np.asarray(decode((folder / str(image.get("file"))).read_bytes()).pixels), boxes  # type: ignore[misc]


def _cut_out(pixels: Pixels, box: Box) -> tuple[Pixels, Box]:
    """A head with some of what is around it, and the box in the cut."""
    x, y, w, h = box
    left, top = max(0, int(x - 0.45 * w)), max(0, int(y - 0.45 * h))
    cut = pixels[top : int(y + 1.45 * h), left : int(x + 1.45 * w)]
    return cut, (x - left, y - top, w, h)


def _with_face(photo: Pixels, cut: Pixels, box: Box, face_px: float, rng: np.random.Generator) -> tuple[Pixels, Box]:
    scale = max(face_px, 6) / box[2]
    x, y, w, h = (value * scale for value in box)
    head = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        head, x = np.ascontiguousarray(head[:, ::-1]), head.shape[1] - x - w
    over_y, over_x = (max(0, (ours - theirs) // 2 + 1) for ours, theirs in zip(head.shape[:2], photo.shape[:2], strict=True))
    head = head[over_y : head.shape[0] - over_y, over_x : head.shape[1] - over_x]
    height, width = head.shape[:2]
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, (width // 2, height // 2), (int(width * 0.47), int(height * 0.47)), 0, 0, 360, 1, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.5, width * 0.02))[..., None]
    left, top = int(rng.integers(0, photo.shape[1] - width + 1)), int(rng.integers(0, photo.shape[0] - height + 1))
    out = photo.copy()
    place = out[top : top + height, left : left + width]
    place[:] = head * mask + place * (1 - mask)
    return _stored(out), (left + x - over_x, top + y - over_y, w, h)


def _is_hit(found: Sequence[Any], box: Box) -> bool:
    """Whether a region's middle lies within half a box of the box's middle."""
    x, y, w, h = box
    return any(abs(r.x + r.w / 2 - x - w / 2) < w / 2 and abs(r.y + r.h / 2 - y - h / 2) < h / 2 for r in found)


def finding_text(folder: Path, names: list[str], photos: list[Pixels], count: int) -> None:
    parts = [(photo, part) for photo in photos if (part := text_hint.text_part(photo))]
    areas = [(right - left) * (bottom - top) / photo[..., 0].size for photo, (left, top, right, bottom) in parts]
    likely = np.mean([text_hint.has_text_hint(photo) >= text_hint.TEXT_HINT for photo in photos])
    print(f"\ntext: the cheap test looks twice at {likely:.0%} of garment photos, and sends {len(parts) / len(photos):.0%} on to reading;")
    print(f"  of these {sum(areas) / max(1, len(areas)):.0%} of the pixels")
    street = [np.asarray(decode(path.read_bytes()).pixels) for path in sorted(folder.glob("*.jpg"))]
    if street:
        passed = sum(text_hint.text_part(pixels) is not None for pixels in street)
        read = [len(text.read_text(pixels)) for pixels in street]
        ours = [len(_read_where_likely(pixels)) for pixels in street]
        print(f"  street photos with signs: {passed} of {len(street)} sent on; lines read of the whole picture {read}, of the part {ours}")
    found = [
        (name, regions) for name, photo in zip(names, photos, strict=True) if (regions := contacts.personal(_read_where_likely(photo)))
    ]
    print(f"  personal data found in {len(found)} of {len(photos)} garment photos: {[(n, [r.kind for r in rs]) for n, rs in found]}")
    for side, heights, tries in ((None, LETTER_PX, count), (LARGE_SIDE_PX, LARGE_LETTER_PX, count // 2)):
        inserted = list(_inserted(photos, tries, heights, side))
        whole, part = [], []
        for case in inserted:
            whole.append(any(region.kind == case.kind for region in contacts.personal(text.read_text(case.pixels))))
            part.append(any(region.kind == case.kind for region in contacts.personal(_read_where_likely(case.pixels))))
        sent = [text_hint.text_part(case.pixels) is not None for case in inserted]
        looked = [text_hint.has_text_hint(case.pixels) >= text_hint.TEXT_HINT for case in inserted]
        size = f"of {side} px" if side else "as they are"
        print(f"  {len(inserted)} texts set into photos {size}; {np.mean(whole):.3f} found in the whole picture")
        print("    of these, by height of capitals in px, found:")
        for name, hits in (("likely by strokes", looked), ("sent on to reading", sent), ("read in the end", part)):
            read = [hit for hit, is_found in zip(hits, whole, strict=True) if is_found]
            keys = [case.letter_px for case, is_found in zip(inserted, whole, strict=True) if is_found]
            print(f"      {name:20s} {np.mean(read):.3f}: {_shares(read, keys, heights)}")
        print(f"    found in the end: {np.mean(part):.3f} of all")
        print(
            "    by kind, on paper: " + _shares(part, [case.kind if case.ground == "paper" else "" for case in inserted], sorted(CONTACTS))
        )
        for ground in GROUNDS:
            keys = [case.letter_px if case.ground == ground else 0 for case in inserted]
            print(f"    {ground:13s} by height of capitals in px: {_shares(part, keys, heights)}")


def _shares(hits: Sequence[bool], keys: Sequence[Any], wanted: Sequence[Any]) -> str:
    share = {key: [hit for hit, of in zip(hits, keys, strict=True) if of == key] for key in wanted}
    return ", ".join(f"{key} {np.mean(of):.2f}" for key, of in share.items() if of)


def _inserted(photos: list[Pixels], count: int, heights: Sequence[int], side: int | None) -> Iterator[Written]:
    """Each kind, height and ground equally often; fonts, places, slants up to 8 degrees and colours by chance."""
    rng = np.random.default_rng(3)
    kinds = sorted(CONTACTS)
    for number in range(count):
        kind = kinds[number % 4]
        letter_px, ground = heights[number // 4 % len(heights)], GROUNDS[number // 4 // len(heights) % len(GROUNDS)]
        for _ in range(20):  # until it fits; an IBAN in large letters rarely does
            photo, words = photos[rng.integers(len(photos))], _words(kind, rng)
            photo = _scaled(photo, side) if side else photo
            pixels = _with_text(photo, words, FONTS[rng.integers(len(FONTS))], letter_px, ground, rng)
            if pixels is not None:
                yield Written(pixels, kind, letter_px, ground)
                break


def _words(kind: str, rng: np.random.Generator) -> str:
    """A valid address or number of the kind."""
    while True:
        words = str(_tried(kind, rng))
        if [match.kind for match in contacts.find(words)] == [kind]:
            return words


def _tried(kind: str, rng: np.random.Generator) -> str:
    def digits(count: int) -> str:
        return "".join(map(str, rng.integers(0, 10, count)))

    if kind == "e_mail":
        name = rng.choice(["anna", "jan.kowalski", "m.rossi", "sales", "k_mueller", "lena92", "info", "j.smith", "olga-p"])
        return f"{name}@{rng.choice(['gmail.com', 'web.de', 'yahoo.fr', 'example.org', 'mail.ru', 'firma-nord.de', 'outlook.com'])}"
    if kind == "phone":
        forms = [
            "+49 30 #### ####",
            "0151 2#######",
            "+7 9## ###-##-##",
            "(212) 5##-####",
            "020 7946 0###",
            "+33 6 ## ## ## ##",
            "06########",
        ]
        return "".join(digits(1) if character == "#" else character for character in rng.choice(forms))
    if kind == "iban":
        country, bban = [
            ("DE", digits(18)),
            ("GB", "NWBK" + digits(14)),
            ("NL", "ABNA" + digits(10)),
            ("PL", digits(24)),
            ("ES", digits(20)),
        ][rng.integers(5)]
        iban = f"{country}{98 - int(''.join(str(int(c, 36)) for c in bban + country + '00')) % 97:02d}{bban}"
        return " ".join(iban[at : at + 4] for at in range(0, len(iban), 4)) if rng.random() < 0.7 else iban
    number, groups = [
        ("4" + digits(15), (4, 4, 4, 4)),
        (f"5{rng.integers(1, 6)}" + digits(14), (4, 4, 4, 4)),
        ("37" + digits(13), (4, 6, 5)),
    ][rng.integers(3)]
    ends = np.cumsum(groups)
    return str(rng.choice([" ", "-", ""])).join(number[end - group : end] for end, group in zip(ends, groups, strict=True))


def _with_text(photo: Pixels, words: str, font: str | int, letter_px: int, ground: str, rng: np.random.Generator) -> Pixels | None:
    fine = 4  # drawn so much larger, then scaled
    ink = _ink(words, font, letter_px * fine)
    ink = cv2.copyMakeBorder(ink, *[int(letter_px * fine * 0.6)] * 4, cv2.BORDER_CONSTANT)
    height, width = ink.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-8, 8), 1 / fine)
    out_width = int(height * abs(turn[0, 1]) + width * abs(turn[0, 0])) + 2
    out_height = int(height * abs(turn[0, 0]) + width * abs(turn[0, 1])) + 2
    if out_width > photo.shape[1] - 4 or out_height > photo.shape[0] - 4:
        return None
    turn[:, 2] += out_width / 2 - width / 2, out_height / 2 - height / 2
    left, top = int(rng.integers(2, photo.shape[1] - out_width - 1)), int(rng.integers(2, photo.shape[0] - out_height - 1))
    ink, paper = (
        cv2.warpAffine(cv2.GaussianBlur(layer, (0, 0), 0.35 * fine), turn, (out_width, out_height)).astype(np.float32)[..., None] / 255
        for layer in (ink, np.full_like(ink, 255))
    )
    out = photo.copy()
    place = out[top : top + out_height, left : left + out_width].astype(np.float32)
    if ground == "paper":
        place = place * (1 - paper) + rng.uniform(200, 250, 3) * paper
        colour = rng.uniform(0, 70, 3)
    else:
        mean, step = place.mean(), float(ground.split()[1])
        is_lighter = mean + step <= 255 and (mean < step or rng.random() < 0.5)
        colour = np.full(3, np.clip(mean + step if is_lighter else mean - step, 0, 255))
    out[top : top + out_height, left : left + out_width] = np.clip(place * (1 - ink) + colour * ink, 0, 255)
    return _stored(out)


def _ink(words: str, font: str | int, letter_px: float) -> Pixels:
    """The words as a mask with capitals of that height, in a font that Pillow or OpenCV carries."""
    if isinstance(font, int):
        scale, thick = letter_px / 21, max(1, round(letter_px * 0.08))
        (width, height), base = cv2.getTextSize(words, font, scale, thick)
        mask = np.zeros((height + base + 4 * thick, width + 4 * thick), np.uint8)
        return np.asarray(cv2.putText(mask, words, (2 * thick, height + 2 * thick), font, scale, 255, thick, cv2.LINE_AA), dtype=np.uint8)
    capital = ImageFont.load_default(400).getbbox("H")
    face, stroke = ImageFont.load_default(letter_px * 400 / (capital[3] - capital[1])), round(letter_px * 0.04) if "bold" in font else 0
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), words, face, stroke_width=stroke)
    image = Image.new("L", (round(right - left), round(bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), words, 255, face, stroke_width=stroke)
    return np.asarray(image)


def finding_plates(names: list[str], photos: list[Pixels], count: int) -> None:
    rng = np.random.default_rng(0)
    print(f"\nplates: recall of drawn European plates, {count} a width")
    for width in PLATE_PX:
        hits = 0
        for _ in range(count):
            pixels, box = _with_plate(photos[rng.integers(len(photos))], width, rng)
            hits += _is_hit(plates(pixels), box)
        print(f"    {width:3d} px: {hits / count:.2f}")
    some = photos[::3]
    print(f"  false alarms in {sum(bool(plates(photo)) for photo in some)} of {len(some)} garment photos")


def _with_plate(photo: Pixels, width: int, rng: np.random.Generator) -> tuple[Pixels, Box]:
    plate = _plate(width, rng)
    height = plate.shape[0]
    size = width + 10, height + int(width * 0.2) + 6
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-6, 6), 1)
    turn[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    mask = cv2.warpAffine(np.full((height, width), 255, np.uint8), turn, size).astype(np.float32)[..., None] / 255
    left, top = int(rng.integers(0, photo.shape[1] - size[0])), int(rng.integers(0, photo.shape[0] - size[1]))
    out = photo.copy()
    place = out[top : top + size[1], left : left + size[0]]
    place[:] = cv2.warpAffine(plate, turn, size) * rng.uniform(0.6, 0.95) * mask + place * (1 - mask)
    return _stored(out), (left, top, *size)


def _plate(width: int, rng: np.random.Generator) -> Pixels:
    w, h = width * 4, round(width * 4 / 4.6)
    image = Image.new("RGB", (w, h), "white" if rng.random() < 0.8 else (250, 210, 40))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, w - 1, h - 1), outline="black", width=max(2, h // 28))
    start = w // 50
    if rng.random() < 0.6:  # the blue field
        draw.rectangle((h // 20, h // 20, w // 10, h - h // 20), fill=(20, 60, 160))
        start = w // 10
    words = "".join(
        str(rng.integers(10)) if c == "9" else rng.choice(list("ABCDEFGHJKLMNPRSTUVWXYZ")) if c == "A" else c
        for c in rng.choice(["AA AA 9999", "A 999 AA 99", "AA 999 AA", "AAA 9999"])
    )
    ink = Image.fromarray(_ink(words, "Pillow bold", h * 0.55))
    ink = ink.resize((min(int((w - start) * 0.92), ink.width), int(h * 0.62)))
    image.paste((10, 10, 10), (start + (w - start - ink.width) // 2, (h - ink.height) // 2), ink)
    return np.asarray(image.resize((width, round(width / 4.6)), Image.Resampling.BOX))


def _drawn(seed: int) -> Pixels:
    return np.asarray(room((400, 533), 400.0, np.random.default_rng(seed)).convert("RGB"))


def _scaled(pixels: Pixels, side_px: int) -> Pixels:
    scale = side_px / max(pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _jpeg(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _stored(pixels: Pixels) -> Pixels:
    """As it comes back from a JPEG."""
    return np.asarray(decode(_jpeg(pixels)).pixels)


if __name__ == "__main__":
    main()
