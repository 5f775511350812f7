"""Read the Sweet Home 3D models (Debian package sweethome3d-furniture, CC0 and CC BY 3.0): OBJ at true size.

Unpack the package and its ``*.sh3f`` (zip) files into one folder each; this reads that folder.
"""

import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.worlds.mesh import Mesh, from_triangles

_FIELD = re.compile(r"^(\w+)#(\d+)=(.*)$")
_TRANSPARENT = 0.6


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model of a catalogue. Sizes in metres: x width, y height, z depth."""

    path: Path
    name: str
    category: str
    size: tuple[float, float, float]
    elevation: float
    creator: str
    turn: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Model:
    """Triangles standing on y = 0 around the y axis, and the materials they index.

    Attributes:
        mesh: Front towards -z.
        colours: [M, 3] diffuse, 0 to 1.
        gloss: [M] specular, 0 to 1.
        textures: A picture file, or None, for each material.
    """

    mesh: Mesh
    colours: NDArray[np.float32]
    gloss: NDArray[np.float32]
    textures: tuple[Path | None, ...]


def read_catalogue(folder: Path) -> list[ModelCard]:
    """Every model of an unpacked catalogue.

    Raises:
        ConfigError: If there is no catalogue in the folder.
    """
    source = folder / "PluginFurnitureCatalog.properties"
    if not source.is_file():
        raise ConfigError(f"furniture {folder}: holds no PluginFurnitureCatalog.properties; unpack an .sh3f file there")
    entries: dict[int, dict[str, str]] = {}
    for line in source.read_text("latin-1").splitlines():
        if match := _FIELD.match(line.strip()):
            entries.setdefault(int(match[2]), {})[match[1]] = match[3].strip()
    cards = []
    for _, entry in sorted(entries.items()):
        path = folder / entry.get("model", "").lstrip("/")
        if not path.is_file() or path.suffix != ".obj":
            continue
        size = tuple(float(entry.get(key, "50")) / 100 for key in ("width", "height", "depth"))
        turn = tuple(float(v) for v in entry["modelRotation"].split()) if "modelRotation" in entry else None
        cards.append(
            ModelCard(
                path, entry.get("name", "?"), entry.get("category", "?"), (size[0], size[1], size[2]),
                float(entry.get("elevation", "0")) / 100, entry.get("creator", "?"), turn,
            )
        )  # fmt: skip
    return cards


def _read_materials(path: Path) -> dict[str, tuple[list[float], float, Path | None, float]]:
    found: dict[str, tuple[list[float], float, Path | None, float]] = {}
    name = ""
    if not path.is_file():
        return found
    for line in path.read_text("latin-1").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "newmtl":
            name = line.split(None, 1)[1].strip() if len(words) > 1 else ""
            found[name] = ([0.7, 0.7, 0.7], 0.0, None, 1.0)
        elif name:
            kd, ks, texture, alpha = found[name]
            if words[0] == "Kd":
                kd = [float(v) for v in words[1:4]]
            elif words[0] == "Ks":
                ks = float(np.mean([float(v) for v in words[1:4]]))
            elif words[0] == "d":
                alpha = float(words[-1])
            elif words[0] == "map_Kd":
                texture = path.parent / line.split(None, 1)[1].strip().replace("\\", "/")
            found[name] = (kd, ks, texture, alpha)
    return found


def read_model(card: ModelCard, *, max_triangles: int = 14_000) -> Model | None:
    """Read one OBJ; None if it is empty or larger than wanted. Glass is left out."""
    points: list[list[float]] = []
    texcoords: list[list[float]] = []
    rows: list[tuple[int, int, int, int, int, int, int]] = []
    names: dict[str, int] = {}
    library: dict[str, tuple[list[float], float, Path | None, float]] = {}
    current = names.setdefault("", 0)
    for line in card.path.read_text("latin-1").splitlines():
        if line.startswith("v "):
            points.append([float(v) for v in line.split()[1:4]])
        elif line.startswith("vt "):
            texcoords.append([float(v) for v in line.split()[1:3]])
        elif line.startswith("usemtl"):
            current = names.setdefault(line[6:].strip(), len(names))
        elif line.startswith("mtllib"):
            library |= _read_materials(card.path.parent / line[6:].strip())
        elif line.startswith("f "):
            corners = []
            for word in line.split()[1:]:
                parts = word.split("/")
                p = int(parts[0])
                t = int(parts[1]) if len(parts) > 1 and parts[1] else 0
                corners.append(
                    (p - 1 if p > 0 else len(points) + p, t - 1 if t > 0 else (len(texcoords) + t if t else -1))
                )
            for (a, ta), (b, tb) in itertools.pairwise(corners[1:]):
                rows.append((corners[0][0], a, b, corners[0][1], ta, tb, current))
            if len(rows) > max_triangles:
                return None
    if not rows:
        return None
    index = np.array(rows, np.int64)
    place = np.array(points, np.float32)
    coords = np.array([*texcoords, [0.0, 0.0]], np.float32)
    order = sorted(names, key=lambda n: names[n])
    cards = [library.get(n, ([0.7, 0.7, 0.7], 0.0, None, 1.0)) for n in order]
    solid = np.array([c[3] >= _TRANSPARENT for c in cards])[index[:, 6]]
    index = index[solid]
    if not len(index):
        return None
    corner = place[index[:, :3]]
    if card.turn is not None and len(card.turn) == 9:
        corner = corner @ np.array(card.turn, np.float32).reshape(3, 3).T
    lo, hi = corner.reshape(-1, 3).min(axis=0), corner.reshape(-1, 3).max(axis=0)
    centre = np.array([(lo[0] + hi[0]) / 2, lo[1], (lo[2] + hi[2]) / 2], np.float32)
    corner = (corner - centre) * (np.array(card.size, np.float32) / np.maximum(hi - lo, 1e-6))
    corner[..., 2] *= -1  # the catalogue's front looks to +z, ours to -z
    uv = coords[index[:, 3:6]] * np.array([1, -1], np.float32)
    mesh = from_triangles(corner.astype(np.float32), uv, 0)
    mesh = replace(mesh, material=index[:, 6].astype(np.int32))
    textures = tuple(c[2] if c[2] is not None and c[2].is_file() else None for c in cards)
    colours = np.array([c[0] for c in cards], np.float32)
    colours[[t is not None for t in textures]] = np.maximum(colours[[t is not None for t in textures]], 0.8)
    return Model(mesh, colours, np.clip(np.array([c[1] for c in cards], np.float32), 0, 1), textures)


def read_texture(path: Path) -> NDArray[np.uint8] | None:
    """[H, W, 3 or 4] uint8 RGB(A), or None if it cannot be read."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.dtype != np.uint8:
        return None
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    code = cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(picture, code), np.uint8)
