"""What worlds are furnished with: photographs, skies and models, read once from a prepared folder."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.worlds.furniture import Model, ModelCard, read_catalogue, read_model, read_texture

U8 = NDArray[np.uint8]
PERSON_CREATORS = ("Reallusion",)
_TREES = (
    "tree", "maple", "beech", "poplar", "pine", "cypress", "palm", "bush", "bamboo", "ficus", "oak", "birch", "plant",
    "willow", "fir", "spruce", "flower", "ivy", "hedge",
)  # fmt: skip


def group_of(card: ModelCard) -> str:
    """Where a model belongs: person, vehicle, tree, exterior, hung (stands above the floor), large or small."""
    name = card.name.lower()
    stem = card.path.stem.lower()
    if card.category == "Characters":
        return "person" if "reallusion" in card.path.as_posix() or 1.4 < card.size[1] < 2.1 else "animal"
    if card.category == "Vehicles":
        return "vehicle"
    if card.category == "Exterior" and any(word in name or word in stem for word in _TREES):
        return "tree"
    if card.category == "Exterior":
        return "exterior"
    if card.category in ("Doors and windows", "Staircases"):
        return "fixture"
    if card.elevation > 0.3:
        return "hung"
    return "large" if max(card.size) > 0.45 else "small"


@dataclass
class Assets:
    """Photographs (for walls, posters, billboards), skies (linear domes) and models by group.

    Attributes:
        photos: [H, W, 3] uint8 RGB each.
        domes: [256, 512, 3] float32 linear each.
        cards: Models by group.
    """

    photos: list[U8] = field(default_factory=list)
    domes: list[NDArray[np.float32]] = field(default_factory=list)
    cards: dict[str, list[ModelCard]] = field(default_factory=dict)
    _models: dict[Path, Model | None] = field(default_factory=dict)
    _pictures: dict[Path, U8 | None] = field(default_factory=dict)

    def photo(self, rng: np.random.Generator) -> U8 | None:
        """A crop of a photograph, mirrored at times; None where there are none."""
        if not self.photos:
            return None
        picture = self.photos[int(rng.integers(len(self.photos)))]
        h, w = picture.shape[:2]
        share = rng.uniform(0.3, 1.0)
        ch, cw = max(8, int(h * share)), max(8, int(w * share))
        top, left = int(rng.integers(h - ch + 1)), int(rng.integers(w - cw + 1))
        crop = picture[top : top + ch, left : left + cw]
        return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)

    def model(self, rng: np.random.Generator, group: str) -> tuple[ModelCard, Model] | None:
        """Any model of a group; None where there are none."""
        cards = self.cards.get(group, [])
        for _ in range(4):
            if not cards:
                return None
            card = cards[int(rng.integers(len(cards)))]
            if card.path not in self._models:
                self._models[card.path] = read_model(card)
            model = self._models[card.path]
            if model is not None:
                return card, model
        return None

    def picture(self, path: Path) -> U8 | None:
        """A model's texture, at most 512 wide or high."""
        if path not in self._pictures:
            picture = read_texture(path)
            if picture is not None and max(picture.shape[:2]) > 512:
                scale = 512 / max(picture.shape[:2])
                picture = np.asarray(
                    cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
                )
            self._pictures[path] = picture
        return self._pictures[path]


def read_assets(photos: Iterable[Path], domes: Iterable[Path], furniture: Path | None) -> Assets:
    """Read pictures (any format OpenCV knows), domes (.npy) and unpacked furniture catalogues."""
    assets = Assets()
    for path in sorted(photos):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is not None:
            scale = min(1.0, 640 / max(picture.shape[:2]))
            small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            assets.photos.append(np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8))
    assets.domes = [np.load(path).astype(np.float32) for path in sorted(domes)]
    if furniture is not None:
        for catalogue in sorted(furniture.glob("*/PluginFurnitureCatalog.properties")):
            for card in read_catalogue(catalogue.parent):
                assets.cards.setdefault(group_of(card), []).append(card)
    return assets
