from pathlib import Path

import numpy as np
import pytest
import torch

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.metrics.fvd import frechet_distance
from spatialdreamer_core.metrics.i3d import I3d, read_state_dict


def test_the_distance_of_two_gaussians_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (4000, 3)), rng.normal(0, 1, (3000, 3)) * 2 + 5
    # |m|^2 = 75, tr = 3 (1 + 4 - 2 * 2) = 3
    assert frechet_distance(a, b) == pytest.approx(78, rel=0.03)


def test_the_trace_of_the_root_is_that_of_the_matrix_formula() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, (40, 5)) @ rng.normal(0, 1, (5, 5)), rng.normal(0, 1, (30, 5))
    s, t = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(s)
    half = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(half @ t @ half)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s) + np.trace(t) - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_equal_sets_have_no_distance_and_sets_without_spread_only_that_of_their_means() -> None:
    a = np.random.default_rng(2).normal(0, 1, (6, 400))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(np.zeros((2, 4)), np.full((3, 4), 2.0)) == pytest.approx(16)


def test_one_clip_or_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(np.zeros((1, 4)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="NaN"):
        frechet_distance(np.full((2, 4), np.nan), np.zeros((3, 4)))


def test_something_else_than_i3d_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not its weights"):
        I3d({"logits.conv3d.weight": np.zeros((400, 1024, 1, 1, 1))})
    (tmp_path / "torn.pt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(WeightsError, match="state dictionary"):
        read_state_dict(tmp_path / "torn.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "small.pt")
    assert list(read_state_dict(tmp_path / "small.pt")) == ["a"]


def test_all_black_against_all_white_is_what_everybody_gets() -> None:
    """Where the weights are cached. The usual check: 570.07 for 10 frames, 153.11 for 16, 151.17 for 30."""
    from flows.weights import weights_provider

    provider = weights_provider()
    if provider.state("i3d-kinetics400") == "missing":
        pytest.skip("the weights are not cached; run spatialdreamer weights get i3d-kinetics400")
    network = I3d(provider.load("i3d-kinetics400"))
    for frames, expected in ((10, 570.07), (16, 153.11)):
        black, white = ([np.full((48, 64, 3), level, np.uint8)] * frames for level in (0, 255))
        rows = [np.tile(network.logits(clip), (2, 1)) for clip in (black, white)]
        assert frechet_distance(rows[0], rows[1]) == pytest.approx(expected, rel=2e-3)
