"""Random places to train on: rooms, streets, country, tables, clutter; people and hands near the camera.

Everything comes from one generator of random numbers, so a seed names a scene.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.worlds import textures
from spatialdreamer_core.worlds.assets import Assets
from spatialdreamer_core.worlds.furniture import Model
from spatialdreamer_core.worlds.mesh import Mesh, blob, box, grid_mesh, join, quad, tube
from spatialdreamer_core.worlds.scene import Air, Camera, Light, Materials, Scene, gradient_dome, look

F32 = NDArray[np.float32]
Rng = np.random.Generator


@dataclass
class Builder:
    """Collects meshes and materials while a place is put together."""

    rng: Rng
    assets: Assets
    meshes: list[Mesh] = field(default_factory=list)
    colour: list[F32] = field(default_factory=list)
    gloss: list[float] = field(default_factory=list)
    glow: list[float] = field(default_factory=list)
    texture: list[int] = field(default_factory=list)
    bank: textures.TextureBank = field(default_factory=textures.TextureBank)
    _files: dict[Path, int] = field(default_factory=dict)

    def material(
        self, picture: NDArray[np.uint8] | None = None, colour: F32 | None = None, gloss: float = 0, glow: float = 0
    ) -> int:
        """A new material: a texture, a colour (sRGB, 0 to 1), or their product."""
        tone = np.ones(3, np.float32) if colour is None else np.asarray(colour, np.float32)
        self.colour.append((tone**2).astype(np.float32))
        self.gloss.append(gloss)
        self.glow.append(glow)
        self.texture.append(-1 if picture is None else self.bank.add(picture))
        return len(self.colour) - 1

    def surface(self, photo_share: float = 0.4) -> int:
        """A random material for anything: a photograph, a pattern or a plain colour."""
        rng = self.rng
        gloss = float(rng.uniform(0, 0.6)) if rng.random() < 0.3 else 0.0
        pick = rng.random()
        if pick < photo_share and self.assets.photos:
            return self.material(self.assets.photo(rng), gloss=gloss)
        if pick < 0.75:
            return self.material(textures.pattern(rng), gloss=gloss)
        return self.material(None, any_colour(rng), gloss=gloss)

    def wall(self) -> int:
        """Wall paint, mostly plain; at times a wallpaper or a photograph."""
        rng = self.rng
        if rng.random() < 0.55:
            tone = rng.uniform(0.45, 1) + rng.normal(0, 0.05, 3)
            return self.material(None, np.clip(tone, 0.05, 1))
        return self.surface(0.25)

    def add(self, mesh: Mesh) -> None:
        """Put triangles in."""
        self.meshes.append(mesh)

    def put(
        self, model: Model, at: tuple[float, float, float], turn_rad: float, scale: float = 1.0, tint: float = 0.25
    ) -> None:
        """Stand a model somewhere, its colours varied by ``tint``."""
        first = len(self.colour)
        tone = np.clip(1 + self.rng.normal(0, tint, 3), 0.3, 1.3)
        for m, path in enumerate(model.textures):
            self.colour.append((np.clip(model.colours[m] * tone, 0, 1.2) ** 2).astype(np.float32))
            self.gloss.append(float(model.gloss[m]) * 0.5)
            self.glow.append(0.0)
            number = -1
            if path is not None:
                if path not in self._files:
                    picture = self.assets.picture(path)
                    self._files[path] = -1 if picture is None else self.bank.add(picture)
                number = self._files[path]
            self.texture.append(number)
        mesh = model.mesh.moved(scale=scale, turn_rad=turn_rad, to=at)
        self.meshes.append(replace(mesh, material=mesh.material + np.int32(first)))

    def materials(self) -> Materials:
        """The finished table."""
        return Materials(
            np.array(self.colour, np.float32), np.array(self.gloss, np.float32), np.array(self.glow, np.float32),
            np.array(self.texture, np.int32), self.bank,
        )  # fmt: skip


def any_colour(rng: Rng) -> F32:
    """Greys more often than bright colours."""
    grey = rng.uniform(0.02, 1)
    return np.clip(grey + rng.normal(0, 0.2 if rng.random() < 0.3 else 0.04, 3), 0.02, 1).astype(np.float32)


def skin(rng: Rng) -> F32:
    """A skin tone."""
    tone = rng.uniform(0.35, 0.95)
    return np.clip(np.array([1, 0.78, 0.65]) * tone + rng.normal(0, 0.02, 3), 0, 1).astype(np.float32)


def vec(*values: float) -> F32:
    """A float32 vector."""
    return np.array(values, np.float32)


@dataclass
class Place:
    """A place before the camera comes: where it may stand, what it may look at."""

    builder: Builder
    light: Light
    air: Air
    stand: Callable[[Rng], tuple[F32, F32]]
    floor_y: float
    outdoors: bool


def _figure(b: Builder, x: float, z: float, floor: float, turn: float) -> None:
    """A person: a model where there is one, else rounded parts."""
    rng = b.rng
    found = b.assets.model(rng, "person") if rng.random() < 0.75 else None
    if found is not None:
        b.put(found[1], (x, floor, z), turn, scale=float(rng.uniform(0.93, 1.1)), tint=0.12)
        return
    tall = rng.uniform(1.5, 1.95) if rng.random() < 0.85 else rng.uniform(0.9, 1.4)
    k = tall / 1.75
    wide = rng.uniform(0.9, 1.25)
    top, legs, face = b.surface(0.5), b.surface(0.3), b.material(None, skin(rng))
    hair = b.material(None, np.clip(rng.uniform(0.02, 0.5) * vec(1, 0.8, 0.6), 0, 1))
    parts = []
    stride = rng.uniform(0, 0.25)
    for side in (-1, 1):
        hip, foot = vec(side * 0.1, 0.9, 0) * k, vec(side * 0.11, 0.0, side * stride) * k
        parts.append(tube(hip, foot, (0.1 * k * wide, 0.06 * k), legs))
        shoulder = vec(side * 0.2 * wide, 1.42, 0) * k
        hand = vec(side * rng.uniform(0.15, 0.5), rng.uniform(0.75, 1.5), -rng.uniform(-0.1, 0.5)) * k
        elbow = (shoulder + hand) / 2 + vec(side * 0.07, -0.08, 0.05)
        parts += [tube(shoulder, elbow, (0.065 * k, 0.05 * k), top), tube(elbow, hand, (0.05 * k, 0.035 * k), top)]
        parts.append(blob(hand, vec(0.05, 0.07, 0.04) * k, face, parts=8))
    parts.append(blob(vec(0, 1.15, 0) * k, vec(0.21 * wide, 0.36, 0.14 * wide) * k, top, parts=14, repeats=0.6))
    parts.append(tube(vec(0, 1.4, 0) * k, vec(0, 1.55, 0) * k, (0.06 * k, 0.055 * k), face))
    parts.append(blob(vec(0, 1.64, 0) * k, vec(0.085, 0.12, 0.1) * k, face, parts=14))
    if rng.random() < 0.9:
        parts.append(
            blob(vec(0, 1.675, 0.025) * k, vec(0.097, 0.105, 0.1) * k, hair, rough=0.1, seed=int(rng.integers(1 << 30)))
        )
    b.add(join(parts).moved(turn_rad=turn, to=(x, floor, z)))


def _thing(b: Builder, at: F32, size: float) -> None:
    """A small object of about ``size`` metres that stands on ``at``."""
    rng = b.rng
    kind = rng.integers(0, 7)
    found = b.assets.model(rng, "small") if kind <= 2 else None
    if found is not None:
        b.put(found[1], tuple(at), float(rng.uniform(0, 6.28)), scale=float(size / max(*found[0].size, 1e-3)))
        return
    m = b.surface(0.4)
    s = size * rng.uniform(0.4, 1, 3)
    if kind in (0, 3):
        b.add(box(vec(0, s[1] / 2, 0), s, m, 0).moved(turn_rad=float(rng.uniform(0, 6.28)), to=tuple(at)))
    elif kind in (1, 4):
        b.add(
            blob(at + vec(0, s[1] / 2, 0), s / 2, m, rough=float(rng.uniform(0, 0.3)), seed=int(rng.integers(1 << 30)))
        )
    elif kind == 5:
        b.add(tube(at, at + vec(0, float(s[1]), 0), (float(s[0]) / 3, float(s[0]) / 3 * rng.uniform(0.3, 1.4)), m))
    else:
        lean = at + vec(*(rng.normal(0, 0.2, 2)), 0) * size + vec(0, size, 0)
        b.add(tube(at, lean, (size * 0.04, size * 0.03), m))


def _dome(rng: Rng, assets: Assets, night: bool) -> F32:
    if assets.domes and rng.random() < 0.45 and not night:
        dome = assets.domes[int(rng.integers(len(assets.domes)))]
        return np.ascontiguousarray(dome / max(float(np.median(dome)), 1e-3) * rng.uniform(0.25, 0.6), np.float32)
    if night:
        return gradient_dome(rng, rng.uniform(0, 0.01, 3), rng.uniform(0, 0.05, 3), 0.0)
    grey = rng.random() < 0.35
    top = rng.uniform(0.3, 0.8) * np.ones(3) if grey else np.array([0.08, 0.2, 0.55]) * rng.uniform(0.5, 1.6)
    horizon = np.clip(
        rng.uniform(0.4, 0.9) + rng.normal(0, 0.06, 3) + (rng.random() < 0.2) * np.array([0.2, 0, -0.2]), 0, 1
    )
    return gradient_dome(rng, top.astype(np.float32), horizon.astype(np.float32), float(rng.uniform(0, 0.8)))


def _sun(rng: Rng, reach: float, night: bool) -> Light:
    azimuth, height = rng.uniform(0, 6.28), rng.uniform(0.25, 1.4)
    direction = vec(np.cos(azimuth) * np.cos(height), np.sin(height), np.sin(azimuth) * np.cos(height))
    power = 0.1 if night else rng.choice([0.15, 0.8, 1.6, 2.5])
    warm = np.array([1, 0.93, 0.82]) ** rng.uniform(0, 2.5)
    sky = np.array([0.75, 0.85, 1.0]) * rng.uniform(0.35, 0.8) * (0.3 if night else 1)
    return Light(
        position=direction * reach * 4,
        target=vec(0, 0, reach * 0.35),
        colour=(warm * power).astype(np.float32),
        falloff=0.0,
        cone_deg=28.0,
        fill_from=vec(*rng.normal(0, 1, 3)) / 2,
        fill=np.full(3, 0.15, np.float32),
        sky=sky.astype(np.float32),
        ground=(sky * rng.uniform(0.2, 0.6)).astype(np.float32),
        crevice=float(rng.uniform(0.2, 0.7)),
    )


def _shelves(b: Builder, x: float, z: float, turn: float, wide: float, tall: float) -> None:
    """Boards against a wall with books, boxes and things on them."""
    rng = b.rng
    deep, levels = float(rng.uniform(0.2, 0.5)), int(rng.integers(2, 6))
    wood = b.surface(0.05)
    parts: list[tuple[Mesh, F32]] = []
    for side in (-0.5, 0.5):
        parts.append((box(vec(0, tall / 2, 0), vec(0.03, tall, deep), wood, 0), vec(side * wide, 0, 0)))
    c, s = np.cos(turn), np.sin(turn)
    for k in range(levels + 1):
        y = tall * k / levels
        parts.append((box(vec(0, y, 0), vec(wide, 0.025, deep), wood, 0), vec(0, 0, 0)))
        left = -wide / 2 + 0.05
        while k < levels and left < wide / 2 - 0.1:
            size = rng.uniform([0.02, 0.1, 0.1], [0.06, 0.3, deep]) if rng.random() < 0.7 else rng.uniform(0.1, 0.35, 3)
            size[1] = min(size[1], tall / levels * 0.9)
            if rng.random() < 0.85:
                m = b.material(None, any_colour(rng)) if rng.random() < 0.6 else b.surface(0.5)
                at = vec(left + size[0] / 2, y + size[1] / 2, rng.uniform(-0.3, 0.3) * (deep - size[2]))
                parts.append((box(vec(0, 0, 0), size, m, 0), at))
            left += size[0] + rng.uniform(0, 0.03)
    for mesh, at in parts:
        moved = vec(c * at[0] + s * at[2] + x, at[1], c * at[2] - s * at[0] + z)
        b.add(mesh.moved(turn_rad=turn, to=tuple(moved)))


def _lived_in(b: Builder, across: tuple[float, float], deep: float) -> None:
    """Skirting, shelves, cables and things left on the floor."""
    rng = b.rng
    x0, x1 = across
    if rng.random() < 0.6:
        strip, tall = b.material(None, any_colour(rng)), float(rng.uniform(0.05, 0.2))
        for x in (x0 + 0.01, x1 - 0.01):
            b.add(box(vec(x, tall / 2, deep / 2), vec(0.02, tall, deep), strip, 0))
        b.add(box(vec((x0 + x1) / 2, tall / 2, deep - 0.01), vec(x1 - x0, tall, 0.02), strip, 0))
    for _ in range(rng.choice([0, 1, 2, 3])):
        wide, tall = float(rng.uniform(0.6, 2.4)), float(rng.uniform(0.6, 2.2))
        side = rng.integers(0, 3)
        if side == 0:
            _shelves(b, float(rng.uniform(x0 + 0.6, x1 - 0.6)), deep - 0.3, 0.0, wide, tall)
        else:
            x = x0 + 0.3 if side == 1 else x1 - 0.3
            _shelves(b, x, float(rng.uniform(1, deep - 0.5)), 1.57, wide, tall)
    for _ in range(rng.integers(0, 12)):
        at = vec(rng.uniform(x0, x1) * 0.9, 0, rng.uniform(0.5, deep))
        _thing(b, at, float(rng.uniform(0.08, 0.6)))
    for _ in range(rng.choice([0, 0, 1, 2, 4])):
        at = vec(rng.uniform(x0, x1) * 0.8, 0.01, rng.uniform(0.6, deep))
        m, heading = b.material(None, any_colour(rng)), rng.uniform(0, 6.28)
        for _ in range(rng.integers(3, 12)):
            heading += rng.normal(0, 0.5)
            end = at + vec(np.cos(heading), 0, np.sin(heading)) * 0.2
            b.add(tube(at, end, (0.006, 0.006), m, sides=5))
            at = end


def room(rng: Rng, assets: Assets) -> Place:
    """A furnished room; the camera stands inside."""
    b = Builder(rng, assets)
    w, d, h = rng.uniform(2.5, 8), rng.uniform(3, 11), rng.uniform(2.3, 3.6)
    floor = b.material(
        textures.ground(rng) if rng.random() < 0.7 else None,
        any_colour(rng) if rng.random() < 0.3 else None,
        gloss=float(rng.choice([0, 0.3])),
    )
    same = b.wall()
    walls = [same if rng.random() < 0.7 else b.wall() for _ in range(4)]
    ceiling = b.material(None, np.clip(rng.uniform(0.6, 1) + rng.normal(0, 0.03, 3), 0, 1))
    rep = float(rng.uniform(0.4, 1.5))
    x0, x1 = -w / 2, w / 2
    b.add(quad(vec(x0, 0, d), vec(w, 0, 0), vec(0, 0, -d), floor, (w * rep, d * rep)))
    b.add(quad(vec(x0, h, 0), vec(w, 0, 0), vec(0, 0, d), ceiling, (w, d)))
    sides = [
        (vec(x0, h, d), vec(w, 0, 0), w), (vec(x1, h, 0), vec(-w, 0, 0), w),
        (vec(x0, h, 0), vec(0, 0, d), d), (vec(x1, h, d), vec(0, 0, -d), d),
    ]  # fmt: skip
    for (corner, along, length), m in zip(sides, walls, strict=True):
        b.add(quad(corner, along, vec(0, -h, 0), m, (length * rep, h * rep)))
        inward = np.cross(along / length, vec(0, 1, 0))
        inward = inward * np.sign(np.dot(vec(0, h / 2, d / 2) - corner, inward))
        for _ in range(rng.integers(0, 5)):  # posters, windows, doors: flat things on the wall
            pw, ph = rng.uniform(0.3, min(2.2, length)), rng.uniform(0.3, 1.6)
            at = rng.uniform(0, max(length - pw, 0.01))
            top = rng.uniform(0.05, max(h - ph, 0.06))
            bright = rng.random() < 0.3
            face = b.material(
                assets.photo(rng) if rng.random() < 0.7 else textures.pattern(rng),
                glow=float(rng.uniform(0.8, 3) if bright else 0),
                gloss=0.2,
            )
            b.add(
                quad(
                    corner + along / length * at + vec(0, -top, 0) + inward * 0.02,
                    along / length * pw,
                    vec(0, -ph, 0),
                    face,
                )
            )
    if rng.random() < 0.4:  # a rug: flat as well
        rw, rd = rng.uniform(1, w * 0.8), rng.uniform(1, d * 0.6)
        rx, rz = rng.uniform(x0, x1 - rw), rng.uniform(rd, d)
        b.add(quad(vec(rx, 0.01, rz), vec(rw, 0, 0), vec(0, 0, -rd), b.surface(0.5)))
    for _ in range(rng.integers(4, 22) if rng.random() < 0.6 else rng.integers(18, 40)):
        found = assets.model(rng, str(rng.choice(["large", "large", "large", "small", "hung", "exterior"])))
        x, z = rng.uniform(x0, x1), rng.uniform(0.3, d)
        turn = float(rng.choice([0, 1.57, 3.14, 4.71]) if rng.random() < 0.6 else rng.uniform(0, 6.28))
        if rng.random() < 0.6:  # most furniture stands along the walls
            side = rng.integers(0, 3)
            depth = found[0].size[2] / 2 if found else 0.3
            x, z, turn = (
                (x, d - depth, 0.0) if side == 0 else ((x0 + depth, z, 4.71) if side == 1 else (x1 - depth, z, 1.57))
            )
        if found is None:
            size = rng.uniform(0.2, 1.4, 3)
            b.add(box(vec(x, size[1] / 2, z), size, b.surface(), 0))
            continue
        card, model = found
        b.put(model, (float(x), card.elevation, float(z)), turn)
        if 0.35 < card.size[1] < 1.1 and card.elevation == 0:
            for _ in range(rng.integers(0, 4)):
                spot = vec(
                    x + rng.uniform(-0.3, 0.3) * card.size[0], card.size[1], z + rng.uniform(-0.3, 0.3) * card.size[2]
                )
                _thing(b, spot, float(rng.uniform(0.08, 0.4)))
    if rng.random() < 0.5:
        _lived_in(b, (x0, x1), d)
    for _ in range(rng.choice([0, 0, 1, 2, 3])):
        _figure(
            b,
            float(rng.uniform(x0 * 0.8, x1 * 0.8)),
            float(rng.uniform(1.2, d - 0.4)),
            0.0,
            float(rng.uniform(0, 6.28)),
        )
    if rng.random() < 0.25:
        _figure(b, float(rng.uniform(-0.5, 0.5)), float(d * rng.uniform(0.3, 0.6)), 0.0, float(rng.normal(0, 0.5)))
    lamp = vec(rng.uniform(x0, x1) * 0.8, h * rng.uniform(0.6, 0.97), rng.uniform(0.1, 0.9) * d)
    warm = np.array([1, 0.9, 0.75]) ** rng.uniform(-0.3, 2)
    base = rng.uniform(0.15, 0.6)
    light = Light(
        lamp,
        vec(rng.uniform(x0, x1) * 0.3, 0, d / 2),
        (warm * rng.uniform(0.6, 2)).astype(np.float32),
        float(rng.uniform(0.01, 0.15)),
        130.0,
        vec(*rng.normal(0, 0.6, 3)),
        (warm * rng.uniform(0, 0.3)).astype(np.float32),
        np.full(3, base, np.float32),
        np.full(3, base * rng.uniform(0.5, 1), np.float32),
        float(rng.uniform(0.3, 0.9)),
    )

    def stand(r: Rng) -> tuple[F32, F32]:
        eye = vec(r.uniform(x0, x1) * 0.85, r.uniform(0.4, min(2.0, h - 0.2)), r.uniform(0.1, 0.45) * d)
        aim = vec(r.uniform(x0, x1) * 0.7, r.uniform(0.1, h * 0.75), r.uniform(0.65, 1.0) * d)
        low = r.random()
        if low < 0.12:  # from near the floor, as a robot or a child sees it
            eye = vec(r.uniform(x0, x1) * 0.6, r.uniform(0.2, 0.7), r.uniform(0.05, 0.4) * d)
            aim = eye + vec(r.normal(0, 0.5), r.uniform(-0.5, 0.05), 1)
        elif low < 0.5:  # into the length of the room, level
            eye = vec(r.uniform(x0, x1) * 0.5, r.uniform(0.9, 1.8), r.uniform(0.05, 0.2) * d)
            aim = eye + vec(r.normal(0, 0.4), r.normal(-0.12, 0.15), 1)
        return eye, aim

    return Place(b, light, Air(np.full((256, 512, 3), 0.5, np.float32), 0.0, 0.0), stand, 0.0, False)


def street(rng: Rng, assets: Assets) -> Place:
    """A road between houses, with people, cars, trees, poles and fences."""
    b = Builder(rng, assets)
    night = rng.random() < 0.2
    road, walk = rng.uniform(3, 9), rng.uniform(1.5, 5)
    length = rng.uniform(60, 220)
    shiny = 0.5 if rng.random() < 0.25 else 0.0
    asphalt = b.material(
        textures._ground(rng) if rng.random() < 0.7 else textures.ground(rng),
        vec(1, 1, 1) * rng.uniform(0.5, 1),
        gloss=shiny,
    )
    pave = b.material(textures.ground(rng), gloss=shiny)
    b.add(
        quad(
            vec(-300, 0, length * 2),
            vec(600, 0, 0),
            vec(0, 0, -length * 2 - 60),
            b.material(textures.ground(rng)),
            (200, 200),
        )
    )
    b.add(quad(vec(-road, 0.01, length), vec(2 * road, 0, 0), vec(0, 0, -length - 50), asphalt, (road / 2, length / 4)))
    curb = rng.uniform(0.02, 0.18)
    for side in (-1, 1):
        b.add(box(vec(side * (road + walk / 2), curb / 2, length / 2 - 25), vec(walk, curb, length + 50), pave, 0.5))
        z = -40.0
        one_row = rng.random() < 0.85
        while z < length and one_row:
            deep, tall = rng.uniform(5, 22), rng.uniform(3, 28)
            if rng.random() < 0.88:
                face = b.material(
                    textures.facade(rng)
                    if rng.random() < 0.65
                    else (assets.photo(rng) if rng.random() < 0.6 else textures.pattern(rng)),
                    any_colour(rng) * 0.5 + 0.5,
                    glow=float(rng.uniform(0.1, 0.8)) if night else 0.0,
                )
                back = rng.uniform(0, 1.5)
                b.add(
                    box(
                        vec(side * (road + walk + 5 + back), tall / 2, z + deep / 2),
                        vec(10, tall, deep),
                        face,
                        float(rng.choice([0.06, 0.1, 0.2, 0.3])),
                    )
                )
                for _ in range(rng.integers(0, 4)):  # signs and shop windows
                    photo = assets.photo(rng)
                    sign = b.material(
                        photo if rng.random() < 0.7 else textures.pattern(rng),
                        glow=float(rng.uniform(0.5, 4) if night else 0),
                    )
                    sz, sh, sy = rng.uniform(0.5, deep), rng.uniform(0.5, 3), rng.uniform(0.5, max(tall - 3, 1))
                    x = side * (road + walk + back - 0.03)
                    start = vec(x, sy + sh, z + rng.uniform(0, deep - sz * 0.5))
                    b.add(
                        quad(
                            start, vec(0, 0, sz) if rng.random() < 0.7 else vec(-side * 1.2, 0, 0), vec(0, -sh, 0), sign
                        )
                    )
            z += deep + (rng.uniform(1, 10) if rng.random() < 0.2 else 0)
        for _ in range(rng.integers(0, 14)):
            x, z = side * (road + rng.uniform(0.2, walk - 0.3)), rng.uniform(1, length * 0.5) ** 1.0
            pick = rng.random()
            if pick < 0.3:
                _figure(b, float(x), float(z), curb, float(rng.uniform(0, 6.28)))
            elif pick < 0.5:
                _tree(b, float(x), float(z), curb)
            elif pick < 0.8:
                tall = rng.uniform(0.8, 7)
                r = rng.uniform(0.02, 0.12)
                b.add(tube(vec(x, 0, z), vec(x, tall, z), (r, r * 0.8), b.surface(0.1)))
                if rng.random() < 0.5:
                    b.add(quad(vec(x - 0.4, tall, z), vec(0.8, 0, 0), vec(0, -0.8, 0), b.surface(0.6)))
            elif (found := assets.model(rng, "exterior")) is not None:
                b.put(found[1], (float(x), curb, float(z)), float(rng.uniform(0, 6.28)))
        if rng.random() < 0.25:
            z0, n = rng.uniform(0, 20), rng.uniform(4, 40)
            m = b.material(textures.fence(rng))
            b.add(quad(vec(side * (road + 0.2), curb + 1.1, z0), vec(0, 0, n), vec(0, -1.1, 0), m, (n / 1.1, 1)))
    for _ in range(rng.integers(0, 9)):
        x, z = rng.uniform(-road, road), rng.uniform(2, length * 0.6)
        found = assets.model(rng, "vehicle")
        if rng.random() < 0.45 or found is None:
            _figure(b, float(x), float(z), 0.01, float(rng.uniform(0, 6.28)))
        else:
            turn = (
                float(rng.choice([0, 3.14]) + rng.normal(0, 0.1)) if rng.random() < 0.8 else float(rng.uniform(0, 6.28))
            )
            b.put(found[1], (float(np.sign(x) * road * 0.6), 0.01, float(z)), turn, tint=0.4)

    def stand(r: Rng) -> tuple[F32, F32]:
        eye = vec(
            r.uniform(-1, 1) * (road + walk * 0.8),
            r.uniform(0.7, 2.2) if r.random() < 0.85 else r.uniform(3, 9),
            r.uniform(-3, 10),
        )
        aim = eye + vec(r.normal(0, 0.35), r.normal(-0.05, 0.12), 1)
        if r.random() < 0.2:  # across the street
            aim = eye + vec(float(-np.sign(eye[0])), r.normal(-0.05, 0.1), r.normal(0, 0.6))
        return eye, aim

    return Place(
        b,
        _sun(rng, 40, night),
        Air(_dome(rng, assets, night), float(rng.uniform(0, 6.28)), float(rng.choice([0, 0, 0.003, 0.01]))),
        stand,
        0.0,
        True,
    )


def _tree(b: Builder, x: float, z: float, floor: float) -> None:
    rng = b.rng
    found = b.assets.model(rng, "tree") if rng.random() < 0.5 else None
    if found is not None:
        b.put(found[1], (x, floor, z), float(rng.uniform(0, 6.28)), scale=float(rng.uniform(0.7, 1.4)))
        return
    trunk, tall = b.material(textures._ground(rng), vec(0.6, 0.45, 0.3)), rng.uniform(1.5, 9)
    r = tall * rng.uniform(0.015, 0.05)
    b.add(tube(vec(x, floor - 0.3, z), vec(x + rng.normal(0, 0.1) * tall, floor + tall * 0.8, z), (r, r * 0.5), trunk))
    leaf = b.material(textures.foliage(rng))
    for k in range(rng.integers(2, 7)):  # crossed billboards make a crown
        wide = tall * rng.uniform(0.35, 0.8)
        angle = k * 1.1 + rng.normal(0, 0.3)
        along = vec(np.cos(angle), 0, np.sin(angle)) * wide
        centre = vec(x, floor + tall * rng.uniform(0.7, 1.0), z) + vec(*rng.normal(0, 0.1, 3)) * wide
        b.add(quad(centre - along / 2 + vec(0, wide / 2, 0), along, vec(0, -wide, 0), leaf))


def country(rng: Rng, assets: Assets) -> Place:
    """Hills, trees, stones, a path or water; people and animals at times."""
    b = Builder(rng, assets)
    size, n = rng.uniform(60, 400), 80
    relief = rng.choice([0.0, 0.01, 0.03, 0.08]) * size
    bumps = textures.noise(rng, 128, power=float(rng.uniform(1.6, 2.4)))
    z = np.linspace(0, 1, n) ** 1.8 * size * 1.2 - 6
    x = np.sign(np.linspace(-1, 1, n)) * np.abs(np.linspace(-1, 1, n)) ** 1.5 * size
    gx, gz = np.meshgrid(x, z)
    height = bumps[(np.abs(gz) / size * 90).astype(int) % 128, ((gx / size + 1) * 60).astype(int) % 128]
    far = np.clip(gz / size, 0, 1)
    height = (height - 0.4) * relief * (0.05 + far) + far**2 * rng.choice([0, 0, 0.15, 0.35]) * size * height
    height -= height[(np.abs(gz) < 4) & (np.abs(gx) < 4)].mean() if ((np.abs(gz) < 4) & (np.abs(gx) < 4)).any() else 0
    earth = b.material(textures._grass(rng) if rng.random() < 0.6 else textures.ground(rng))
    b.add(grid_mesh(np.stack([gx, height, gz], axis=-1).astype(np.float32), earth, (size / 2, size / 2)))

    def floor(px: float, pz: float) -> float:
        i, j = int(np.argmin(np.abs(z - pz))), int(np.argmin(np.abs(x - px)))
        return float(height[i, j])

    if rng.random() < 0.25:
        sea = b.material(textures._clouds(rng), vec(0.4, 0.6, 0.8), gloss=0.8)
        level = float(rng.uniform(-0.6, 0.3))
        b.add(
            quad(
                vec(-2 * size, level, 3 * size),
                vec(4 * size, 0, 0),
                vec(0, 0, -3 * size - 10),
                sea,
                (size / 3, size / 3),
            )
        )
    for _ in range(rng.integers(3, 45)):
        px, pz = float(rng.normal(0, 0.2) * size), float(rng.uniform(0.01, 0.75) ** 1.7 * size + 2)
        pick = rng.random()
        if pick < 0.55:
            _tree(b, px, pz, floor(px, pz))
        elif pick < 0.75:
            r = rng.uniform(0.1, 1.6, 3) * (1 + pz / size * 3)
            b.add(
                blob(
                    vec(px, floor(px, pz), pz),
                    r,
                    b.material(textures._ground(rng)),
                    rough=0.5,
                    seed=int(rng.integers(1 << 30)),
                )
            )
        elif pick < 0.9:
            wide = float(rng.uniform(0.3, 2))
            leaf = b.material(textures.foliage(rng))
            for k in range(3):
                along = vec(np.cos(k * 1.05), 0, np.sin(k * 1.05)) * wide
                b.add(quad(vec(px, floor(px, pz) + wide * 0.8, pz) - along / 2, along, vec(0, -wide, 0), leaf))
        else:
            found = assets.model(rng, str(rng.choice(["animal", "exterior", "vehicle"])))
            if found is not None:
                b.put(found[1], (px, floor(px, pz), pz), float(rng.uniform(0, 6.28)))
    for _ in range(rng.choice([0, 0, 1, 2, 4])):
        px, pz = float(rng.normal(0, 3)), float(rng.uniform(2, 20))
        _figure(b, px, pz, floor(px, pz), float(rng.uniform(0, 6.28)))
    if rng.random() < 0.3:
        for _ in range(rng.integers(1, 6)):
            px, pz = float(rng.normal(0, 0.25) * size), float(rng.uniform(0.1, 0.8) * size)
            s = rng.uniform(4, 15, 3)
            b.add(box(vec(px, floor(px, pz) + s[1] / 2 - 0.5, pz), s, b.material(textures.facade(rng)), 0.2))
    if rng.random() < 0.2:
        n_m, zf = float(rng.uniform(10, 60)), float(rng.uniform(3, 20))
        b.add(
            quad(
                vec(-n_m / 2, floor(0, zf) + 1.2, zf),
                vec(n_m, 0, rng.normal(0, 3)),
                vec(0, -1.3, 0),
                b.material(textures.fence(rng)),
                (n_m, 1),
            )
        )

    def stand(r: Rng) -> tuple[F32, F32]:
        eye = vec(r.normal(0, 1.5), 0, r.uniform(-2, 2))
        eye[1] = floor(float(eye[0]), float(eye[2])) + (r.uniform(0.25, 2.2) if r.random() < 0.85 else r.uniform(3, 20))
        return eye, eye + vec(r.normal(0, 0.3), r.normal(-0.06, 0.12), 1)

    return Place(
        b,
        _sun(rng, min(size * 0.3, 40), False),
        Air(_dome(rng, assets, False), float(rng.uniform(0, 6.28)), float(rng.choice([0, 0, 1, 3]) / size)),
        stand,
        0.0,
        True,
    )


def table(rng: Rng, assets: Assets) -> Place:
    """Objects on a table seen from near, a wall or a room far behind."""
    b = Builder(rng, assets)
    w, d, top = rng.uniform(0.5, 2.2), rng.uniform(0.4, 1.4), 0.75
    plate = b.material(
        textures.pattern(rng) if rng.random() < 0.55 else assets.photo(rng) if rng.random() < 0.4 else None,
        any_colour(rng) if rng.random() < 0.6 else None,
        gloss=float(rng.choice([0, 0.3, 0.6])),
    )
    b.add(box(vec(0, top - 0.02, d / 2), vec(w * 2, 0.04, d), plate, float(rng.choice([0, 0.8, 2]))))
    back = d + (rng.uniform(0, 0.3) if rng.random() < 0.4 else rng.uniform(0.5, 6))
    b.add(quad(vec(-8, 4, back), vec(16, 0, 0), vec(0, -4, 0), b.wall(), (8, 2)))
    b.add(quad(vec(-8, 0, back), vec(16, 0, 0), vec(0, 0, -back - 3), b.material(textures.ground(rng)), (12, 6)))
    for _ in range(rng.integers(0, 6)):
        pw, ph = rng.uniform(0.3, 3), rng.uniform(0.3, 2)
        b.add(
            quad(vec(rng.uniform(-3, 2), rng.uniform(1, 3), back - 0.02), vec(pw, 0, 0), vec(0, -ph, 0), b.surface(0.7))
        )
    for _ in range(rng.integers(0, 5)):
        if back > d + 1 and (found := assets.model(rng, "large")) is not None:
            b.put(
                found[1],
                (float(rng.uniform(-2.5, 2.5)), 0, float(rng.uniform(d + 0.5, back))),
                float(rng.uniform(0, 6.28)),
            )
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        _figure(
            b,
            float(rng.uniform(-0.8, 0.8)),
            float(d + rng.uniform(0.15, 0.6)),
            rng.uniform(-0.45, 0.0),
            float(rng.normal(0, 0.4)),
        )
    scale = rng.uniform(0.4, 1.3)
    count = rng.integers(1, 5) if rng.random() < 0.4 else rng.integers(4, 30)
    for _ in range(count):
        at = vec(rng.normal(0, 0.28) * w, top, np.clip(rng.normal(0.5, 0.25), 0.05, 0.95) * d)
        _thing(b, at, float(rng.uniform(0.05, 0.35) * scale))
    if rng.random() < 0.35:
        _arms(
            b,
            vec(0, top + 0.05, d * 0.1),
            vec(rng.normal(0, 0.15), top + 0.08, d * rng.uniform(0.3, 0.7)),
            back_too=True,
        )
    base = rng.uniform(0.2, 0.7)
    light = Light(
        vec(rng.normal(0, 1.2), rng.uniform(1.6, 2.8), rng.uniform(-0.5, d + 0.3)),
        vec(0, top, d / 2),
        np.full(3, rng.uniform(0.4, 1.5), np.float32),
        0.05,
        100.0,
        vec(*rng.normal(0, 0.6, 3)),
        np.full(3, rng.uniform(0, 0.3), np.float32),
        np.full(3, base, np.float32),
        np.full(3, base * rng.uniform(0.4, 1), np.float32),
        float(rng.uniform(0.3, 0.9)),
    )

    def stand(r: Rng) -> tuple[F32, F32]:
        if r.random() < 0.25:  # from above
            eye = vec(r.normal(0, 0.15), top + r.uniform(0.4, 1.1), d * r.uniform(0.05, 0.5))
        else:
            eye = vec(r.normal(0, 0.3), top + r.uniform(0.05, 0.6), -r.uniform(0.0, 0.7))
        return eye, vec(r.normal(0, 0.15) * w, top + r.uniform(-0.05, 0.2), d * r.uniform(0.45, 0.8))

    return Place(b, light, Air(np.full((256, 512, 3), 0.4, np.float32), 0, 0), stand, top - 1.2, False)


def clutter(rng: Rng, assets: Assets) -> Place:
    """Shapes in the air before a far wall or a sky: order by occlusion alone."""
    b = Builder(rng, assets)
    for _ in range(rng.integers(6, 40)):
        z = rng.uniform(0.7, 12)
        at = vec(rng.normal(0, 0.5) * z, rng.normal(0, 0.35) * z + 1, z)
        s = rng.uniform(0.1, 0.9, 3) * z * 0.4
        kind = rng.integers(0, 4)
        if kind == 0:
            b.add(box(vec(0, 0, 0), s, b.surface(0.6), 0).moved(turn_rad=float(rng.uniform(0, 6.28)), to=tuple(at)))
        elif kind == 1:
            b.add(blob(at, s / 2, b.surface(0.6), rough=float(rng.uniform(0, 0.6)), seed=int(rng.integers(1 << 30))))
        elif kind == 2:
            b.add(quad(at, vec(*rng.normal(0, 1, 3)) * s[0], vec(*rng.normal(0, 1, 3)) * s[1], b.surface(0.8)))
        else:
            b.add(
                tube(
                    at,
                    at + vec(*rng.normal(0, 1, 3)) * s[0] * 2,
                    (float(s[1]) * 0.1, float(s[2]) * 0.1),
                    b.surface(0.4),
                )
            )
    outdoors = rng.random() < 0.4
    if not outdoors:
        b.add(quad(vec(-40, 30, 14), vec(80, 0, rng.normal(0, 4)), vec(0, -60, 0), b.surface(0.6), (6, 4)))

    def stand(r: Rng) -> tuple[F32, F32]:
        eye = vec(r.normal(0, 0.3), 1 + r.normal(0, 0.3), r.uniform(-0.5, 0.2))
        return eye, eye + vec(r.normal(0, 0.2), r.normal(0, 0.15), 1)

    return Place(
        b, _sun(rng, 10, False), Air(_dome(rng, assets, False), float(rng.uniform(0, 6.28)), 0.0), stand, -1.0, outdoors
    )


def _arms(b: Builder, start: F32, goal: F32, *, back_too: bool = False) -> None:
    """One or two forearms with hands that reach from ``start`` towards ``goal``."""
    rng = b.rng
    flesh = b.material(None, skin(rng))
    sleeve = b.surface(0.3) if rng.random() < 0.6 else flesh
    for side in (-1, 1) if rng.random() < 0.5 else (float(rng.choice([-1, 1])),):
        away = -1 if back_too and rng.random() < 0.3 else 1
        hand = goal + vec(side * rng.uniform(0.02, 0.15), rng.normal(0, 0.02), rng.normal(0, 0.03))
        elbow = start + vec(side * rng.uniform(0.1, 0.35), rng.uniform(-0.12, 0.05), -0.1 if away > 0 else 0.9)
        wrist = hand + (elbow - hand) * 0.25
        b.add(tube(elbow, wrist, (0.055, 0.035), sleeve, repeats=2))
        b.add(tube(wrist, hand, (0.03, 0.035), flesh))
        b.add(blob(hand, vec(0.045, 0.03, 0.05), flesh, parts=10))
        reach = (hand - wrist) / max(float(np.linalg.norm(hand - wrist)), 1e-6)
        across = np.cross(reach, vec(0, 1, 0))
        for k in range(5):
            root = hand + across * (k - 2) * 0.018 + reach * 0.03
            tip = root + reach * rng.uniform(0.03, 0.08) + across * (k - 2) * 0.008 + vec(0, -rng.uniform(0, 0.04), 0)
            b.add(tube(root, tip, (0.011, 0.008), flesh, sides=8))


PLACES: dict[str, tuple[Callable[[Rng, Assets], Place], float]] = {
    "room": (room, 0.42),
    "street": (street, 0.17),
    "country": (country, 0.14),
    "table": (table, 0.21),
    "clutter": (clutter, 0.06),
}


def make_place(rng: Rng, assets: Assets) -> Place:
    """Any place, by the shares of ``PLACES``."""
    names = list(PLACES)
    share = np.array([PLACES[n][1] for n in names])
    return PLACES[names[int(rng.choice(len(names), p=share / share.sum()))]][0](rng, assets)


def take_view(place: Place, rng: Rng, *, height: int, width: int) -> tuple[Scene, Camera]:
    """Choose a camera; at times somebody or something stands near it."""
    eye, aim = place.stand(rng)
    view = float(np.clip(rng.normal(58, 13), 28, 90))
    roll = float(rng.normal(0, 0.03)) if rng.random() < 0.7 else float(rng.normal(0, 0.15))
    camera = look(eye, aim, view_deg=view, height=height, width=width, roll_rad=roll)
    b = place.builder
    b.rng = rng
    before = len(b.meshes)
    forward, right, down = camera.turn[2], camera.turn[0], camera.turn[1]
    half = float(np.tan(np.radians(view) / 2))
    pick = rng.random()
    if pick < 0.33:  # people near: the head a little above the middle
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            z = float(rng.uniform(0.7, 4))
            side = float(np.clip(rng.normal(0, 0.4), -0.9, 0.9)) * half * z
            at = eye + forward * z + right * side
            floor = (
                place.floor_y
                if abs(float(eye[1]) - place.floor_y - 1.5) < 0.4
                else float(at[1]) - rng.uniform(1.2, 1.75)
            )
            to_us = float(np.arctan2(eye[0] - at[0], at[2] - eye[2]))
            _figure(b, float(at[0]), float(at[2]), float(floor), to_us + float(rng.normal(0, 0.6)))
    elif pick < 0.43:  # hands from below
        z = float(rng.uniform(0.35, 0.7))
        _arms(
            b,
            eye + down * 0.35 + forward * 0.15,
            eye + forward * z + right * rng.normal(0, 0.15) + down * rng.uniform(0, 0.2),
        )
        if rng.random() < 0.6:
            _thing(b, eye + forward * z + down * 0.1 + right * rng.normal(0, 0.1), float(rng.uniform(0.05, 0.25)))
    elif pick < 0.5:  # something hangs in from a side
        z = float(rng.uniform(0.5, 2))
        wide = z * half * rng.uniform(0.4, 1)
        at = eye + forward * z + right * float(rng.choice([-1, 1])) * half * z - down * rng.normal(0, 0.3) * z
        m = b.material(textures.foliage(rng) if rng.random() < 0.6 else textures.fence(rng))
        b.add(quad(at - right * wide / 2 - down * wide / 2, right * wide, down * wide, m))
    scene = Scene(join(b.meshes), b.materials(), place.light, place.air)
    del b.meshes[before:]
    return scene, camera
