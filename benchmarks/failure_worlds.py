"""Rendered stereo clips in which one thing at a time is made harder, everything about them exactly known."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.worlds.mesh import Mesh, blob, box, grid_mesh, join, quad, tube
from spatialdreamer_core.worlds.scene import Air, Camera, Light, Materials, Rendered, Scene, look, render
from spatialdreamer_core.worlds.textures import TextureBank, ground, noise, pattern

WIDTH, HEIGHT, FRAMES = 384, 216, 6
BASELINE_M, VIEW_DEG, PAN_M = 0.065, 60.0, 0.02
WALL_M = 6.0

Picture = NDArray[np.uint8]
F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class World:
    """What one clip is made with; the defaults are the easy case.

    Attributes:
        contrast: Of all textures, 1 as drawn, 0 plain colours.
        reflectivity: Of a panel on the wall, 0 dull, 1 a mirror.
        bar_px: Width of five bars in front, pixels; 0 leaves them out.
        speed_px: Of a board across the picture, pixels a frame.
        cloth: Whether a cloth hangs in place of the board.
        wave_m: Amplitude of its waves, metres.
    """

    contrast: float = 1.0
    reflectivity: float = 0.0
    bar_px: float = 0.0
    speed_px: float = 0.0
    cloth: bool = False
    wave_m: float = 0.0


@dataclass(frozen=True, slots=True)
class StereoFrame:
    """One frame and everything about it.

    Attributes:
        left: [H, W, 3] uint8 RGB.
        right: [H, W, 3] uint8 RGB.
        disparity: [H, W] px, of the left view.
        front: [H, W] bool on the right view's grid, where the board, the bars or the cloth are seen.
        panel: [H, W] bool, where the panel is seen.
    """

    left: Picture
    right: Picture
    disparity: F32
    front: NDArray[np.bool_]
    panel: NDArray[np.bool_]


FACTORS: dict[str, tuple[str, tuple[tuple[str, World], ...]]] = {
    "texture": (
        "contrast of all textures",
        tuple((f"{level:g}", World(contrast=level)) for level in (1.0, 0.3, 0.1, 0.0)),
    ),
    "reflection": (
        "reflectivity of the panel on the wall",
        tuple((f"{level:g}", World(reflectivity=level)) for level in (0.0, 0.3, 0.6, 0.9)),
    ),
    "thin": (
        "width of the bars, px",
        tuple((f"{level:g}", World(bar_px=level)) for level in (16.0, 8.0, 4.0, 2.0, 1.0)),
    ),
    "fast": (
        "speed of the board, px a frame",
        tuple((f"{level:g}", World(speed_px=level)) for level in (0.0, 4.0, 12.0, 30.0)),
    ),
    "non-rigid": (
        "amplitude of the waving cloth, m",
        tuple((f"{level:g}", World(cloth=True, wave_m=level)) for level in (0.0, 0.05, 0.15, 0.3)),
    ),
}


def clip(world: World) -> list[StereoFrame]:
    """Render a clip; the same world gives the same pictures."""
    materials = _materials(world.contrast)
    return [_frame(world, materials, t) for t in range(FRAMES)]


def _materials(contrast: float) -> Materials:
    rng = np.random.default_rng(5)
    bank = TextureBank()
    pictures = [pattern(rng) for _ in range(5)] + [ground(rng)]
    fine = (noise(rng, power=0.8)[..., None] * np.array([200, 170, 120]) + 30).astype(np.uint8)
    pictures.append(np.ascontiguousarray(fine))
    for picture in pictures:
        middle = picture.reshape(-1, picture.shape[2]).mean(0)
        bank.add(np.clip(middle + contrast * (picture - middle), 0, 255).astype(np.uint8))
    count = len(pictures)
    return Materials(
        np.ones((count, 3), np.float32),
        np.zeros(count, np.float32),
        np.zeros(count, np.float32),
        np.arange(count, dtype=np.int32),
        bank,
    )


def _vec(*values: float) -> F32:
    return np.array(values, np.float32)


def _frame(world: World, materials: Materials, t: int) -> StereoFrame:
    left = look(_vec(PAN_M * t, 1.4, 0), _vec(PAN_M * t, 1.3, 4), view_deg=VIEW_DEG, height=HEIGHT, width=WIDTH)
    right = left.stepped(right_m=BASELINE_M)
    panel, front = _panel(), _front(world, left.focal_px, t)
    rest = join([front, _things()])
    views = [_view(panel, rest, materials, camera, world.reflectivity) for camera in (left, right)]
    seen = views[1].triangle - len(panel)
    disparity = np.asarray(views[0].inverse_depth * np.float32(left.focal_px * BASELINE_M), np.float32)
    return StereoFrame(
        views[0].picture,
        views[1].picture,
        disparity,
        front=(seen >= 0) & (seen < len(front)),
        panel=(views[1].triangle >= 0) & (seen < 0),
    )


def _view(panel: Mesh, rest: Mesh, materials: Materials, camera: Camera, reflectivity: float) -> Rendered:
    shown = _render(join([panel, rest]), materials, camera)
    if reflectivity == 0:
        return shown
    # what a mirror shows is the world behind it, mirrored
    depth = float(panel.points[0, 0, 2])
    points = rest.points.copy()
    points[..., 2] = 2 * depth - points[..., 2]
    behind = points[..., 2].min(axis=1) > depth  # only what stood before the mirror
    mirrored = Mesh(points[behind], rest.normals[behind] * _vec(1, 1, -1), rest.uv[behind], rest.material[behind])
    image = _render(mirrored, materials, camera).picture
    on_panel = (shown.triangle >= 0) & (shown.triangle < len(panel))
    mixed = shown.picture.astype(np.float32)
    mixed[on_panel] += reflectivity * (image[on_panel] - mixed[on_panel])
    return replace(shown, picture=(mixed + 0.5).astype(np.uint8))


def _render(mesh: Mesh, materials: Materials, camera: Camera) -> Rendered:
    light = Light(
        _vec(-2, 5, -1), _vec(0, 1, 4), _vec(1.1, 1.05, 1.0), 0.0, 80.0, _vec(0, 0.3, -1), _vec(0.25, 0.25, 0.3),
        _vec(0.35, 0.38, 0.42), _vec(0.2, 0.2, 0.2), 0.0,
    )  # fmt: skip
    air = Air(np.full((8, 16, 3), 0.3, np.float32), 0.0, 0.0)
    return render(Scene(mesh, materials, light, air), camera, shadow_side=384)


def _panel() -> Mesh:
    return quad(_vec(-1.6, 2.5, WALL_M - 0.05), _vec(2.2, 0, 0), _vec(0, -1.7, 0), 4)


def _things() -> Mesh:
    return join(
        [
            quad(_vec(-8, 5, WALL_M), _vec(16, 0, 0), _vec(0, -5, 0), 0, (5, 2)),
            quad(_vec(-8, 0, 12), _vec(16, 0, 0), _vec(0, 0, -16), 5, (6, 6)),
            blob(_vec(1.1, 0.9, 3.2), _vec(0.45, 0.5, 0.45), 2),
            box(_vec(-1.3, 0.5, 3.6), _vec(0.7, 1.0, 0.7), 3),
            # behind the camera, for mirrors to show
            quad(_vec(-4, 4, -3), _vec(8, 0, 0), _vec(0, -4, 0), 1, (3, 2)),
            box(_vec(-0.6, 1.2, -0.8), _vec(0.5, 1.6, 0.5), 2),
        ]
    )


def _front(world: World, focal_px: float, t: int) -> Mesh:
    """The board, or what hangs or stands in its place."""
    distance = 2.4
    if world.bar_px:
        radius = world.bar_px / 2 * distance / focal_px
        places = (-0.95, -0.5, -0.05, 0.4, 0.85)
        return join([tube(_vec(x, 0, distance), _vec(x + 0.15, 3, distance), (radius, radius), 6) for x in places])
    if world.cloth:
        return _cloth(world.wave_m, t, distance)
    step = world.speed_px * distance / focal_px + PAN_M  # as seen from the camera, which pans
    middle = PAN_M * (FRAMES - 1) / 2 + step * (t - (FRAMES - 1) / 2)
    return quad(_vec(middle - 0.35, 1.75, distance), _vec(0.7, 0, 0), _vec(0, -0.8, 0), 6)


def _cloth(wave_m: float, t: int, distance: float) -> Mesh:
    u, v = np.meshgrid(np.linspace(0, 1, 32), np.linspace(0, 1, 24))
    phase = 9 * u + 3 * v - 1.1 * t
    points = np.stack(
        [-0.5 + 1.2 * u + 0.4 * wave_m * v * np.cos(phase), 2.0 - 1.3 * v, distance + wave_m * v * np.sin(phase)],
        axis=-1,
    )
    return grid_mesh(points.astype(np.float32), 6, (2, 2))
