"""From scenes to pixels: place the silhouettes, paint them, add textures and the style. Whole batches at once.

letters   B scenes · S pixels a side, 32 unless told otherwise · masks are (B, 1, 48, 48), images (B, 3, S, S), all
          values in 0..1
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from .glyphs import glyph_mask, shape_mask
from .scenes import COLOURS, TEXTURES, Scene

SIDE = 32
_ROTATION, _SHEAR, _STRETCH, _WARP = 0.15, 0.15, 0.125, 0.1
"""largest rotation in radians, shear and stretch as ratios, largest strength of the elastic warp in half widths"""
_COLOUR_JITTER = 0.07
"""standard deviation of a colour's values around its name's"""
_PHOTOS = ("photo", "blurry photo", "noisy photo", "dark photo", "black and white photo")


@cache
def _plane(side: int) -> tuple[Tensor, Tensor]:
    """Both coordinates of every pixel, y and x from −1 to 1, (S, S) each."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    return y, x


@cache
def _smooth(side: int) -> Tensor:
    """(S, 4): four values along a side to S values between them."""
    return F.interpolate(torch.eye(4)[None, None], size=(side, 4), mode="bicubic", align_corners=True)[0, 0]


def render(scenes: Sequence[Scene], noise: Generator) -> Tensor:
    """The scenes' images, (B, 3, 32, 32) in 0..1; equal scenes and an equal generator give equal pixels."""
    masks = silhouettes_of(scenes, noise)
    silhouettes = _place_all(masks, scenes, noise)
    sketches = _rows(scenes, "sketch")
    silhouettes[sketches] = _outline(silhouettes[sketches])
    thing, ground = paints(scenes, noise)
    images = ground * (1 - silhouettes) + thing * silhouettes
    _add_companions(images, scenes, noise)
    return styled(images, scenes, noise)


def silhouettes_of(scenes: Sequence[Scene], noise: Generator) -> Tensor:
    """What each scene's thing looks like before it is placed, (B, 1, 48, 48)."""
    return _thicken(torch.stack([_mask(scene) for scene in scenes])[:, None], scenes, noise)


def _mask(scene: Scene) -> Tensor:
    return shape_mask(scene.name) if scene.kind == "shape" else glyph_mask(scene.character, scene.font)


def _uniform(noise: Generator, low: float, high: float, *size: int) -> Tensor:
    return low + (high - low) * torch.rand(*size, generator=noise)


def _where(scenes: Sequence[Scene], test: Callable[[Scene], bool]) -> Tensor:
    """(B, 1, 1, 1) bool."""
    return torch.tensor([test(scene) for scene in scenes])[:, None, None, None]


def _is(scenes: Sequence[Scene], *styles: str) -> Tensor:
    return _where(scenes, lambda scene: scene.style in styles)


def _dilate(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)


def _rows(scenes: Sequence[Scene], style: str) -> list[int]:
    return [row for row, scene in enumerate(scenes) if scene.style == style]


def _thicken(masks: Tensor, scenes: Sequence[Scene], noise: Generator) -> Tensor:
    """Three glyphs in ten get a stroke two mask pixels wider; changes `masks` in place."""
    bold = (torch.rand(len(scenes), generator=noise) > 0.7).tolist()
    rows = [row for row, scene in enumerate(scenes) if bold[row] and scene.kind != "shape"]
    masks[rows] = _dilate(masks[rows])
    return masks


def _outline(silhouettes: Tensor) -> Tensor:
    eroded = -_dilate(-silhouettes)
    return 0.9 * (_dilate(silhouettes) - eroded)


def _place_all(masks: Tensor, scenes: Sequence[Scene], noise: Generator) -> Tensor:
    """All copies of each scene's silhouette on its canvas, (B, 1, S, S)."""
    canvas = torch.zeros(len(scenes), 1, SIDE, SIDE)
    for i in range(max(len(scene.places) for scene in scenes)):
        rows = [row for row, scene in enumerate(scenes) if len(scene.places) > i]
        centres = torch.tensor([scenes[row].places[i] for row in rows])
        sizes = torch.tensor([scenes[row].size for row in rows])
        canvas[rows] = torch.maximum(canvas[rows], place(masks[rows], sizes, centres, noise))
    return canvas


def place(masks: Tensor, sizes: Tensor, centres: Tensor, noise: Generator, side: int = SIDE) -> Tensor:
    """Masks scaled to `sizes` (n,) at `centres` (n, 2), each bent a little in its own way, (n, 1, S, S)."""
    n = len(masks)
    angle = _uniform(noise, -_ROTATION, _ROTATION, n)
    shear = _uniform(noise, -_SHEAR, _SHEAR, n)
    stretch = _uniform(noise, -_STRETCH, _STRETCH, n)
    width, height = sizes * (1 + stretch), sizes * (1 - stretch)
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(n, 2, 2)
    form = torch.stack([width, shear * width, torch.zeros(n), height], dim=1).view(n, 2, 2)
    back = torch.linalg.inv(rotation @ form)
    grid = F.affine_grid(torch.cat([back, -back @ centres[:, :, None]], dim=2), [n, 1, side, side], align_corners=False)
    return F.grid_sample(masks, grid + _warp(n, noise, side), align_corners=False)


def _warp(n: int, noise: Generator, side: int) -> Tensor:
    """A smooth field of shifts, (n, S, S, 2)."""
    strength = _uniform(noise, 0, _WARP, n, 1, 1, 1)
    coarse = strength * torch.randn(n, 2, 4, 4, generator=noise)
    return (_smooth(side) @ coarse @ _smooth(side).T).permute(0, 2, 3, 1)


def _rgb(names: Iterable[str], noise: Generator) -> Tensor:
    """Colours a little off their names, (B, 3, 1, 1)."""
    pure = torch.tensor([COLOURS[name] for name in names])
    return (pure + _COLOUR_JITTER * torch.randn(pure.shape, generator=noise)).clamp(0, 1)[:, :, None, None]


def _brighten(colour: Tensor, dimmed: Tensor) -> Tensor:
    return torch.where(dimmed, colour + 0.18 * (1 - colour), colour)


def paints(scenes: Sequence[Scene], noise: Generator, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """The textured colour of the things and of the grounds, (B, 3, S, S) each."""
    n, dimmed = len(scenes), _where(scenes, lambda scene: scene.dimmed)
    thing = _brighten(_rgb([scene.colour for scene in scenes], noise), dimmed)
    ground = _rgb([scene.ground for scene in scenes], noise)
    ground = torch.where(dimmed, ground * _uniform(noise, 0.25, 0.5, n, 1, 1, 1), ground)
    step = _uniform(noise, 0.25, 0.5, n, 1, 1, 1) * torch.where(dimmed, 0.55, 1.0)
    lighter = (ground.mean(1, keepdim=True) < 0.5) | (torch.rand(n, 1, 1, 1, generator=noise) < 0.3)
    second_ground = torch.where(lighter, ground + step, ground - step).clamp(0, 1)
    second_thing = torch.where(thing.mean(1, keepdim=True) > 0.55, 0.35 * thing, 0.4 * thing + 0.6)
    on_ground = _textures([scene.ground_texture for scene in scenes], noise, side)
    on_thing = _textures([scene.fill_texture for scene in scenes], noise, side)
    return torch.lerp(thing, second_thing, on_thing), torch.lerp(ground, second_ground, on_ground)


def _textures(names: Sequence[str], noise: Generator, side: int) -> Tensor:
    """Where the second colour of each texture lies, (B, 1, S, S)."""
    result = torch.zeros(len(names), 1, side, side)
    for texture in TEXTURES[1:]:
        rows = [row for row, name in enumerate(names) if name == texture]
        if rows:
            result[rows, 0] = _texture(texture, len(rows), noise, side)
    return result


def _texture(name: str, n: int, noise: Generator, side: int) -> Tensor:
    """n random patterns of one texture, (n, S, S)."""
    if name == "speckled":
        return (torch.rand(n, side, side, generator=noise) < 0.18).float()
    tilt = 0.25 if name == "checkered" else math.pi
    angle = _uniform(noise, -tilt, tilt, n, 1, 1)
    frequency, phase = _uniform(noise, 2, 4.5, n, 1, 1), _uniform(noise, 0, 2 * math.pi, n, 1, 1)
    y, x = _plane(side)
    u, v = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    match name:
        case "gradient":
            return (0.5 + 0.5 * u).clamp(0, 1)
        case "striped":
            return _edge(4 * torch.sin(math.pi * frequency * u + phase))
        case "dotted":
            off = [torch.remainder(0.8 * frequency * axis + phase, 1) - 0.5 for axis in (u, v)]
            return _edge(8 * (0.34 - torch.hypot(*off)))
    waves = [torch.sin(0.8 * math.pi * frequency * axis + phase) for axis in (u, v)]
    return _edge(8 * waves[0] * waves[1])


def _edge(height: Tensor) -> Tensor:
    """A soft step from 0 to 1 at height 0."""
    return 0.5 + 0.5 * height.clamp(-1, 1)


def _add_companions(images: Tensor, scenes: Sequence[Scene], noise: Generator) -> None:
    """Paint the second shapes over `images`, in place."""
    pairs = [(row, scene, scene.companion) for row, scene in enumerate(scenes) if scene.companion is not None]
    if not pairs:
        return
    rows = [row for row, _, _ in pairs]
    masks = torch.stack([shape_mask(other.shape) for _, _, other in pairs])[:, None]
    centres = torch.tensor([(0.5, 0.0) if other.place == "right" else (0.0, 0.5) for _, _, other in pairs])
    colours = _rgb([other.colour for _, _, other in pairs], noise)
    colours = _brighten(colours, _where([scene for _, scene, _ in pairs], lambda scene: scene.dimmed))
    placed = place(masks, torch.tensor([scene.size for _, scene, _ in pairs]), centres, noise)
    images[rows] = torch.lerp(images[rows], colours.expand(-1, -1, SIDE, SIDE), placed)


def styled(images: Tensor, scenes: Sequence[Scene], noise: Generator) -> Tensor:
    """Light, blur, pixels, gray and sensor noise as each scene's style asks."""
    n, photo = len(scenes), _is(scenes, *_PHOTOS)
    direction, strength = _uniform(noise, 0, 2 * math.pi, n, 1, 1, 1), _uniform(noise, 0.05, 0.4, n, 1, 1, 1)
    y, x = _plane(images.shape[-1])
    light = 1 + strength * (x * direction.cos() + y * direction.sin())
    images = torch.where(photo, images * light, images)
    exposure = _uniform(noise, 0.25, 0.45, n, 1, 1, 1)
    images = torch.where(_is(scenes, "dark photo"), images * exposure, images)
    softness = torch.where(photo, _uniform(noise, 0, 0.4, n, 1, 1, 1), 0.0)
    images = torch.lerp(images, _blur(images), softness)
    blurry = _rows(scenes, "blurry photo")
    images[blurry] = _blur(_blur(images[blurry]))
    images = _pixelated(images, scenes, noise)
    images = torch.where(_is(scenes, "black and white photo"), images.mean(1, keepdim=True), images)
    grain = torch.where(photo, _uniform(noise, 0, 0.05, n, 1, 1, 1), 0.0)
    grain = torch.where(_is(scenes, "noisy photo"), _uniform(noise, 0.1, 0.2, n, 1, 1, 1), grain)
    return (images + grain * torch.randn(images.shape, generator=noise)).clamp(0, 1)


def _blur(images: Tensor) -> Tensor:
    """Two passes of the binomial filter 1 2 1 along both axes."""
    for _ in range(2):
        images = F.pad(images, (1, 1, 1, 1), mode="replicate")
        images = (images[..., :-2] + 2 * images[..., 1:-1] + images[..., 2:]) / 4
        images = (images[..., :-2, :] + 2 * images[..., 1:-1, :] + images[..., 2:, :]) / 4
    return images


def _pixelated(images: Tensor, scenes: Sequence[Scene], noise: Generator) -> Tensor:
    """Low-resolution scenes reduced to 8, 10 or 12 of 32 pixels a side and enlarged again, smoothly or in blocks."""
    rows = _rows(scenes, "low resolution photo")
    if not rows:
        return images
    result, side = images.clone(), images.shape[-1]
    choices = torch.randint(0, 9, (len(rows),), generator=noise)
    for row, choice in zip(rows, choices.tolist(), strict=True):
        small = F.adaptive_avg_pool2d(images[row : row + 1], (8, 10, 12)[choice % 3] * side // SIDE)
        if choice // 3 == 0:
            result[row] = F.interpolate(small, size=(side, side), mode="nearest")[0]
        else:
            result[row] = F.interpolate(small, size=(side, side), mode="bilinear", align_corners=False)[0]
    return result
