"""A small corpus for make-pairs: films of textured pans, depth that costs nothing, clips of a few frames."""

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flows.config import PairsRunConfig, checked, merge
from flows.run_pairs import run_pairs
from spatialdreamer_core.depth.protocol import DepthRequest
from tasks.pairs_library import PairsReport
from tasks.progress import Progress
from tests.media import scene, write_video

CLIP_FRAMES = 4


class Slope:
    """Inverse depth that rises from top to bottom, with a nearer box in the middle."""

    name, digest, uses_partner = "slope", "slope-1", False

    def __init__(self, config: Any, device: str) -> None:
        del config, device

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        n, h, w = request.pictures.shape[:3]
        depth = np.broadcast_to(np.linspace(0, 1, h, dtype=np.float32)[:, None], (n, h, w)).copy()
        depth[:, h // 4 : h // 2, w // 3 : w // 2] += 1
        return depth


@dataclass(frozen=True)
class Corpus:
    """A folder of films and a place for the dataset."""

    films: Path
    output: Path

    def add_film(self, name: str, clips: int = 4, *, seed: int = 0, **options: Any) -> Path:
        return write_video(
            self.films / name, scene(CLIP_FRAMES * clips, width=112, height=72, seed=seed, cell=5, **options)
        )

    def settings(self, **options: Any) -> dict[str, Any]:
        base = {
            "sources": [str(self.films)],
            "output": str(self.output),
            "executor": "in-process",
            "prefect": "off",
            "shard_mb": 0.25,  # a few clips each
            "pairs.clips.frames": CLIP_FRAMES,
            "pairs.clips.buckets": ["96x64"],
            "pairs.depth.name": f"{__name__}:Slope",
            "pairs.depth.width": 64,
            "pairs.filters.max_blur": 1.0,
            "pairs.filters.max_duplicate_bits": -1,
            "pairs.val_share": 0.0,
        }
        return merge({}, base | options)

    def make(self, events: list[Progress] | None = None, **options: Any) -> PairsReport:
        events = [] if events is None else events
        return run_pairs(checked(PairsRunConfig, self.settings(**options), "test"), events.append)

    def rows(self) -> list[dict[str, Any]]:
        return pq.read_table(self.output / "pairs.parquet").to_pylist()

    def shards(self) -> dict[str, bytes]:
        """Every tar and its bytes."""
        files = sorted((self.output / "shards").rglob("*.tar"))
        return {str(path.relative_to(self.output)): path.read_bytes() for path in files}

    def commits(self) -> dict[str, dict[str, Any]]:
        found = sorted(self.output.glob(".spatialdreamer/pairs/*/commits/*.json"))
        return {path.stem: json.loads(path.read_bytes()) for path in found}

    def keys(self) -> list[str]:
        """The sample keys of all tars, in their order."""
        found = []
        for path in sorted((self.output / "shards").rglob("*.tar")):
            with tarfile.open(path) as archive:
                found += [name.removesuffix(".json") for name in archive.getnames() if name.endswith(".json")]
        return found
