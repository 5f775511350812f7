import cv2
import numpy as np
import pytest

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.training.depth import real


@pytest.fixture
def data(tmp_path):
    """A laboratory of 23 frames whose numbers sort otherwise as text, grey by number, 1 m or 2 m away."""
    for kind in ("rgb", "depth"):
        (tmp_path / "rgbd" / "lab" / kind).mkdir(parents=True)
    for i in range(23):
        depth = np.full((24, 32), 1000, np.uint16)
        depth[:, 16:] = 2000
        depth[:4] = 0
        cv2.imwrite(str(tmp_path / "rgbd/lab/rgb" / f"{5 * i}.png"), np.full((24, 32, 3), i * 10, np.uint8))
        cv2.imwrite(str(tmp_path / "rgbd/lab/depth" / f"{5 * i}.png"), depth)
    return tmp_path


def test_what_trains_develops_and_is_reported_shares_no_frame(data):
    parts = [real.training_stills(data), real.development_stills(data), list(real.reported_stills(data))]
    shades = [[int(s.picture[0, 0, 0]) // 10 for s in part] for part in parts]
    assert shades == [list(range(16)), list(range(16, 20)), list(range(20, 23))]


def test_measured_depth_becomes_inverse_depth_known_away_from_holes_and_jumps(data):
    truth = real.unknown_at_jumps(real.training_stills(data)[0])
    assert np.isnan(truth[:4]).all()
    assert np.isnan(truth[10, 15])
    assert truth[10, 4] == pytest.approx(1.0)
    assert truth[10, 28] == pytest.approx(0.5)


def test_a_shard_of_measured_pictures_has_the_training_width(data, tmp_path):
    assert real.write_stills(real.training_stills(data), tmp_path / "out" / "m.npz") == 16
    with np.load(tmp_path / "out" / "m.npz") as shard:
        assert shard["pictures"].shape == (16, 288, 384, 3)
        assert shard["inverse_depth"].shape == (16, 288, 384)
        assert np.isnan(shard["inverse_depth"]).any()


def test_a_folder_without_measured_pictures_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="no measured picture"):
        real.write_stills(real.training_stills(tmp_path), tmp_path / "m.npz")
