import shutil
import subprocess
from pathlib import Path

import pytest

from dataops_assets.exports import checksums


def test_an_untouched_delivery_verifies_here_and_with_coreutils(delivered: Path) -> None:
    assert checksums.verify(delivered) == []
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("sha256sum is not installed")
    assert subprocess.run([tool, "--check", "--quiet", checksums.NAME], cwd=delivered, capture_output=True).returncode == 0


def test_every_kind_of_change_is_named(delivered: Path, tmp_path: Path) -> None:
    copy = tmp_path / "r1"
    shutil.copytree(delivered, copy)
    (copy / "labels.csv").write_text("changed")
    (copy / "left_out.csv").unlink()
    (copy / "extra.txt").touch()
    assert checksums.verify(copy) == [
        "r1/extra.txt is not part of the delivery",
        "r1/labels.csv was changed after delivery",
        "r1/left_out.csv is missing",
    ]
    (copy / checksums.NAME).unlink()
    assert "nothing can be checked" in checksums.verify(copy)[0]
    assert "is not there" in checksums.verify(tmp_path / "r2")[0]
