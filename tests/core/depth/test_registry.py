import importlib.util

import numpy as np
import pytest

from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.depth.protocol import DepthRequest, estimate
from spatialdreamer_core.depth.registry import create_depth_estimator, list_depth_names
from spatialdreamer_core.errors import ConfigError, DepthError


class OnesDepth:
    name, digest = "ones", "1"

    def __init__(self, config: DepthConfig, device: str) -> None:
        self.config, self.device = config, device

    def infer(self, request: DepthRequest) -> np.ndarray:
        return np.ones(request.pictures.shape[:3], np.float64)


class NoEstimator:
    def __init__(self, config: DepthConfig, device: str) -> None: ...


def request(n: int = 2) -> DepthRequest:
    pictures = np.zeros((n, 4, 6, 3), np.uint8)
    return DepthRequest(pictures, pictures, np.arange(7, 7 + n), np.zeros(n))


def test_cues_need_nothing() -> None:
    assert estimate(create_depth_estimator(DepthConfig()), request()).shape == (2, 4, 6)


def test_a_class_of_one_s_own_is_made_with_the_settings_and_the_device() -> None:
    estimator = create_depth_estimator(DepthConfig(name=f"{__name__}:OnesDepth"), "cpu")
    assert isinstance(estimator, OnesDepth)
    assert estimator.device == "cpu"
    depth = estimate(estimator, request())
    assert depth.dtype == np.float32
    assert (depth == 1).all()


@pytest.mark.parametrize("name", ["nosuch.module:Thing", f"{__name__}:Nothing", f"{__name__}:NoEstimator"])
def test_a_class_that_is_not_there_or_no_estimator_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="depth"):
        create_depth_estimator(DepthConfig(name=name))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'zoe'.*cues.*depth-anything-v2-small.*midas"):
        create_depth_estimator(DepthConfig(name="zoe"))


def test_a_missing_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else found(name, *a))
    with pytest.raises(ConfigError, match=r"needs torch: pip install 'spatialdreamer\[models\]'"):
        create_depth_estimator(DepthConfig(name="dpt"))
    states = {entry.name: entry.state for entry in list_depth_names()}
    assert "pip install" in states["dpt"]
    assert states["cues"] == "present"


def test_models_that_may_not_be_used_commercially_say_so() -> None:
    about = {entry.name: entry.about for entry in list_depth_names()}
    assert "NOT for commercial use" in about["depth-anything-v2-base"]
    assert "NOT for commercial use" in about["depth-anything-v2-large"]
    assert "Apache-2.0" in about["depth-anything-v2-small"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_depth_that_is_not_finite_or_of_the_wrong_shape_is_refused(bad: float) -> None:
    estimator = OnesDepth(DepthConfig(), "cpu")
    estimator.infer = lambda request: np.where(np.arange(2)[:, None, None] == 1, bad, np.ones((2, 4, 6)))  # type: ignore[method-assign]
    with pytest.raises(DepthError, match="frame 8 of the source"):
        estimate(estimator, request())
    estimator.infer = lambda request: np.ones((2, 6, 4))  # type: ignore[method-assign]
    with pytest.raises(DepthError, match=r"\[2, 6, 4\]"):
        estimate(estimator, request())


def test_a_request_whose_parts_do_not_fit_is_refused() -> None:
    pictures = np.zeros((2, 4, 6, 3), np.uint8)
    with pytest.raises(ValueError, match="partners"):
        DepthRequest(pictures, pictures[:1], np.arange(2), np.zeros(2))
    with pytest.raises(ValueError, match="indices"):
        DepthRequest(pictures, pictures, np.arange(3), np.zeros(2))
