from pathlib import Path

import cv2
import numpy as np
import pytest

from dataops_assets.projects import load_project
from dataops_assets.simulate import dresses
from dataops_assets.spec import ProjectSpec

SPEC: ProjectSpec = load_project(Path(__file__).parents[2] / "dataops_assets/defs/dresses/defs.yaml")
BASE = {name: values[0] for name, values in dresses.KNOWN.items()}
CHANGES = [(name, value) for name, values in dresses.KNOWN.items() for value in values[1:]]


@pytest.mark.parametrize(("attribute", "value"), CHANGES)
def test_each_value_shows(attribute: str, value: str) -> None:
    for colour in ({"black", "white"} - {value}) if attribute == "colour" else ("black", "white"):
        before = dresses.draw(BASE | {"colour": colour}, 1)
        after = dresses.draw(BASE | {"colour": colour, attribute: value}, 1)
        difference = np.abs(np.asarray(before, int) - np.asarray(after, int)).max(axis=2)
        assert (difference > 40).mean() > 0.002, colour


def test_the_same_arguments_give_the_same_picture() -> None:
    first, again, other = (dresses.draw(BASE, seed).tobytes() for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert dresses.draw(BASE, 5, (90, 120)).size == (90, 120)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="hemline 'ankle'"):
        dresses.draw({"hemline": "ankle"}, 1)


def test_specimens_are_balanced_and_reproducible() -> None:
    drawn = dresses.specimens(50, 3, SPEC)
    assert drawn == dresses.specimens(50, 3, SPEC)
    assert drawn != dresses.specimens(50, 4, SPEC)
    for attribute in SPEC.ontology.attributes:
        counts = [sum(look[attribute.name] == value for look, _ in drawn) for value in attribute.values]
        assert max(counts) - min(counts) <= 1


def test_an_ontology_that_cannot_be_drawn_is_named() -> None:
    garments = load_project(Path(__file__).parents[2] / "dataops_assets/defs/garments/defs.yaml")
    with pytest.raises(ValueError, match="can't draw category"):
        dresses.specimens(3, 1, garments)


def test_different_dresses_are_no_near_duplicates() -> None:
    hashes = []
    for attributes, seed in dresses.specimens(30, 9, SPEC):
        grey = np.asarray(dresses.draw(attributes, seed).convert("L").resize((32, 32)), np.float32)
        low = cv2.dct(grey)[:8, :8].ravel()
        hashes.append(low > np.median(low))
    apart = (np.array(hashes)[:, None] != np.array(hashes)[None]).sum(-1)[np.triu_indices(30, 1)]
    assert (apart <= 7).mean() < 0.001


def test_pictures_are_neither_dark_nor_glaring() -> None:
    for attributes, seed in dresses.specimens(12, 2, SPEC):
        level = np.asarray(dresses.draw(attributes, seed).convert("L"), float)
        assert 60 < level.mean() < 215
        assert level.std() > 20
