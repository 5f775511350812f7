"""make-pairs in worker processes: the bytes of a run without, and a clip that kills its worker."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from spatialdreamer_core.depth.protocol import DepthRequest
from tests.flows.pairs_corpus import Corpus, Slope

ROOT = Path(__file__).parents[2]


class Dies(Slope):
    """Depth that kills its process for the clip that begins at frame 4."""

    name, digest = "dies", "dies-1"

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        if os.environ.get("DEPTH_KILLS") and 4 <= request.frame_indices[0] < 8:
            os._exit(1)
        return super().infer(request)


@pytest.mark.ray
def test_a_clip_that_kills_its_worker_is_set_aside_and_the_others_have_the_bytes_of_a_run_without_it(
    tmp_path: Path,
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    corpus, calm = Corpus(films, tmp_path / "out"), Corpus(films, tmp_path / "calm")
    corpus.add_film("pan.mkv", clips=6, seed=1)
    depth = {"pairs.depth.name": "tests.flows.test_pairs_ray:Dies"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(corpus.settings(executor="ray", workers=2, **depth)))
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "make-pairs", "--config", str(tmp_path / "run.yaml"), "--json"],
        cwd=ROOT, env=os.environ | {"DEPTH_KILLS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["clips_done"], report["clips_failed"]) == (5, 1)
    bad = next(row for row in corpus.rows() if row["status"] == "failed")
    assert (bad["reason"], bad["attempts"], bad["start_frame"]) == ("worker_died", 2, 4)
    calm.make(**depth)
    samples = {row["clip_id"]: row["sha256"] for row in calm.rows()}
    made = {row["clip_id"]: row["sha256"] for row in corpus.rows() if row["status"] == "done"}
    assert made == {clip: digest for clip, digest in samples.items() if clip != bad["clip_id"]}
