from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.config import merge, run_config
from flows.run_convert import run_convert
from tasks.convert_library import LibraryReport
from tasks.progress import Progress
from tests.media import scene, write_video


@dataclass(frozen=True)
class Library:
    """A folder of tiny films and a place for the results."""

    films: Path
    output: Path

    def settings(self, **options: Any) -> dict[str, Any]:
        base = {
            "sources": [str(self.films)],
            "output": str(self.output),
            "executor": "in-process",
            "prefect": "off",
            "convert.depth.width": 64,
            "convert.segment_frames": 24,
        }
        return merge({}, base | options)

    def convert(self, events: list[Progress] | None = None, **options: Any) -> LibraryReport:
        events = [] if events is None else events
        return run_convert(run_config(self.settings(**options), "test"), events.append)

    def rows(self) -> list[dict[str, Any]]:
        return pq.read_table(self.output / "manifest.parquet").to_pylist()

    def visible(self) -> dict[str, bytes]:
        """What people get: every finished file and its bytes."""
        files = [path for path in self.output.rglob("*") if path.is_file() and ".spatialdreamer" not in path.parts]
        return {str(path.relative_to(self.output)): path.read_bytes() for path in files}

    def videos(self) -> dict[str, bytes]:
        return {name: data for name, data in self.visible().items() if name.endswith((".mkv", ".mp4", ".mov"))}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Two films: one of a single shot in two segments, one with a cut in a folder of its own."""
    films = tmp_path / "films"
    (films / "series").mkdir(parents=True)
    write_video(films / "pan.mkv", scene(40, width=96, height=54))
    cut = [*scene(14, width=80, height=48, seed=1), *scene(14, width=80, height=48, seed=2, cell=5)]
    write_video(films / "series" / "cut.mp4", cut)
    return Library(films, tmp_path / "out")
