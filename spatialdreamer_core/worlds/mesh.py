"""Triangles with texture coordinates and materials, and the shapes that worlds are built from."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Vector = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Mesh:
    """A soup of triangles. World axes: x right, y up, z forward, metres.

    Attributes:
        points: [F, 3, 3] corners.
        normals: [F, 3, 3] unit normals of the corners; either side may look at the camera.
        uv: [F, 3, 2] texture coordinates in repeats of the texture, v downwards.
        material: [F] int32 index into a table of materials.
    """

    points: F32
    normals: F32
    uv: F32
    material: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.points)

    def moved(self, *, scale: float = 1.0, turn_rad: float = 0.0, to: tuple[float, float, float] = (0, 0, 0)) -> "Mesh":
        """Scale about the origin, turn about the y axis, then shift."""
        c, s = np.cos(turn_rad), np.sin(turn_rad)
        turn = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]], np.float32)
        points = (self.points * np.float32(scale)) @ turn + np.asarray(to, np.float32)
        return replace(self, points=points.astype(np.float32), normals=(self.normals @ turn).astype(np.float32))

    def painted(self, material: int) -> "Mesh":
        """The same shape in one material."""
        return replace(self, material=np.full(len(self), material, np.int32))


def from_triangles(points: F32, uv: F32, material: int, normals: F32 | None = None) -> Mesh:
    """A mesh from corners; flat normals where none are given."""
    points = np.ascontiguousarray(points, np.float32)
    if normals is None:
        flat = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
        normals = np.repeat(flat[:, None], 3, axis=1)
    return Mesh(
        points, np.asarray(normals, np.float32), np.asarray(uv, np.float32), np.full(len(points), material, np.int32)
    )


def join(meshes: list[Mesh]) -> Mesh:
    """All triangles of all meshes."""
    return Mesh(
        np.concatenate([m.points for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.uv for m in meshes]),
        np.concatenate([m.material for m in meshes]),
    )


def quad(corner: Vector, along: Vector, down: Vector, material: int, repeats: tuple[float, float] = (1, 1)) -> Mesh:
    """A parallelogram: ``corner`` is the texture's upper left, ``along`` its right, ``down`` its bottom direction."""
    corner, along, down = (np.asarray(v, np.float32) for v in (corner, along, down))
    a, b, c, d = corner, corner + along, corner + along + down, corner + down
    u, v = repeats
    uv = np.array([[[0, 0], [u, 0], [u, v]], [[0, 0], [u, v], [0, v]]], np.float32)
    return from_triangles(np.array([[a, b, c], [a, c, d]], np.float32), uv, material)


def box(centre: Vector, size: Vector, material: int, repeats: float = 1.0) -> Mesh:
    """An axis-aligned box of which every face shows the texture ``repeats`` times a metre (0: once)."""
    c, (w, h, d) = np.asarray(centre, np.float32), (float(v) for v in size)
    x, y, z = np.eye(3, dtype=np.float32)
    parts = []
    for normal, along, down, n, la, ld in (
        (-z, x, -y, d, w, h), (z, -x, -y, d, w, h), (x, z, -y, w, d, h),
        (-x, -z, -y, w, d, h), (y, x, -z, h, w, d), (-y, x, z, h, w, d),
    ):  # fmt: skip
        corner = c + normal * n / 2 - along * la / 2 - down * ld / 2
        rep = (la * repeats, ld * repeats) if repeats else (1.0, 1.0)
        parts.append(quad(corner, along * la, down * ld, material, rep))
    return join(parts)


def grid_mesh(points: F32, material: int, repeats: tuple[float, float], *, smooth: bool = True) -> Mesh:
    """Triangles between the neighbours of a [rows, columns, 3] net of points."""
    rows, cols = points.shape[:2]
    u, v = np.meshgrid(np.linspace(0, repeats[0], cols), np.linspace(0, repeats[1], rows))
    uv = np.stack([u, v], axis=-1).astype(np.float32)
    du, dv = np.gradient(points, axis=1), np.gradient(points, axis=0)
    n = np.cross(du, dv)
    n /= np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-12)

    def split(a: F32) -> F32:
        p, q, r, s = a[:-1, :-1], a[:-1, 1:], a[1:, 1:], a[1:, :-1]
        one = np.stack([p, q, r], axis=2).reshape(-1, 3, a.shape[-1])
        two = np.stack([p, r, s], axis=2).reshape(-1, 3, a.shape[-1])
        return np.concatenate([one, two]).astype(np.float32)

    return from_triangles(split(points), split(uv), material, split(n) if smooth else None)


def blob(
    centre: Vector,
    radii: Vector,
    material: int,
    *,
    rough: float = 0.0,
    seed: int = 0,
    parts: int = 16,
    repeats: float = 2.0,
) -> Mesh:
    """An ellipsoid, dented by ``rough`` of its radius: stones, heads, fruit, bushes."""
    lat, lon = np.meshgrid(np.linspace(0, np.pi, parts), np.linspace(0, 2 * np.pi, 2 * parts), indexing="ij")
    direction = np.stack([np.sin(lat) * np.cos(lon), np.cos(lat), np.sin(lat) * np.sin(lon)], axis=-1)
    radius = np.ones(lat.shape)
    if rough:
        rng = np.random.default_rng(seed)
        for _ in range(10):
            wave = rng.normal(size=3) * rng.uniform(1, 5)
            radius += rough / 4 * np.sin(direction @ wave + rng.uniform(0, 6.3))
    points = np.asarray(centre, np.float32) + direction * radius[..., None] * np.asarray(radii, np.float32)
    return grid_mesh(points.astype(np.float32), material, (2 * repeats, repeats))


def tube(
    start: Vector, end: Vector, radii: tuple[float, float], material: int, *, sides: int = 12, repeats: float = 1.0
) -> Mesh:
    """A round bar from ``start`` to ``end``: poles, trunks, arms, cups."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    axis = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
    helper = np.array([1.0, 0, 0]) if abs(axis[0]) < 0.9 else np.array([0, 0, 1.0])
    p = np.cross(axis, helper)
    p /= np.linalg.norm(p)
    q = np.cross(axis, p)
    angle = np.linspace(0, 2 * np.pi, sides + 1)[:, None]
    ring = np.cos(angle) * p + np.sin(angle) * q
    rows = [a + 0 * ring, a + ring * radii[0], b + ring * radii[1], b + 0 * ring]
    return grid_mesh(np.stack(rows).astype(np.float32), material, (repeats, repeats), smooth=False)
