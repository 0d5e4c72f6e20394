"""Real photos with labelled faces."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SHARED


@pytest.fixture(scope="session")
def faces_folder() -> Path:
    folder = SHARED / "pii" / "faces"
    if not folder.is_dir():
        pytest.skip(f"needs the real test data, which is not at {SHARED}")
    return folder
