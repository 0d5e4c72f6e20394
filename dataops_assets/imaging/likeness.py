"""Embeddings of a project's pictures and of its reference pictures, and where they are kept."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dataops_assets import atomic
from dataops_assets.imaging.decode import Pixels, decode, shrink

if TYPE_CHECKING:
    from dataops_assets.imaging.embedding import Embedder
    from dataops_assets.imaging.relevance import References

WORKING_SIDE_PX = 512
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Model:
    """Which model embeds: an ONNX file or the built-in one, and the folder where that is built."""

    cache: str
    path: str | None = None
    mean_rgb: tuple[float, ...] = (123.675, 116.28, 103.53)
    std_rgb: tuple[float, ...] = (58.395, 57.12, 57.375)
    output: str | None = None


@dataclass(frozen=True)
class Compared:
    """What a drop's pictures are compared with; `digest` names model and reference pictures."""

    model: Model
    references: References
    digest: str


@cache
def embedder(model: Model) -> Embedder:
    """The model, loaded once a process."""
    from dataops_assets.imaging.embedding import Embedder, Preprocessing

    chosen = Preprocessing((*model.mean_rgb,), (*model.std_rgb,))  # type: ignore[arg-type]  # three each
    return Embedder.open(Path(model.path) if model.path else None, Path(model.cache), preprocessing=chosen, output=model.output)


def embed(pixels: Pixels, model: Model) -> str:
    """The embedding as text: base64 of float16, which holds it without loss."""
    row = embedder(model).embed([shrink(pixels, WORKING_SIDE_PX)])[0]
    return base64.b64encode(row.astype(np.float16).tobytes()).decode()


def rows_of(texts: list[str]) -> np.ndarray:
    """Embeddings from their texts, (n, d) float32."""
    return np.stack([np.frombuffer(base64.b64decode(text), dtype=np.float16) for text in texts]).astype(np.float32)


def compare_with(folder: Path, wanted: tuple[str, ...], model: Model) -> Compared:
    """Read the reference pictures, `<class>/*.jpg`, and embed them; their embeddings are kept in the model's folder.

    Raises:
        ReferencesError: when the folder can't be used, in a sentence that says why.
    """
    from dataops_assets.imaging.relevance import ReferencesError, refer

    files = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise ReferencesError(f"{folder} holds no reference pictures: put some into a folder a class, <class>/*.jpg")
    contents = [path.read_bytes() for path in files]
    sha = hashlib.sha256(embedder(model).digest.encode())
    for path, data in zip(files, contents, strict=True):
        sha.update(f"\0{path.parent.name}\0{hashlib.sha256(data).hexdigest()}".encode())
    digest = sha.hexdigest()[:16]
    kept = Path(model.cache) / f"references-{digest}.npy"
    if kept.exists():
        rows = np.load(kept)
    else:
        pictures = []
        for path, data in zip(files, contents, strict=True):
            pixels = decode(data).pixels
            if pixels is None:
                raise ReferencesError(f"{path} is no picture that can be read; take it out")
            pictures.append(shrink(pixels, WORKING_SIDE_PX))
        rows = embedder(model).embed(pictures)
        with open(atomic.temporary_in(kept.parent / "tmp"), "wb") as file:
            np.save(file, rows)
        atomic.rename(file.name, str(kept))
    return Compared(model, refer(rows, [path.parent.name for path in files], wanted or None), digest)
