"""Make-believe rooms: the wall, floor, furniture and light behind a drawn dress."""

from __future__ import annotations

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]

# hue, saturation, value of a wall: tinted, so that no scene is grey, and never paper white
WALLS = (
    (0.09, 0.18, 0.84), (0.58, 0.20, 0.82), (0.97, 0.16, 0.84), (0.28, 0.16, 0.76), (0.12, 0.28, 0.78),
    (0.52, 0.26, 0.68), (0.75, 0.15, 0.76), (0.05, 0.32, 0.66), (0.60, 0.36, 0.54), (0.40, 0.26, 0.54),
)  # fmt: skip
FLOORS = ((0.07, 0.45, 0.52), (0.08, 0.30, 0.70), (0.60, 0.12, 0.48), (0.09, 0.50, 0.36), (0.10, 0.14, 0.80))


def hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return round(red * 255), round(green * 255), round(blue * 255)


def room(size: tuple[int, int], floor_y: float, rng: np.random.Generator) -> Image.Image:
    """An empty room with a floor from `floor_y` (px) down, and a few things standing or hanging at the sides."""
    width, height = size
    hue, saturation, value = WALLS[rng.integers(len(WALLS))]
    wall = (hue + rng.normal(0, 0.02), saturation, value + rng.normal(0, 0.03))
    picture = Image.new("RGB", size, hsv(*wall))
    draw = ImageDraw.Draw(picture)
    split = rng.choice(("plain", "dado", "panels", "corner"))
    if split == "dado":
        top = floor_y - height * rng.uniform(0.15, 0.4)
        draw.rectangle((0, top, width, floor_y), fill=hsv(wall[0], wall[1] + 0.1, wall[2] * rng.uniform(0.68, 0.85)))
        draw.line((0, top, width, top), fill=hsv(wall[0], wall[1] * 0.5, 0.95), width=max(2, height // 120))
    elif split == "panels":
        step = width / rng.integers(2, 5)
        for left in np.arange(-step * rng.uniform(0, 1), width, step):
            box = (left + step * 0.12, height * 0.06, left + step * 0.88, floor_y - height * 0.06)
            draw.rectangle(box, outline=hsv(wall[0], wall[1], wall[2] * 0.86), width=max(2, height // 160))
    elif split == "corner":
        edge, darker = width * rng.uniform(0.12, 0.88), hsv(wall[0], wall[1] + 0.05, wall[2] * rng.uniform(0.62, 0.82))
        draw.rectangle((0, 0, edge, height) if rng.random() < 0.5 else (edge, 0, width, height), fill=darker)
    hue, saturation, value = FLOORS[rng.integers(len(FLOORS))]
    draw.rectangle((0, floor_y, width, height), fill=hsv(hue, saturation, value + rng.normal(0, 0.04)))
    draw.rectangle((0, floor_y - height * 0.018, width, floor_y), fill=hsv(wall[0], wall[1] * 0.4, min(0.97, wall[2] + 0.12)))
    sides = [-1, 1] if rng.random() < 0.6 else [int(rng.choice((-1, 1)))]
    for side in sides:
        thing = THINGS[rng.integers(len(THINGS))]
        middle = width * (0.5 + side * rng.uniform(0.3, 0.5))
        thing(draw, middle, floor_y, width, height, rng)
    return picture


def light(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One lamp from one side, a vignette, sometimes a window's patch, and the camera's grain."""
    width, height = picture.size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    across, down = columns / width - 0.5, rows / height - 0.5
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.08, 0.42)
    gain = 1 + strength * (np.cos(angle) * across + np.sin(angle) * down)
    spot = (rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.3))
    gain += rng.uniform(0.0, 0.2) * np.exp(-((across - spot[0]) ** 2 + (down - spot[1]) ** 2) / 0.05)
    gain -= rng.uniform(0.05, 0.25) * (across**2 + down**2)
    if rng.random() < 0.5:
        slope, middle, half = rng.uniform(-1.2, 1.2), rng.uniform(-0.35, 0.35), rng.uniform(0.06, 0.15)
        beam = 1 / (1 + np.exp((np.abs(across - middle - slope * down) - half) * 45))
        gain += rng.uniform(0.08, 0.2) * beam
    warmth = rng.normal(0, 0.015)
    tint = np.array([1 + warmth, 1, 1 - warmth], np.float32)
    pixels = np.asarray(picture, np.float32) * gain[..., None].astype(np.float32) * tint * np.float32(rng.uniform(0.93, 1.04))
    pixels += rng.normal(0, 2.2, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def cast(picture: Image.Image, mask: Image.Image, shift: tuple[int, int], strength: float) -> None:
    """Darken the picture where the figure's mask, moved and softened, falls on the wall."""
    small = mask.resize((mask.width // 8, mask.height // 8)).filter(ImageFilter.GaussianBlur(mask.width / 360))
    moved = Image.new("L", small.size)
    moved.paste(small, (shift[0] // 8, shift[1] // 8))
    soft = moved.resize(mask.size, Image.Resampling.BILINEAR).point(lambda level: round(level * strength))
    picture.paste((22, 20, 26), (0, 0), soft)


def _plant(draw: ImageDraw.ImageDraw, x: float, floor: float, width: int, height: int, rng: np.random.Generator) -> None:
    size = height * rng.uniform(0.07, 0.12)
    pot, leaf = hsv(rng.uniform(0.02, 0.1), 0.5, rng.uniform(0.4, 0.75)), hsv(rng.uniform(0.25, 0.4), 0.5, rng.uniform(0.25, 0.5))
    for angle in rng.uniform(-1.1, 1.1, 9):
        length = size * rng.uniform(1.4, 3.0)
        tip = (x + np.sin(angle) * length, floor - size - np.cos(angle) * length)
        bend = (x + np.sin(angle) * length * 0.3 - size * 0.2, floor - size - length * 0.5)
        bow = (x + np.sin(angle) * length * 0.5 + size * 0.25, floor - size - length * 0.45)
        draw.polygon([(x, floor - size), bend, tip, bow], fill=leaf)
    draw.polygon([(x - size / 2, floor - size), (x + size / 2, floor - size), (x + size / 3, floor), (x - size / 3, floor)], fill=pot)


def _frame(draw: ImageDraw.ImageDraw, x: float, floor: float, width: int, height: int, rng: np.random.Generator) -> None:
    half, top = width * rng.uniform(0.08, 0.17), height * rng.uniform(0.05, 0.3)
    box = (x - half, top, x + half, top + half * rng.uniform(1.6, 2.8))
    canvas, wood = hsv(rng.random(), 0.35, rng.uniform(0.3, 0.95)), hsv(0.08, 0.5, rng.uniform(0.2, 0.6))
    draw.rectangle(box, fill=canvas, outline=wood, width=width // 60)


def _curtain(draw: ImageDraw.ImageDraw, x: float, floor: float, width: int, height: int, rng: np.random.Generator) -> None:
    half, hue, value = width * rng.uniform(0.1, 0.18), rng.random(), rng.uniform(0.3, 0.9)
    folds = 7
    for fold in range(folds):
        left = x - half + 2 * half * fold / folds
        box = (left, 0, left + 2 * half / folds + 1, floor + height * 0.01)
        draw.rectangle(box, fill=hsv(hue, 0.22, value * (1 - 0.09 * (fold % 2))))


def _lamp(draw: ImageDraw.ImageDraw, x: float, floor: float, width: int, height: int, rng: np.random.Generator) -> None:
    top, half = floor - height * rng.uniform(0.45, 0.7), width * rng.uniform(0.08, 0.13)
    draw.line((x, top, x, floor), fill=(52, 48, 46), width=width // 90)
    draw.ellipse((x - half * 0.7, floor - height * 0.008, x + half * 0.7, floor + height * 0.012), fill=(52, 48, 46))
    shade = [(x - half * 0.6, top - half), (x + half * 0.6, top - half), (x + half, top + half * 0.6), (x - half, top + half * 0.6)]
    draw.polygon(shade, fill=hsv(rng.uniform(0.08, 0.14), 0.25, 0.96))


def _chest(draw: ImageDraw.ImageDraw, x: float, floor: float, width: int, height: int, rng: np.random.Generator) -> None:
    half, top = width * rng.uniform(0.13, 0.24), floor - height * rng.uniform(0.14, 0.36)
    hue, value = rng.uniform(0.04, 0.1), rng.uniform(0.25, 0.8)
    draw.rectangle((x - half, top, x + half, floor + height * 0.01), fill=hsv(hue, 0.4, value))
    drawers = int(rng.integers(2, 4))
    for drawer in range(drawers):
        y = top + (floor - top) * (drawer + 0.5) / drawers
        reach = (floor - top) / drawers * 0.4
        draw.rectangle((x - half * 0.88, y - reach, x + half * 0.88, y + reach), outline=hsv(hue, 0.45, value * 0.75), width=width // 180)


def _window(draw: ImageDraw.ImageDraw, x: float, floor: float, width: int, height: int, rng: np.random.Generator) -> None:
    half, top, bottom = width * rng.uniform(0.12, 0.22), height * rng.uniform(0.0, 0.12), height * rng.uniform(0.4, 0.6)
    white = hsv(0.1, 0.05, 0.92)
    draw.rectangle((x - half, top, x + half, bottom), fill=hsv(0.56, rng.uniform(0.2, 0.45), rng.uniform(0.6, 0.92)))
    draw.rectangle((x - half, top, x + half, bottom), outline=white, width=width // 60)
    draw.line((x, top, x, bottom), fill=white, width=width // 80)


THINGS = (_plant, _frame, _curtain, _lamp, _chest, _window)
