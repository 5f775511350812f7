"""A scene, a camera, and the picture with everything that is true about it."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.worlds.mesh import Mesh, Vector
from spatialdreamer_core.worlds.raster import crevices, rasterise, shade
from spatialdreamer_core.worlds.textures import TextureBank, noise

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera.

    Attributes:
        position: [3] metres, world axes (y up).
        turn: [3, 3] rows are the camera's right, down and forward in world axes.
        focal_px: Focal length in pixels of the picture's width.
        height: Rows of the picture.
        width: Columns of the picture.
    """

    position: F32
    turn: F32
    focal_px: float
    height: int
    width: int

    def stepped(self, right_m: float = 0, down_m: float = 0, forward_m: float = 0) -> "Camera":
        """The same camera moved along its own axes; ``right_m`` = baseline gives the right eye."""
        step = np.array([right_m, down_m, forward_m], np.float32) @ self.turn
        return replace(self, position=(self.position + step).astype(np.float32))


def look(
    position: Vector, target: Vector, *, view_deg: float, height: int, width: int, roll_rad: float = 0.0
) -> Camera:
    """A camera at ``position`` that looks at ``target``; ``view_deg`` is the angle across the width."""
    position = np.asarray(position, np.float32)
    forward = np.asarray(target, np.float64) - position
    forward /= np.linalg.norm(forward)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= max(float(np.linalg.norm(right)), 1e-6)
    down = np.cross(right, forward)  # the world's axes are left-handed: x right, y up, z forward
    c, s = np.cos(roll_rad), np.sin(roll_rad)
    turn = np.stack([c * right + s * down, c * down - s * right, forward]).astype(np.float32)
    return Camera(position, turn, width / 2 / np.tan(np.radians(view_deg) / 2), height, width)


@dataclass(frozen=True, slots=True)
class Materials:
    """The table that a mesh's ``material`` indexes, and the textures."""

    colour: F32
    gloss: F32
    glow: F32
    texture: NDArray[np.int32]
    bank: TextureBank


@dataclass(frozen=True, slots=True)
class Light:
    """Main light with shadow, a fill without, and light from the sky and the ground. Colours are linear."""

    position: F32
    target: F32
    colour: F32
    falloff: float
    cone_deg: float
    fill_from: Vector
    fill: F32
    sky: F32
    ground: F32
    crevice: float = 0.6


@dataclass(frozen=True, slots=True)
class Air:
    """What lies behind everything: a dome picture (equirectangular, linear [H, W, 3]) and fog."""

    dome: F32
    dome_turn: float
    fog: float


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything but the camera."""

    mesh: Mesh
    materials: Materials
    light: Light
    air: Air


@dataclass(frozen=True, slots=True)
class Rendered:
    """A picture and its truth.

    Attributes:
        picture: [H, W, 3] uint8 RGB.
        inverse_depth: [H, W] float32, 1 / metres along the optical axis at the pixel's centre; 0 is the sky.
        triangle: [H, W] int32, which triangle is seen; -1 is the sky.
    """

    picture: NDArray[np.uint8]
    inverse_depth: F32
    triangle: NDArray[np.int32]


def gradient_dome(rng: np.random.Generator, top: Vector, horizon: Vector, clouds: float) -> F32:
    """A sky: ``top`` overhead, ``horizon`` at the horizon, and clouds, [256, 512, 3] linear."""
    elevation = np.linspace(1, -1, 256)[:, None, None]
    share = np.clip(elevation, 0, 1) ** rng.uniform(0.4, 0.9)
    dome = np.asarray(horizon) * (1 - share) + np.asarray(top) * share
    dome = np.repeat(dome, 512, axis=1)
    field = cv2.resize(noise(rng, 256, power=rng.uniform(1.2, 2)), (512, 256))
    # clouds flatten towards the horizon
    rows = np.clip(255 * (1 - 1 / (1 + 6 * np.abs(np.linspace(1, -1, 256)))) * 1.16, 0, 255).astype(int)
    cover = np.clip((field[rows] - (1 - clouds)) * 4, 0, 1)[..., None]
    bright = rng.uniform(0.5, 1.1) * np.ones(3)
    return np.ascontiguousarray(dome * (1 - cover) + bright * cover, np.float32)


def _to_camera(camera: Camera, mesh: Mesh) -> tuple[F32, F32]:
    points = (mesh.points - camera.position) @ camera.turn.T
    return np.ascontiguousarray(points, np.float32), np.ascontiguousarray(mesh.normals @ camera.turn.T, np.float32)


def _dome_picture(camera: Camera, air: Air, scale: int) -> F32:
    h, w = camera.height * scale, camera.width * scale
    x = ((np.arange(w) + 0.5) / scale - camera.width / 2) / camera.focal_px
    y = ((np.arange(h) + 0.5) / scale - camera.height / 2) / camera.focal_px
    ray = np.stack(np.broadcast_arrays(x[None], y[:, None], np.float64(1)), axis=-1) @ camera.turn
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    rows, cols = air.dome.shape[:2]
    u = (np.arctan2(ray[..., 0], ray[..., 2]) + air.dome_turn) / (2 * np.pi) % 1 * cols
    v = np.arccos(np.clip(ray[..., 1], -1, 1)) / np.pi * rows
    picture = cv2.remap(
        air.dome, u.astype(np.float32), np.minimum(v, rows - 1).astype(np.float32), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )  # fmt: skip
    return np.ascontiguousarray(picture, np.float32)


def render(
    scene: Scene, camera: Camera, *, supersample: int = 2, shadow_side: int = 768, exposure: float = 1.0
) -> Rendered:
    """Draw the scene; colours are averaged over ``supersample``² places a pixel, depth is that of the pixel's centre.

    Args:
        scene: What is there.
        camera: From where.
        supersample: Rows and columns of colour samples a pixel.
        shadow_side: Side of the square shadow map.
        exposure: Linear colours are multiplied by this.

    Returns:
        The picture (linear colours through a gamma of 2.2, clipped) and its truth.
    """
    mats, mesh, light = scene.materials, scene.mesh, scene.light
    buffer, table = mats.bank.arrays()
    holes = np.array([t >= 0 and mats.bank.has_holes[t] for t in mats.texture], bool)
    cam_points, cam_normals = _to_camera(camera, mesh)
    static = (mesh.uv, mesh.material, mats.texture, holes, buffer, table)
    cx, cy = (camera.width - 1) / 2, (camera.height - 1) / 2
    invz, face, _, _ = rasterise(cam_points, *static, camera.height, camera.width, camera.focal_px, cx, cy)

    lamp = look(light.position, light.target, view_deg=light.cone_deg, height=shadow_side, width=shadow_side)
    half = (shadow_side - 1) / 2
    shadow = rasterise(_to_camera(lamp, mesh)[0], *static, shadow_side, shadow_side, lamp.focal_px, half, half)[0]
    to_light = np.empty((3, 4), np.float32)
    to_light[:, :3] = lamp.turn @ camera.turn.T
    to_light[:, 3] = lamp.turn @ (camera.position - lamp.position)

    s = supersample
    fine = (
        camera.height * s,
        camera.width * s,
        camera.focal_px * s,
        s * camera.width / 2 - 0.5,
        s * camera.height / 2 - 0.5,
    )
    many = rasterise(cam_points, *static, *fine)
    picture = _dome_picture(camera, scene.air, s)
    horizon = scene.air.dome[scene.air.dome.shape[0] // 2 - 4 : scene.air.dome.shape[0] // 2].mean(axis=(0, 1))
    shade(
        *many, cam_points, cam_normals, mesh.uv, mesh.material, mats.texture, mats.colour, mats.gloss, mats.glow,
        buffer, table, *fine[2:], (camera.turn @ (light.position - camera.position)).astype(np.float32),
        light.colour, light.falloff, (camera.turn @ light.fill_from).astype(np.float32), light.fill,
        np.ascontiguousarray(camera.turn[:, 1]), light.sky, light.ground, shadow, to_light, lamp.focal_px,
        horizon.astype(np.float32), scene.air.fog, picture,
    )  # fmt: skip
    if light.crevice > 0:
        crevices(many[0], fine[2], 0.25, light.crevice, picture)
    linear = cv2.resize(picture, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    srgb = np.clip(linear * exposure, 0, 1) ** (1 / 2.2)
    return Rendered((srgb * 255 + 0.5).astype(np.uint8), invz, face)


def flow_between(
    first: Rendered, camera: Camera, other_camera: Camera, other: Rendered
) -> tuple[F32, NDArray[np.bool_]]:
    """Exact optical flow of a still scene, and which pixels the other camera sees.

    Returns:
        [H, W, 2] pixels (dx, dy) from ``camera`` to ``other_camera`` (0 in the sky of a moved camera's own direction),
        and [H, W] bool, True where the point is inside the other picture and nearest there.
    """
    h, w = first.inverse_depth.shape
    cx, cy = (w - 1) / 2, (h - 1) / 2
    col, row = np.meshgrid(np.arange(w), np.arange(h))
    z = 1 / np.maximum(first.inverse_depth, 1e-6).astype(np.float64)
    place = np.stack([(col - cx) / camera.focal_px * z, (row - cy) / camera.focal_px * z, z], axis=-1)
    moved = (place @ camera.turn + (camera.position - other_camera.position)) @ other_camera.turn.T
    depth = np.maximum(moved[..., 2], 1e-9)
    x = moved[..., 0] / depth * other_camera.focal_px + cx
    y = moved[..., 1] / depth * other_camera.focal_px + cy
    flow = np.stack([x - col, y - row], axis=-1).astype(np.float32)
    inside = (moved[..., 2] > 0) & (x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1)
    i, j = np.clip(np.rint(y), 0, h - 1).astype(int), np.clip(np.rint(x), 0, w - 1).astype(int)
    # the nearest of the 3 x 3 neighbours decides, so that slanted surfaces do not hide themselves
    theirs = cv2.erode(other.inverse_depth, np.ones((3, 3), np.uint8))[i, j]
    seen = theirs <= 1.02 / depth + 1e-5
    return flow, np.asarray(inside & seen, bool)
