"""Bare decoding, to measure against: a module of its own, so that workers find it."""

from __future__ import annotations

import simplejpeg

from dataops_assets.blobs import Blobs
from dataops_assets.imaging.view import WORKING_SIDE_PX


def decode_bare(blobs: Blobs, sha256: str) -> None:
    """Decode at the scale at which pictures are measured, and do nothing with it."""
    data = blobs.read(sha256)
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    part = next(part for part in (8, 4, 2, 1) if max(height, width) >= part * WORKING_SIDE_PX or part == 1)
    simplejpeg.decode_jpeg(data, min_height=-(-height // part), min_width=-(-width // part))
