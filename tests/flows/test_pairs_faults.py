"""Racing writers killed at random, at a small size; ``python -m benchmarks.faults`` does it at a large one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks writers")
def test_writers_killed_at_random_lose_nothing_make_nothing_twice_and_redo_a_clip_a_kill() -> None:
    command = [sys.executable, "-m", "benchmarks.faults", "--json", "--shards", "4", "--clips", "5", "--kills", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    racing, alone = (json.loads(line) for line in done.stdout.splitlines())
    for found in (racing, alone):
        assert (found["planned"], found["lost"], found["twice"], found["wrong"]) == (20, 0, 0, 0)
        assert found["kills"] >= 3
    assert alone["made"] - alone["planned"] <= alone["kills"], "one clip in hand, and nothing more"
    assert alone["shards"] == 4
