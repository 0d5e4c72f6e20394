"""Make-believe dress photos: drawn, so that the truth about every picture is known.

A figure is laid out in units of its own: x from the middle, y down from the base of the neck (0) over waist (0.5) and
knee (1.2) to the ankle (1.62). A pose maps units to pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from dataops_assets.simulate import backdrops
from dataops_assets.simulate.backdrops import Colour, hsv
from dataops_assets.spec import ProjectSpec

SCALE = 2  # drawn larger, then reduced: smooth edges
Point = tuple[float, float]

# hue, saturation, value: from one end of a colour's range to the other
COLOURS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "red": ((0.99, 0.86, 0.88), (0.965, 0.82, 0.56)),
    "blue": ((0.57, 0.60, 0.90), (0.63, 0.80, 0.52)),
    "green": ((0.40, 0.50, 0.74), (0.38, 0.78, 0.38)),
    "black": ((0.66, 0.12, 0.15), (0.05, 0.08, 0.10)),
    "white": ((0.10, 0.02, 0.985), (0.12, 0.10, 0.96)),
    "yellow": ((0.155, 0.66, 0.97), (0.125, 0.82, 0.84)),
}
HEMS = {"mini": 0.93, "knee": 1.23, "maxi": 1.60}
SLEEVES = {"sleeveless": 0.0, "short": 0.23, "long": 0.67}
NECKLINES = ("round", "v_neck", "square")
STYLES = ("casual", "evening", "work")
PATTERNS = ("plain", "striped", "dotted", "checked")
KNOWN = {
    "colour": tuple(COLOURS), "pattern": PATTERNS, "sleeve_length": tuple(SLEEVES),
    "neckline": NECKLINES, "hemline": tuple(HEMS), "style": STYLES,
}  # fmt: skip
BODIES: tuple[Colour, ...] = ((226, 205, 182), (196, 160, 124), (150, 146, 150), (238, 234, 228), (84, 80, 86))
NECK_HALF = 0.115


@dataclass(frozen=True)
class Pose:
    """Where a figure stands: pixels per unit, the neck's place, tilt and arm angle in radians."""

    unit: float
    x: float
    y: float
    tilt: float
    arm: float
    is_hung: bool

    def place(self, points: Sequence[Point]) -> list[Point]:
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        return [(self.x + self.unit * (x * cos - y * sin), self.y + self.unit * (x * sin + y * cos)) for x, y in points]


def specimens(n: int, seed: int, spec: ProjectSpec) -> list[tuple[dict[str, str], int]]:
    """`n` dresses to draw: every attribute's values equally often (by one at most), combined at random.

    Returns:
        (attributes, seed of the drawing) for each; the same n, seed and ontology give the same list.

    Raises:
        ValueError: when the ontology asks for something that can't be drawn.
    """
    rng = np.random.default_rng((seed, 1))
    columns: dict[str, list[str]] = {}
    for attribute in spec.ontology.attributes:
        unknown = [value for value in attribute.values if value not in KNOWN.get(attribute.name, ())]
        if unknown:
            raise ValueError(f"can't draw {attribute.name} {', '.join(unknown)}; simulate/dresses.py draws {KNOWN}")
        values = list(attribute.values)
        column = [values[index % len(values)] for index in range(n)]
        columns[attribute.name] = [column[index] for index in rng.permutation(n)]
    seeds = rng.integers(0, 2**31, n)
    return [({name: column[index] for name, column in columns.items()}, int(seeds[index])) for index in range(n)]


def draw(attributes: Mapping[str, str], seed: int, size: tuple[int, int] = (360, 480)) -> Image.Image:
    """One dress on a mannequin or a hanger, in a room of its own.

    Args:
        attributes: colour, pattern, sleeve_length, neckline, hemline, style; one left out gets its first value.
        seed: Draws room, light, pose and shades; the same seed with another attribute keeps them.
        size: Width and height in px.

    Raises:
        ValueError: for a value that can't be drawn.
    """
    look = {name: attributes.get(name, values[0]) for name, values in KNOWN.items()}
    for name, value in look.items():
        if value not in KNOWN[name]:
            raise ValueError(f"can't draw {name} {value!r}; known are {', '.join(KNOWN[name])}")
    width, height = size[0] * SCALE, size[1] * SCALE
    pose = _pose(width, height, np.random.default_rng((seed, 2)))
    floor_y = pose.y + pose.unit * 1.66
    picture = backdrops.room((width, height), floor_y, np.random.default_rng((seed, 3)))
    rng = np.random.default_rng((seed, 4))
    near, far = COLOURS[look["colour"]]
    share = rng.random()
    fabric = hsv(*(a + (b - a) * share for a, b in zip(near, far, strict=True)))
    dress = _silhouette(look, pose)
    sleeves = _sleeves(look, pose)
    mask = _mask(picture.size, [dress, *sleeves])
    figure = mask
    if not pose.is_hung:
        figure = ImageChops.lighter(mask, _mask(picture.size, [shape for shape, _ in _body(pose)]))
    side = int(rng.choice((-1, 1)))
    shadow = (round(side * width * rng.uniform(0.02, 0.07)), round(height * rng.uniform(0.01, 0.03)))
    backdrops.cast(picture, figure, shadow, rng.uniform(0.35, 0.6))
    if pose.is_hung:
        _draw_hanger(picture, pose, fabric, look["neckline"])
    else:
        _draw_body(picture, pose, _contrast(BODIES, fabric, rng))
    cloth = _cloth(picture.size, look, fabric, pose, rng)
    picture.paste(_shade(cloth, mask, pose, look, rng), (0, 0), mask)
    _draw_details(picture, look, fabric, pose, dress, sleeves)
    reduced = picture.resize(size, Image.Resampling.LANCZOS)
    return backdrops.light(reduced, np.random.default_rng((seed, 5)))


def _pose(width: int, height: int, rng: np.random.Generator) -> Pose:
    unit = height * rng.uniform(0.40, 0.515)
    slack = height - unit * 2.0
    return Pose(
        unit=unit,
        x=width * (0.5 + rng.uniform(-0.13, 0.13)),
        y=unit * 0.21 + slack * rng.uniform(0.1, 1.0),
        tilt=rng.uniform(-0.07, 0.07),
        arm=rng.uniform(0.14, 0.42),
        is_hung=bool(rng.random() < 0.35),
    )


def _widths(look: Mapping[str, str]) -> list[Point]:
    """(y, half width) of the dress below the arms, to the hem."""
    hem = HEMS[look["hemline"]]
    if look["style"] == "casual":
        return [(0.24, 0.265), (0.5, 0.275), (0.78, 0.315), (hem, 0.30 + 0.05 * hem)]
    if look["style"] == "work":
        return [(0.24, 0.25), (0.5, 0.178), (0.74, 0.275), (hem, 0.27 - 0.075 * (hem - 0.74) / 0.5)]
    flare = 0.19 + 0.33 * (1 - math.exp(-(hem - 0.5) * 2.6))
    return [(0.24, 0.245), (0.5, 0.165), (0.5 + (hem - 0.5) * 0.4, 0.165 + flare * 0.52), (hem, 0.165 + flare)]


def _curve(knots: Sequence[Point], steps: int = 14) -> list[Point]:
    """A smooth line through the knots (Catmull-Rom)."""
    points = [knots[0], *knots, knots[-1]]
    result = []
    for a, b, c, d in zip(points, points[1:], points[2:], points[3:], strict=False):
        for t in np.linspace(0, 1, steps, endpoint=False):
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
            result.append(tuple(sum(w * p[axis] for w, p in zip(weights, (a, b, c, d), strict=True)) / 2 for axis in (0, 1)))
    return [(float(x), float(y)) for x, y in [*result, knots[-1]]]


def _opening(neckline: str) -> list[Point]:
    """The neckline from left to right."""
    half = NECK_HALF
    if neckline == "v_neck":
        return [(-half, 0.0), (0.0, 0.33), (half, 0.0)]
    if neckline == "square":
        return [(-half - 0.025, 0.0), (-half - 0.02, 0.19), (half + 0.02, 0.19), (half + 0.025, 0.0)]
    return [(half * 1.1 * math.sin(angle), 0.15 * math.cos(angle)) for angle in np.linspace(-math.pi / 2, math.pi / 2, 24)]


def _silhouette(look: Mapping[str, str], pose: Pose) -> list[Point]:
    side = [(x, y) for y, x in _curve(_widths(look))]
    if look["sleeve_length"] == "sleeveless":
        armhole = _curve([(0.185, 0.035), (0.168, 0.13), (0.20, 0.21), side[0]], 6)
    else:
        armhole = [(0.25, 0.055), (0.272, 0.10), (0.262, 0.2)]
    right = [*armhole, *side]
    hem, last = [], side[-1]
    waves = 5 if look["style"] == "evening" else 1
    for t in np.linspace(1, -1, 40)[1:-1]:
        drop = 0.022 * (1 - t * t) + (0.014 * math.sin(t * waves * math.pi) if waves > 1 else 0)
        hem.append((last[0] * t, last[1] + drop))
    left = [(-x, y) for x, y in reversed(right)]
    return pose.place([*right, *hem, *left, *_opening(look["neckline"])])


def _limb(pose: Pose, side: int, start: float, end: float, wide: float, narrow: float) -> list[Point]:
    """A strip along the arm, round above, from `start` to `end` units below the shoulder."""
    direction = (math.sin(pose.arm) * side, math.cos(pose.arm))
    across = (math.cos(pose.arm) * side, -math.sin(pose.arm))
    shoulder = (0.215 * side, 0.075)
    cap = [(start - 0.6 * wide * math.cos(angle), wide * math.sin(angle)) for angle in np.linspace(-math.pi / 2, math.pi / 2, 12)]
    strip = [*cap, (end, narrow), (end, -narrow)]
    return [(shoulder[0] + direction[0] * t + across[0] * s, shoulder[1] + direction[1] * t + across[1] * s) for t, s in strip]


def _sleeves(look: Mapping[str, str], pose: Pose) -> list[list[Point]]:
    length = SLEEVES[look["sleeve_length"]]
    if not length:
        return []
    narrow = 0.088 if length < 0.4 else 0.062
    return [pose.place(_limb(pose, side, 0.03, length, 0.076, narrow)) for side in (-1, 1)]


def _body(pose: Pose) -> list[tuple[list[Point], float]]:
    """Shapes of the mannequin and how bright each is."""
    torso = [(x, y) for y, x in _curve([(0.02, 0.13), (0.06, 0.235), (0.24, 0.215), (0.5, 0.16), (0.78, 0.235), (0.9, 0.22)])]
    shapes = [([*torso, *[(-x, y) for x, y in reversed(torso)]], 1.0)]
    neck = [(0.07, -0.17), (0.066, -0.05), (0.13, 0.03)]
    shapes.append(([*neck, *[(-x, y) for x, y in reversed(neck)]], 0.97))
    shapes.append(([(0.07 * math.cos(a), -0.17 + 0.02 * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 30)], 0.78))
    for side in (-1, 1):
        shapes.append((_limb(pose, side, 0.01, 0.33, 0.056, 0.046), 0.95))
        shapes.append((_limb(pose, side, 0.34, 0.66, 0.046, 0.032), 0.91))
        shapes.append((_limb(pose, side, 0.67, 0.79, 0.036, 0.020), 0.96))
        outer = [(x, y) for y, x in _curve([(0.84, 0.225), (1.0, 0.205), (1.2, 0.155), (1.34, 0.16), (1.6, 0.105)])]
        inner = [(x, y) for y, x in _curve([(0.84, 0.015), (1.0, 0.03), (1.2, 0.055), (1.34, 0.04), (1.6, 0.055)])]
        shapes.append(([(x * side, y) for x, y in [*outer, *reversed(inner)]], 0.94))
        shapes.append(([(side * x, y) for x, y in ((0.055, 1.58), (0.105, 1.58), (0.15, 1.69), (0.05, 1.69))], 0.86))
    return [(pose.place(shape), shade) for shape, shade in shapes]


def _draw_body(picture: Image.Image, pose: Pose, colour: Colour) -> None:
    brush = ImageDraw.Draw(picture)
    for shape, shade in _body(pose):
        brush.polygon(shape, fill=_dim(colour, shade))
        brush.line([*shape, shape[0]], fill=_dim(colour, 0.72), width=round(pose.unit * 0.006))
    for side in (-1, 1):  # knees, so that a hem has something to be measured by
        brush.line(
            pose.place([(side * 0.075, 1.205), (side * 0.105, 1.215), (side * 0.135, 1.205)]), fill=_dim(colour, 0.6), width=SCALE * 2
        )


def _draw_hanger(picture: Image.Image, pose: Pose, fabric: Colour, neckline: str) -> None:
    brush = ImageDraw.Draw(picture)
    back = [(-NECK_HALF - 0.03, 0.0), (0.0, 0.035), (NECK_HALF + 0.03, 0.0)]
    brush.polygon(pose.place([*back, *reversed(_opening(neckline))]), fill=_dim(fabric, 0.5) if sum(fabric) > 180 else (74, 72, 78))
    wood = (166, 120, 76)
    brush.line(pose.place([(-0.235, 0.075), (0.0, -0.03), (0.235, 0.075)]), fill=wood, width=round(pose.unit * 0.032), joint="curve")
    hook = [(0.045 * math.sin(a), -0.135 - 0.045 * math.cos(a)) for a in np.linspace(-1.9, math.pi, 26)]
    brush.line(pose.place([*hook, (0.0, -0.03)]), fill=(112, 112, 120), width=round(pose.unit * 0.016), joint="curve")
    brush.ellipse(_round(pose.place([(0.0, -0.178)])[0], pose.unit * 0.022), fill=(70, 66, 70))
    for side in (-1, 1):  # a pair of shoes where the feet would be
        shoe = [(side * x, y) for x, y in ((0.045, 1.60), (0.09, 1.60), (0.15, 1.685), (0.13, 1.70), (0.04, 1.70))]
        brush.polygon(pose.place(shoe), fill=(58, 44, 42))


def _cloth(size: tuple[int, int], look: Mapping[str, str], fabric: Colour, pose: Pose, rng: np.random.Generator) -> Image.Image:
    """The fabric, laid over the whole picture."""
    cloth = Image.new("RGB", size, fabric)
    ink = _ink(look["colour"], fabric, rng)
    step, turn = rng.uniform(0.082, 0.115), float(rng.choice((0.0, math.pi / 2, math.pi / 4)))
    brush = ImageDraw.Draw(cloth)
    reach = np.arange(-1.3, 2.2, step)
    if look["pattern"] == "striped":
        cos, sin = math.cos(turn), math.sin(turn)
        for at in np.arange(-2.4, 2.4, step):
            ends = [(at * cos - t * sin, at * sin + t * cos) for t in (-2.6, 2.6)]
            brush.line(pose.place(ends), fill=ink, width=round(pose.unit * step * 0.38))
    elif look["pattern"] == "dotted":
        radius = pose.unit * step * rng.uniform(0.26, 0.32)
        for row, y in enumerate(reach):
            for x in reach - 0.45 + (step / 2 if row % 2 else 0):
                brush.ellipse(_round(pose.place([(x, y)])[0], radius), fill=ink)
    elif look["pattern"] == "checked":
        for lines in (
            [pose.place([(at - 0.45, -1), (at - 0.45, 2.4)]) for at in reach],
            [pose.place([(-1.4, at), (1.4, at)]) for at in reach],
        ):
            band = Image.new("L", size)
            pen = ImageDraw.Draw(band)
            for line in lines:
                pen.line(line, fill=165, width=round(pose.unit * step * 0.46))
            cloth.paste(ink, (0, 0), band)
    return cloth


def _ink(colour: str, fabric: Colour, rng: np.random.Generator) -> Colour:
    """A second colour that shows on the fabric and leaves its colour in no doubt."""
    if colour == "black":
        return hsv(rng.uniform(0, 1), 0.05, rng.uniform(0.72, 0.92))
    if colour == "white":
        return hsv(rng.uniform(0.55, 0.75), 0.14, rng.uniform(0.40, 0.52))
    dark = sum(fabric) < 330
    return hsv(rng.uniform(0.08, 0.14), 0.07, 0.97) if dark or rng.random() < 0.6 else _dim(fabric, 0.38)


def _shade(cloth: Image.Image, mask: Image.Image, pose: Pose, look: Mapping[str, str], rng: np.random.Generator) -> Image.Image:
    """Roundness towards the edges and soft folds in the skirt."""
    width, height = cloth.size
    small = mask.resize((width // 4, height // 4)).filter(ImageFilter.GaussianBlur(pose.unit * 0.012))
    edge = np.asarray(small.resize(cloth.size, Image.Resampling.BILINEAR), np.float32) / 255
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (columns - pose.x) / pose.unit, (rows - pose.y) / pose.unit
    wide = {"casual": 0.30, "work": 0.27}.get(look["style"], 0.62)
    fold = np.clip((y - 0.5) / 0.7, 0, 1) * (0.10 if look["style"] == "evening" else 0.045)
    spread = np.clip(0.35 + (y - 0.5) * (0.8 if look["style"] == "evening" else 0.2), 0.3, 1.4)
    folds = fold * np.sin(x / spread * rng.uniform(13, 19) + rng.uniform(0, 6))
    gain = 0.72 + 0.30 * edge + folds - 0.10 * np.clip(x * float(rng.choice((-1, 1))) / wide, -1, 1)
    pixels = np.asarray(cloth, np.float32) * np.clip(gain, 0.5, 1.12)[..., None] + 4
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _draw_details(
    picture: Image.Image, look: Mapping[str, str], fabric: Colour, pose: Pose, dress: list[Point], sleeves: list[list[Point]]
) -> None:
    """Outline, binding of the neckline, cuffs, and what belongs to the style: a belt, a sash or pockets."""
    brush = ImageDraw.Draw(picture)
    thin, is_black = max(2, round(pose.unit * 0.008)), look["colour"] == "black"
    line = (92, 90, 98) if is_black else _dim(fabric, 0.58)
    for sleeve in sleeves:
        brush.line([*sleeve, sleeve[0]], fill=line, width=thin)
        brush.line(sleeve[-2:], fill=line, width=thin * 2)
    brush.line([*dress, dress[0]], fill=line, width=thin)
    brush.line(
        pose.place(_opening(look["neckline"])), fill=(150, 148, 156) if is_black else _dim(fabric, 0.45), width=thin * 2, joint="curve"
    )
    if look["style"] == "casual":
        for side in (-1, 1):
            pocket = [
                (side * 0.09, 0.6),
                (side * 0.21, 0.6),
                (side * 0.21, 0.74),
                (side * 0.15, 0.77),
                (side * 0.09, 0.74),
                (side * 0.09, 0.6),
            ]
            brush.line(pose.place(pocket), fill=line, width=thin)
        return
    half = 0.182 if look["style"] == "work" else 0.17
    tall = 0.022 if look["style"] == "work" else 0.035
    band = [(-half, 0.5 - tall), (half, 0.5 - tall), (half, 0.5 + tall), (-half, 0.5 + tall)]
    brush.polygon(pose.place(band), fill=(128, 126, 134) if is_black else _dim(fabric, 0.42))
    if look["style"] == "work":
        buckle = [(-0.03, 0.47), (0.03, 0.47), (0.03, 0.53), (-0.03, 0.53), (-0.03, 0.47)]
        brush.line(pose.place(buckle), fill=(212, 184, 110), width=thin * 2)


def _mask(size: tuple[int, int], shapes: Sequence[list[Point]]) -> Image.Image:
    mask = Image.new("L", size)
    brush = ImageDraw.Draw(mask)
    for shape in shapes:
        brush.polygon(shape, fill=255)
    return mask


def _contrast(colours: Sequence[Colour], against: Colour, rng: np.random.Generator) -> Colour:
    """One of the three colours that differ most from `against`."""
    order = sorted(colours, key=lambda colour: -sum(abs(a - b) for a, b in zip(colour, against, strict=True)))
    return order[int(rng.integers(3))]


def _dim(colour: Colour, share: float) -> Colour:
    return round(colour[0] * share), round(colour[1] * share), round(colour[2] * share)


def _round(middle: Point, radius: float) -> tuple[float, float, float, float]:
    return middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius
