"""Embeddings: the rebuilt model computes what its weights say, the same each time; other models fit or say why not."""

from __future__ import annotations

import os
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from dataops_assets.imaging import embedding
from dataops_assets.imaging.decode import decode
from dataops_assets.imaging.embedding import Embedder, ModelError, Preprocessing, fit

SHARED = Path(os.environ.get("DATAOPS_SHARED", Path(__file__).parents[2].parent / "shared")) / "data"
ELEMENTS = {"float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def built(cache: Path) -> Embedder:
    return Embedder.open(None, cache)


def drawn(seed: int, height: int = 160, width: int = 120) -> np.ndarray:
    """Blobs of colour on a slope of colour."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    pixels = np.stack([255 * (x * a + y * b) for a, b in rng.uniform(0, 0.6, (3, 2))], axis=2)
    for _ in range(6):
        centre, radius, colour = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.3), rng.integers(0, 256, 3)
        pixels[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] = colour
    return pixels.astype(np.uint8)


def test_the_built_in_model_computes_what_its_weights_say(cache: Path) -> None:
    whole = Embedder.open(None, cache, preprocessing=Preprocessing(crop_share=1, side_px=96))
    pictures = [drawn(seed, 96, 96) for seed in range(3)]
    found, expected = whole.embed(pictures), [forward(pixels) for pixels in pictures]
    for row, vector in zip(found, expected, strict=True):
        assert row @ vector / np.linalg.norm(vector) > 0.97  # 8-bit numbers against float64
    assert max(found[0] @ found[1], found[0] @ found[2], found[1] @ found[2]) < 0.9


def forward(pixels: np.ndarray) -> np.ndarray:
    """EfficientNet-Lite0 in plain numpy, straight from the weights: neither folded nor quantised, no ONNX."""
    weights = {name: value.astype(np.float64) for name, value in embedding.read_weights().items()}

    def convolve(flow: np.ndarray, name: str, norm: str, stride: int = 1, is_bounded: bool = True) -> np.ndarray:
        kernel = weights[f"{name}.weight"]
        size = kernel.shape[2]
        pad = max((-(-flow.shape[1] // stride) - 1) * stride + size - flow.shape[1], 0)
        padded = np.pad(flow, ((0, 0), (pad // 2, pad - pad // 2), (pad // 2, pad - pad // 2)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
        if kernel.shape[1] == 1:
            result = np.einsum("chwij,cij->chw", windows, kernel[:, 0])
        else:
            result = np.tensordot(kernel, windows, axes=([1, 2, 3], [0, 3, 4]))
        gamma, beta, mean, variance = (weights[f"{norm}.{part}"][:, None, None] for part in embedding.NORM_PARTS)
        result = (result - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        return result.clip(0, 6) if is_bounded else result

    flow = convolve((pixels.transpose(2, 0, 1) - 127.0) / 128, "_conv_stem", "_bn0", 2)
    for number, stride in enumerate([1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]):
        name, entry = f"_blocks.{number}", flow
        if number:
            flow = convolve(flow, f"{name}._expand_conv", f"{name}._bn0")
        flow = convolve(flow, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        flow = convolve(flow, f"{name}._project_conv", f"{name}._bn2", is_bounded=False)
        if flow.shape == entry.shape:
            flow = flow + entry
    return convolve(flow, "_conv_head", "_bn1").mean(axis=(1, 2))


def test_neighbours_are_of_the_same_class(built: Embedder) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"needs the real photos, which are not at {SHARED}")
    paths = [path for name in ("dress", "hat", "pants", "shoes") for path in sorted((SHARED / "clothing" / name).glob("*.jpg"))[:25]]
    rows = built.embed([decode(path.read_bytes()).pixels for path in paths])
    labels = np.array([path.parent.name for path in paths])
    cosines = rows @ rows.T
    np.fill_diagonal(cosines, -1)
    votes = [labels[order[:5]] for order in np.argsort(-cosines, axis=1)]
    right = [max(set(vote), key=list(vote).count) == label for vote, label in zip(votes, labels, strict=True)]
    assert np.mean(right) > 0.9


def test_a_picture_has_the_same_numbers_whatever_its_company(built: Embedder, cache: Path) -> None:
    pictures = [drawn(seed) for seed in range(4)]
    rows = built.embed(pictures)
    assert np.array_equal(built.embed(pictures[::-1])[::-1], rows)
    again = Embedder.open(None, cache)
    assert again.digest == built.digest
    assert np.array_equal(again.embed(pictures[2:3])[0], rows[2])


def test_embeddings_have_length_one_and_lose_nothing_as_float16(built: Embedder) -> None:
    rows = built.embed([drawn(seed) for seed in range(3)])
    assert rows.shape == (3, built.dimensions) == (3, 1280) and rows.dtype == np.float32
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 5e-4
    assert np.array_equal(rows.astype(np.float16).astype(np.float32), rows)
    assert built.embed([]).shape == (0, 1280)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (5, 7), (2000, 90)])
def test_any_shape_of_picture_is_embedded(built: Embedder, shape: tuple[int, int]) -> None:
    assert np.isclose(np.linalg.norm(built.embed([np.full((*shape, 3), 90, np.uint8)])), 1, atol=1e-3)


def test_the_model_sees_the_middle() -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[10:90, 110:190] = 200  # the central 80 x 80
    assert (fit(pixels, 32, 32, 0.8) == 200).all()
    assert fit(pixels, 32, 32, 1.0)[0, 0, 0] == 0
    assert fit(pixels, 20, 60, 1.0).shape == (20, 60, 3)
    assert (fit(pixels, 20, 60, 1.0)[:, :20] == 0).all()


def test_the_model_is_built_once_and_always_the_same(cache: Path, built: Embedder) -> None:
    (path,) = cache.glob("*.onnx")
    before = path.stat()
    assert embedding.built_in(cache) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.read_bytes() == embedding.build()
    assert not list((cache / "tmp").iterdir())


def test_weights_that_are_missing_or_others_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch, pytest.raises(ModelError, match="needs the package no-such-weights"):
        patch.setattr(embedding, "WEIGHTS", ("no_such_weights", "models/x.pth"))
        embedding.built_in(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(ModelError, match=r"isn't the file of version 0\.1\.0"):
        patch.setattr(embedding, "WEIGHTS_SHA256", "0" * 64)
        embedding.built_in(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_of_weights_makes_nothing_but_arrays() -> None:
    with pytest.raises(pickle.UnpicklingError, match="has no place in a file of weights"):
        embedding._Unpickler(BytesIO(pickle.dumps(os.getcwd))).load()


def averaging(path: Path, element: str, shape: list[Any], *, inputs: int = 1, keeps_map: bool = False) -> Path:
    """A model that gives the mean colour of its picture, and twice that as a second output."""
    given = [helper.make_tensor_value_info(f"x{number}", ELEMENTS[element], shape) for number in range(inputs)]
    source = "x0"
    nodes = []
    if shape[-1] == 3:
        nodes.append(helper.make_node("Transpose", [source], ["first"], perm=[0, 3, 1, 2]))
        source = "first"
    nodes.append(helper.make_node("Cast", [source], ["wide"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Identity" if keeps_map else "GlobalAveragePool", ["wide"], ["mean"]))
    nodes.append(helper.make_node("Flatten", ["mean"], ["flat"]))
    nodes.append(helper.make_node("Concat", ["flat", "flat"], ["double"], axis=1))
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("mean", "double")][: 1 if keeps_map else 2]
    graph = helper.make_graph(nodes, "averaging", given, results)
    save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


@pytest.mark.parametrize("element", ["float", "float16", "uint8"])
@pytest.mark.parametrize(
    "shape",
    [["n", 3, 8, 12], ["n", 8, 12, 3], [1, 3, "height", "width"], [4, 3, 8, 8], [2, 16, 16, 3], [None, "h", "w", 3]],
    ids=str,
)
def test_models_of_every_layout_get_the_pictures_they_expect(tmp_path: Path, element: str, shape: list[Any]) -> None:
    model = averaging(tmp_path / "m.onnx", element, shape)
    scaling = Preprocessing((10, 20, 30), (50, 60, 70), side_px=24)
    opened = Embedder.open(model, tmp_path / "cache", preprocessing=scaling)
    colours = np.random.default_rng(0).integers(40, 256, (5, 3))
    rows = opened.embed([np.full((40, 60, 3), colour, np.uint8) for colour in colours])
    means = colours if element == "uint8" else (colours - [10, 20, 30]) / [50, 60, 70]
    np.testing.assert_allclose(rows, means / np.linalg.norm(means, axis=1, keepdims=True), atol=2e-3)
    assert opened.dimensions == 3
    assert not (tmp_path / "cache").exists()


def test_the_user_names_the_output_and_it_is_part_of_the_digest(tmp_path: Path) -> None:
    model = averaging(tmp_path / "m.onnx", "uint8", ["n", 8, 8, 3])
    first, second = Embedder.open(model, tmp_path), Embedder.open(model, tmp_path, output="double")
    assert (first.dimensions, second.dimensions) == (3, 6)
    cropped = Embedder.open(model, tmp_path, preprocessing=Preprocessing(crop_share=0.5))
    assert len({first.digest, second.digest, cropped.digest}) == 3


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"element": "int64", "shape": ["n", 3, 8, 8]}, r"input 'x0' is tensor\(int64\).*; expected tensor\(float\)"),
        ({"element": "float", "shape": ["n", 3, 8]}, r"shape \['n', 3, 8\]; expected \(n, 3, height, width\)"),
        ({"element": "float", "shape": ["n", "c", 8, 8]}, r"expected \(n, 3, height, width\) or \(n, height, width, 3\)"),
        ({"element": "float", "shape": ["n", 1, 8, 8]}, "expected"),
        ({"element": "float", "shape": ["n", 3, 8, 8], "inputs": 2}, "has the inputs x0, x1; expected one, a picture"),
        (
            {"element": "float", "shape": ["n", 3, 8, 8], "keeps_map": True},
            r"output 'mean' has the shape \(1, 3, 8, 8\); expected a vector",
        ),
    ],
    ids=str,
)
def test_a_model_that_does_not_fit_says_what_was_expected(tmp_path: Path, made: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        Embedder.open(averaging(tmp_path / "m.onnx", **made), tmp_path)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model at"):
        Embedder.open(tmp_path / "missing.onnx", tmp_path)
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelError, match=r"is no ONNX model that onnxruntime .* can load"):
        Embedder.open(tmp_path / "text.onnx", tmp_path)
    with pytest.raises(ModelError, match="has no output 'x'; it has mean, double"):
        Embedder.open(averaging(tmp_path / "m.onnx", "float", ["n", 3, 8, 8]), tmp_path, output="x")


def test_what_is_not_a_number_is_like_nothing(tmp_path: Path) -> None:
    given = helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 8, 8, 3])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 192])
    cast = helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT)
    nodes = [cast, helper.make_node("Flatten", ["wide"], ["flat"]), helper.make_node("Reciprocal", ["flat"], ["y"])]
    graph = helper.make_graph(nodes, "reciprocal", [given], [result])
    save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    rows = Embedder.open(tmp_path / "m.onnx", tmp_path).embed([np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 9, np.uint8)])
    assert (rows[0] == 0).all()
    assert np.isclose(np.linalg.norm(rows[1]), 1, atol=1e-3)
