"""Make-believe image vendors: deliveries with a known share of everything that goes wrong in real ones.

Nothing here is a person's photo. What is true of each picture is returned, never written into the delivery.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from dataops_assets.simulate import dresses
from dataops_assets.spec import ProjectSpec

WRONG_LICENSE = "all-rights-reserved"
NOTE = b"Dear team, pictures of the new season enclosed. Kind regards.\n"
SECOND_SHOT = 0.15  # share of pictures that show the product of the one before


@dataclass(frozen=True)
class Spoil:
    """What is wrong with a delivery: shares of its pictures, and counts.

    A share is rounded to whole pictures. Duplicates copy a good picture of the same delivery. With the defaults, from 40
    pictures up, at most a tenth of the files is refused or a copy: what a project's default gate lets pass.
    """

    blurred: float = 0.05
    dark: float = 0.04
    truncated: float = 0.02
    exact_duplicate: float = 0.03
    near_duplicate: float = 0.04
    wrong_license: int = 1
    text_files: int = 1

    @property
    def shares(self) -> Mapping[str, float]:
        names = ("blurred", "dark", "truncated", "exact_duplicate", "near_duplicate")
        return {name: getattr(self, name) for name in names}


CLEAN = Spoil(0, 0, 0, 0, 0, 0, 0)
BAD = Spoil(blurred=0.45, dark=0.30, truncated=0, exact_duplicate=0, near_duplicate=0, wrong_license=0, text_files=0)


def deliver(spec: ProjectSpec, folder: Path, vendor: str, n: int, seed: int, spoil: Spoil = Spoil()) -> pd.DataFrame:
    """Write one delivery of `n` pictures: manifest, JPEGs with neutral names, `_COMPLETE`.

    Args:
        spec: Its ontology says what to draw, its vendor section price, licence and consent.
        folder: The drop, normally `landing/<project>/<vendor>/<drop>`; one that ends in .zip becomes an archive.
        vendor: Name in the spec and in the manifest.
        n: Picture files, spoilt ones included.
        seed: The same arguments give the same bytes.
        spoil: What goes wrong.

    Returns:
        The truth, one row a picture: `image_id` (sha256 of the file), `path`, `spoil` (kind, or null), `copy_of`
        (path), `license`, `group`, and a column an attribute. Keep it outside landing.

    Raises:
        ValueError: for a vendor the spec doesn't have, or more spoilt pictures than pictures.
        FileExistsError: when the drop is there already.
    """
    terms = spec.sources.vendor(vendor)
    if terms is None:
        raise ValueError(f"{spec.name} has no image vendor {vendor!r}; it has {', '.join(v.name for v in spec.sources.vendors)}")
    if folder.exists():
        raise FileExistsError(f"{folder} is there already: a delivery is written once")
    rows, files = _pictures(spec, n, seed, spoil)
    rng = np.random.default_rng((seed, 11))
    good = [index for index, row in enumerate(rows) if row["spoil"] is None]
    for index in sorted(int(i) for i in rng.permutation(good)[: spoil.wrong_license]):
        rows[index] |= {"license": WRONG_LICENSE, "spoil": "wrong_license"}
    entries = []
    for row, data in zip(rows, files, strict=True):
        row["license"] = row.get("license") or terms.license
        entries.append({
            "path": row["path"], "sha256": row["image_id"], "bytes": len(data), "category": terms.category or "dress",
            "license": row["license"], "consent": terms.consent, "price": terms.price_per_image, "group": row["group"],
        })  # fmt: skip
    notes = {f"notes_{number + 1}.txt": NOTE + b"%d\n" % number for number in range(spoil.text_files)}
    entries += [{"path": path, "sha256": _sha256(data), "bytes": len(data)} for path, data in notes.items()]
    drop = folder.stem if folder.suffix == ".zip" else folder.name
    # null where the spec leaves a term open: the intake then falls back to the vendor's own
    listed = [{key: value for key, value in entry.items() if value is not None} for entry in entries]
    manifest = json.dumps({"schema_version": 1, "vendor": vendor, "drop_id": drop, "files": listed}, indent=1).encode()
    contents = dict(zip((str(row["path"]) for row in rows), files, strict=True)) | notes | {"manifest.json": manifest}
    _write_zip(folder, contents) if folder.suffix == ".zip" else _write_folder(folder, contents)
    names = [attribute.name for attribute in spec.ontology.attributes]
    return pd.DataFrame(rows, columns=["image_id", "path", "spoil", "copy_of", "license", "group", *names])


def bad_drop(spec: ProjectSpec, folder: Path, vendor: str, n: int, seed: int) -> pd.DataFrame:
    """A delivery whose files are sound and of which three quarters are blurred or dark: cleaning rejects it."""
    return deliver(spec, folder, vendor, n, seed, BAD)


def _pictures(spec: ProjectSpec, n: int, seed: int, spoil: Spoil) -> tuple[list[dict[str, str | None]], list[bytes]]:
    rng = np.random.default_rng((seed, 12))
    kinds: list[str | None] = [kind for kind, share in spoil.shares.items() for _ in range(round(share * n))]
    if len(kinds) > n:
        raise ValueError(f"{len(kinds)} spoilt pictures don't fit into {n}")
    kinds += [None] * (n - len(kinds))
    kinds = [kinds[index] for index in rng.permutation(n)]
    sources = [index for index, kind in enumerate(kinds) if kind is None]
    first = int(rng.integers(1000, 8000))
    rows: list[dict[str, str | None]] = []
    files: list[bytes] = []
    product = 0
    for index, (attributes, picture_seed) in enumerate(dresses.specimens(n, seed, spec)):
        again = index > 0 and kinds[index] is None and kinds[index - 1] is None and rng.random() < SECOND_SHOT
        product += not again
        names = {name: rows[-1][name] for name in attributes} if again else dict(attributes)
        files.append(_jpeg(dresses.draw({key: str(value) for key, value in names.items()}, picture_seed)))
        rows.append(
            {"path": f"img_{first + index:05d}.jpg", "spoil": kinds[index], "copy_of": None, "group": f"product-{product:04d}", **names}
        )
    for index, kind in enumerate(kinds):
        if kind in ("exact_duplicate", "near_duplicate"):
            if not sources:
                raise ValueError("a duplicate needs a good picture to copy; lower the other shares")
            source = sources[int(rng.integers(len(sources)))]
            rows[index] = rows[source] | {"path": rows[index]["path"], "spoil": kind, "copy_of": rows[source]["path"]}
            files[index] = files[source] if kind == "exact_duplicate" else _retouch(files[source], rng)
        elif kind is not None:
            files[index] = _spoilt(files[index], kind, rng)
    for row, data in zip(rows, files, strict=True):
        row["image_id"] = _sha256(data)
    return rows, files


def _spoilt(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    if kind == "truncated":
        return data[: int(len(data) * rng.uniform(0.3, 0.7))]
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    if kind == "blurred":
        return _jpeg(picture.filter(ImageFilter.GaussianBlur(rng.uniform(6, 9))))
    gain = rng.uniform(0.05, 0.09)
    return _jpeg(picture.point(lambda level: round(level * gain)))


def _retouch(data: bytes, rng: np.random.Generator) -> bytes:
    """What makes a near duplicate in real deliveries: saved again, resized, or cropped by a hair."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    way, (width, height) = int(rng.integers(3)), picture.size
    if way == 0:
        return _jpeg(picture, 62)
    if way == 1:
        return _jpeg(picture.resize((width * 4 // 5, height * 4 // 5), Image.Resampling.LANCZOS), 85)
    left, top = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    return _jpeg(picture.crop((left, top, width - 4 + left, height - 4 + top)), 88)


def _jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / "_COMPLETE").touch()  # last: it says that the rest is there


def _write_zip(path: Path, contents: Mapping[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, data in contents.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data)
    temporary.rename(path)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
