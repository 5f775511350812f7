import hashlib
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from spatialdreamer_core.depth import builtin
from spatialdreamer_core.depth.builtin import BuiltinDepth, network_size, read_weights
from spatialdreamer_core.depth.protocol import DepthEstimator, DepthRequest, estimate
from spatialdreamer_core.depth.runtimes import AGREEMENT
from spatialdreamer_core.errors import ConfigError


def needs(package):
    """Skip where a package is missing, without importing it: OpenVINO would report that."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def request(pictures):
    pictures = np.asarray(pictures, np.uint8)
    n = len(pictures)
    return DepthRequest(pictures, pictures, np.arange(n), np.zeros(n))


@pytest.fixture(scope="module")
def network():
    pytest.importorskip("onnxruntime")
    return BuiltinDepth()


def street(height=90, width=160):
    """Sky above, ground below, somebody near in the middle."""
    rows = np.linspace(0, 1, height)[:, None, None]
    picture = np.where(rows < 0.5, [140, 180, 235], [110, 105, 100]) * np.ones((1, width, 1))
    picture = picture + np.random.default_rng(0).normal(0, 6, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def test_the_network_looks_at_multiples_of_32_in_the_pictures_aspect():
    for height, width in ((216, 384), (384, 216), (100, 100), (8, 3000), (3000, 8), (1, 1)):
        rows, columns = network_size(height, width)
        assert rows % 32 == columns % 32 == 0
        assert 0 < rows * columns < 2.1 * builtin.AREA
    assert network_size(270, 480)[1] > network_size(270, 480)[0]


def test_other_weights_are_refused_in_one_sentence(tmp_path):
    file = tmp_path / "depth.onnx"
    file.write_bytes(b"something else")
    with pytest.raises(ConfigError, match="install the package again"):
        read_weights(file, builtin.WEIGHTS_SHA256)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_weights(tmp_path / "none.onnx", builtin.WEIGHTS_SHA256)


def test_the_shipped_file_is_the_known_one_and_small():
    data = builtin.WEIGHTS.read_bytes()
    assert hashlib.sha256(data).hexdigest() == builtin.WEIGHTS_SHA256
    assert len(data) <= 16e6


def test_it_is_an_estimator_with_a_name_and_a_digest(network):
    assert isinstance(network, DepthEstimator)
    assert network.name == "builtin"
    assert builtin.WEIGHTS_SHA256[:16] in network.digest
    assert BuiltinDepth(flip=True).digest != network.digest


@pytest.mark.parametrize(("height", "width"), [(90, 160), (160, 90), (33, 8), (7, 5), (64, 700)])
def test_any_shape_gives_a_finite_map_of_that_shape(network, height, width):
    picture = np.random.default_rng(1).integers(0, 255, (1, height, width, 3))
    assert estimate(network, request(picture)).shape == (1, height, width)


@pytest.mark.parametrize("value", [0, 127, 255])
def test_one_coloured_pictures_give_finite_maps(network, value):
    assert np.isfinite(estimate(network, request(np.full((1, 90, 160, 3), value)))).all()


def test_the_sky_is_far_and_the_ground_is_near(network):
    depth = estimate(network, request([street()]))[0]
    assert depth[-10:].mean() > depth[:30].mean() + 0.5 * depth.std()


def test_a_partner_changes_depth_only_where_the_camera_travels(network):
    still = np.random.default_rng(5).integers(0, 255, (2, 90, 160, 3)).astype(np.uint8)
    one = DepthRequest(still[:1], still[:1].copy(), np.zeros(1, np.int64), np.zeros(1))
    assert np.array_equal(network.infer(one)[0], network.one(still[0]))
    assert network.parallax_share(one) == 0
    alone = BuiltinDepth(parallax=False)
    assert not alone.uses_partner
    assert alone.digest != network.digest


def test_letterbox_bars_change_nothing_inside_and_take_their_neighbours_depth(network):
    picture = street(96, 160)
    barred = np.pad(picture, ((12, 12), (0, 0), (0, 0)))
    barred[:12:3, ::5] = 4  # a codec's noise
    depth = network.one(barred)
    assert np.array_equal(depth[12:-12], network.one(picture))
    assert np.array_equal(depth[0], depth[12])
    assert np.array_equal(depth[-1], depth[-13])


def test_a_dark_floor_is_no_letterbox():
    picture = street(96, 160)
    picture[-20:] = 0
    assert builtin.letterbox(picture) == (0, 0, 0, 0)
    assert builtin.letterbox(np.zeros_like(picture)) == (0, 0, 0, 0)


def test_confidence_is_nought_where_nothing_is_shown_and_high_on_a_plain_street(network):
    noise = np.random.default_rng(4).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    shown = [network.confidence(np.full((90, 160, 3), value, np.uint8)) for value in (0, 127, 255)]
    assert shown == [0, 0, 0]
    assert network.confidence(noise) < 0.4
    assert 0.5 < network.confidence(street()) <= 1


def test_a_picture_does_not_know_its_neighbours_and_bytes_repeat(network):
    pictures = np.random.default_rng(2).integers(0, 255, (3, 48, 80, 3))
    together = network.infer(request(pictures))
    alone = network.infer(request(pictures[1:2]))
    assert together[1].tobytes() == alone[0].tobytes()
    assert network.infer(request(pictures)).tobytes() == together.tobytes()


def test_with_flip_a_mirrored_picture_has_the_mirrored_depth(network):
    both = BuiltinDepth(flip=True)
    picture = street(96, 160)
    picture[40:80, 20:50] = (200, 30, 30)
    straight = both.one(picture)
    mirrored = both.one(np.ascontiguousarray(picture[:, ::-1]))[:, ::-1]
    assert np.allclose(straight, mirrored, atol=1e-3 * max(1, straight.std()))


@pytest.mark.parametrize("other", ["openvino", "torch"])
def test_every_runtime_gives_the_same_depth_within_the_stated_tolerance(network, other):
    needs(other)
    pytest.importorskip("onnx")
    same = BuiltinDepth(runtime=other)
    assert same.digest != network.digest
    for picture in (street(), np.random.default_rng(3).integers(0, 255, (60, 70, 3), np.uint8)):
        one, two = network.one(picture), same.one(picture)
        assert np.abs(one - two).max() < AGREEMENT * one.std()


def test_openvino_tells_nobody_that_it_is_used(tmp_path):
    needs("openvino")
    code = """
import socket, sys
def refuse(*_, **__):
    raise SystemExit("somebody is being told")
socket.socket.connect = socket.getaddrinfo = refuse
import numpy as np
from spatialdreamer_core.depth.builtin import BuiltinDepth
BuiltinDepth(runtime="openvino").one(np.zeros((90, 160, 3), np.uint8))
print([name for name in sys.modules if name.startswith("openvino_telemetry")])
"""
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == [], "no identity is left in the home folder"


def test_openvino_gives_the_same_bytes_again_after_other_sizes():
    needs("openvino")
    network = BuiltinDepth(runtime="openvino")
    first = network.one(street())
    for width in range(40, 400, 60):
        network.one(street(60, width))
    assert network.one(street()).tobytes() == first.tobytes()


def test_a_runtime_that_is_missing_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"pip install 'spatialdreamer\[openvino\]'"):
        BuiltinDepth(runtime="openvino")


def test_torch_on_a_gpu_that_is_not_there_is_refused():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match="no CUDA device"):
        BuiltinDepth(runtime="torch", device="cuda")
