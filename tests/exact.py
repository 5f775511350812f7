"""Moving scenes whose pictures, depth, second eye, optical flow and hidden parts are exact, by tracing rays.

Planes, boxes and spheres with textures that are smooth functions of the place on the object, so that a point has one
colour from wherever it is seen. Axes: x right, y down, z forward, metres; pixel centres are integers.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
_NEAR = 1e-6


@dataclass(frozen=True)
class Thing:
    """What stands in a scene.

    Attributes:
        shape: ``plane`` (facing ``-z``, endless), ``box`` or ``sphere``.
        centre: [3] metres at time 0.
        size: Half sizes of a box, or the radius of a sphere first.
        velocity: [3] metres a frame.
        slant: Of a plane: metres it comes nearer per metre to the right and down.
        seed: Of its texture.
    """

    shape: Literal["plane", "box", "sphere"]
    centre: tuple[float, float, float]
    size: tuple[float, float, float] = (0.0, 0.0, 0.0)
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    slant: tuple[float, float] = (0.0, 0.0)
    seed: int = 0

    def at(self, t: float) -> F64:
        """Where its centre is at time t."""
        return np.asarray(self.centre) + t * np.asarray(self.velocity)

    def hit(self, origin: F64, ray: F64, t: float) -> F64:
        """[N] multiples of each ray at which it is first met; infinite where it is missed."""
        start = origin - self.at(t)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.shape == "plane":
                normal = np.array([self.slant[0], self.slant[1], 1.0])
                along = -(start @ normal) / (ray @ normal)
            elif self.shape == "sphere":
                a, b, c = (ray**2).sum(axis=1), ray @ start, start @ start - self.size[0] ** 2
                along = (-b - np.sqrt(b * b - a * c)) / a
            else:
                first, second = (-np.asarray(self.size) - start) / ray, (np.asarray(self.size) - start) / ray
                enter = np.minimum(first, second).max(axis=1)
                along = np.where(enter <= np.maximum(first, second).min(axis=1), enter, np.inf)
        return np.where(np.isfinite(along) & (along > _NEAR), along, np.inf)

    def colour(self, local: F64) -> F64:
        """[N, 3] in [0, 255] of places [N, 3] relative to the centre: a sum of waves of several lengths."""
        rng = np.random.default_rng(self.seed)
        made = np.zeros_like(local) + rng.uniform(90, 160, 3)
        for length in (0.15, 0.3, 0.6, 1.2):
            for _ in range(4):
                wave = rng.normal(size=3)
                wave *= 2 * np.pi / length / np.linalg.norm(wave)
                made += 11 * rng.uniform(0.5, 1.5, 3) * np.sin(local @ wave + rng.uniform(0, 6.3))[:, None]
        return np.clip(made, 0, 255)


@dataclass(frozen=True)
class View:
    """What one eye sees at one time.

    Attributes:
        picture: [H, W, 3] uint8.
        depth: [H, W] metres along the optical axis.
        thing: [H, W] which thing is seen.
        place: [H, W, 3] where, metres.
    """

    picture: NDArray[np.uint8]
    depth: F64
    thing: NDArray[np.int64]
    place: F64


@dataclass(frozen=True)
class ExactScene:
    """A scene, a moving stereo camera, and what is true about both.

    Attributes:
        things: What is there; the last one must be seen by every ray that misses the others.
        height: Rows.
        width: Columns.
        focal_px: Focal length.
        camera_velocity: [3] metres a frame of the left eye, from the origin.
        near_m: Depth of inverse depth 1.
        far_m: Depth of inverse depth 0.
        disparity_pct: Disparity from inverse depth 0 to 1, percent of the width; sets the baseline.
        convergence: Inverse depth that lands on the screen.
    """

    things: tuple[Thing, ...]
    height: int = 288
    width: int = 512
    focal_px: float = 480.0
    camera_velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    near_m: float = 2.0
    far_m: float = 12.0
    disparity_pct: float = 8.0
    convergence: float = 0.5
    _views: dict[tuple[float, str], View] = field(default_factory=dict, compare=False, repr=False)

    @property
    def baseline_m(self) -> float:
        """Distance of the eyes."""
        return self.disparity_pct / 100 * self.width / self.focal_px / (1 / self.near_m - 1 / self.far_m)

    @property
    def shift_px(self) -> float:
        """By how much the right picture is moved to the right, so that the screen is where ``convergence`` says."""
        return self.focal_px * self.baseline_m / self.far_m + self.convergence * self.disparity_pct / 100 * self.width

    def view(self, t: float, eye: str = "left") -> View:
        """Draw one eye."""
        if (t, eye) not in self._views:
            self._views[t, eye] = self._draw(t, eye)
        return self._views[t, eye]

    def inverse_depth(self, t: float, eye: str = "left") -> NDArray[np.float32]:
        """[H, W] in [0, 1] for things between ``far_m`` and ``near_m``."""
        span = 1 / self.near_m - 1 / self.far_m
        return ((1 / self.view(t, eye).depth - 1 / self.far_m) / span).astype(np.float32)

    def disparity(self, t: float, eye: str = "left") -> NDArray[np.float32]:
        """[H, W] px, ``x_left - x_right``, of that eye's pixels."""
        inverse = 1 / self.view(t, eye).depth
        return (self.focal_px * self.baseline_m * inverse - self.shift_px).astype(np.float32)

    def hidden(self, t: float, eye: str = "left") -> Bools:
        """[H, W] which pixels of an eye the other eye does not see: behind something, or outside its picture."""
        view, other = self.view(t, eye), "right" if eye == "left" else "left"
        return ~self._seen(view.place, t, other)

    def flow(self, t: float, to: float) -> tuple[NDArray[np.float32], Bools]:
        """[H, W, 2] px where each pixel of the left eye goes, and [H, W] whether it is seen there."""
        view = self.view(t)
        velocity = np.array([thing.velocity for thing in self.things])[view.thing]
        moved = view.place + (to - t) * velocity
        x, y = self._project(moved, to, "left")
        columns, rows = self._grid()
        return np.stack([x - columns, y - rows], axis=-1).astype(np.float32), self._seen(moved, to, "left")

    def clip(self, frames: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """[T, H, W, 3] pictures and [T, H, W] inverse depth of the left eye."""
        times = range(frames)
        return np.stack([self.view(t).picture for t in times]), np.stack([self.inverse_depth(t) for t in times])

    def _eye(self, t: float, eye: str) -> F64:
        position = t * np.asarray(self.camera_velocity)
        return position + (np.array([self.baseline_m, 0, 0]) if eye == "right" else 0)

    def _middle(self, eye: str) -> tuple[float, float]:
        return (self.width - 1) / 2 + (self.shift_px if eye == "right" else 0), (self.height - 1) / 2

    def _grid(self) -> tuple[F64, F64]:
        columns, rows = np.meshgrid(np.arange(self.width, dtype=float), np.arange(self.height, dtype=float))
        return columns, rows

    def _project(self, place: F64, t: float, eye: str) -> tuple[F64, F64]:
        seen = place - self._eye(t, eye)
        cx, cy = self._middle(eye)
        return self.focal_px * seen[..., 0] / seen[..., 2] + cx, self.focal_px * seen[..., 1] / seen[..., 2] + cy

    def _first(self, ray: F64, t: float, eye: str) -> tuple[F64, NDArray[np.int64]]:
        hits = np.stack([thing.hit(self._eye(t, eye), ray, t) for thing in self.things])
        return hits.min(axis=0), hits.argmin(axis=0)

    def _seen(self, place: F64, t: float, eye: str) -> Bools:
        x, y = self._project(place, t, eye)
        inside = (x >= -0.5) & (x < self.width - 0.5) & (y >= -0.5) & (y < self.height - 0.5)
        ray = (place - self._eye(t, eye)).reshape(-1, 3)
        first, _ = self._first(ray, t, eye)
        return np.asarray(inside & (first.reshape(inside.shape) > 1 - 1e-6))

    def _draw(self, t: float, eye: str) -> View:
        columns, rows = self._grid()
        cx, cy = self._middle(eye)
        ray = np.stack(
            [(columns - cx) / self.focal_px, (rows - cy) / self.focal_px, np.ones_like(columns)], axis=-1
        ).reshape(-1, 3)
        depth, which = self._first(ray, t, eye)
        assert np.isfinite(depth).all(), "a ray leaves the scene; end it with a plane"
        place = self._eye(t, eye) + ray * depth[:, None]
        colour = np.empty_like(place)
        for number, thing in enumerate(self.things):
            here = which == number
            colour[here] = thing.colour(place[here] - thing.at(t))
        shape = (self.height, self.width)
        return View(
            np.rint(colour).astype(np.uint8).reshape(*shape, 3), depth.reshape(shape), which.reshape(shape),
            place.reshape(*shape, 3),
        )  # fmt: skip


WALL = Thing("plane", (0, 0, 9.0), seed=1)
FLOOR = Thing("plane", (0, 1.4, 6.0), slant=(0.0, 3.0), seed=2)

SCENES = {
    "board": ExactScene((Thing("box", (0.2, 0.1, 3.2), (0.5, 0.5, 0.02), (0.03, 0, 0), seed=3), WALL)),
    "boxes": ExactScene(
        (
            Thing("box", (-0.9, 0.3, 3.5), (0.35, 0.7, 0.3), (0.03, 0, 0), seed=3),
            Thing("box", (0.9, -0.2, 5.0), (0.6, 0.5, 0.4), (-0.02, 0.01, 0), seed=4),
            WALL,
        ),
        camera_velocity=(0.01, 0, 0),
    ),
    "spheres": ExactScene(
        (
            Thing("sphere", (-0.5, 0.0, 3.4), (0.55, 0, 0), (0.03, 0.01, 0), seed=5),
            Thing("sphere", (1.4, 0.3, 6.0), (0.9, 0, 0), (-0.03, 0, 0), seed=6),
            FLOOR,
            Thing("plane", (0, 0, 10.0), slant=(0.25, 0.0), seed=1),
        ),
        camera_velocity=(0.0, 0.0, 0.03),
    ),
}
"""Three scenes of rising difficulty: one flat board, two boxes and a moving camera, round things over a floor."""
