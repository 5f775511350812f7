import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.depth.protocol import DepthEstimator, DepthRequest, estimate
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.errors import ConfigError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


def save_model(folder: Path, kind: str, **more: object) -> Path:
    """A tiny network with random weights, as ``save_pretrained`` leaves it."""
    from spatialdreamer_core.torchvision_shim import ensure_torchvision

    ensure_torchvision()
    import transformers

    torch.manual_seed(0)
    if kind == "depth-anything":
        backbone = transformers.Dinov2Config(
            hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
            out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
        )  # fmt: skip
        config = transformers.DepthAnythingConfig(
            backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8, head_in_index=-1, head_hidden_size=8, patch_size=14, **more,
        )  # fmt: skip
        model = transformers.DepthAnythingForDepthEstimation(config)
    else:
        config = transformers.DPTConfig(
            hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=48, image_size=64,
            patch_size=16, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
            reassemble_factors=[4, 2, 1, 0.5], **more,
        )  # fmt: skip
        model = transformers.DPTForDepthEstimation(config)
    model.save_pretrained(folder)
    settings = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": {"height": 70, "width": 70}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def request(n: int = 2, h: int = 40, w: int = 64) -> DepthRequest:
    pictures = np.random.default_rng(0).integers(0, 256, (n, h, w, 3), dtype=np.uint8)
    return DepthRequest(pictures, pictures, np.arange(n), np.zeros(n))


@pytest.fixture(scope="module")
def depth_anything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("depth-anything"), "depth-anything")


@pytest.mark.parametrize("kind", ["depth-anything", "dpt"])
def test_a_saved_network_gives_finite_depth_of_the_picture_s_size(kind: str, tmp_path: Path) -> None:
    estimator = create_depth_estimator(DepthConfig(name=str(save_model(tmp_path, kind))))
    assert isinstance(estimator, DepthEstimator)
    depth = estimate(estimator, request())
    assert depth.shape == (2, 40, 64)
    assert depth.std() > 0
    alone = estimator.infer(request(1))
    np.testing.assert_allclose(alone[0], depth[0], atol=1e-5)


def test_the_network_sees_its_own_short_side_in_whole_patches_and_the_picture_s_aspect(depth_anything: Path) -> None:
    from spatialdreamer_core.depth.hub import HubDepth

    estimator = HubDepth(str(depth_anything))
    assert estimator.input_size(40, 64) == (70, 112)
    assert estimator.input_size(90, 51) == (126, 70)


def test_the_folder_s_mean_and_spread_are_used(depth_anything: Path) -> None:
    from spatialdreamer_core.depth.hub import HubDepth

    assert HubDepth(str(depth_anything))._mean.flatten().tolist() == [0.5, 0.5, 0.5]


def test_other_weights_have_another_digest_and_the_same_the_same(depth_anything: Path, tmp_path: Path) -> None:
    from spatialdreamer_core.depth.hub import HubDepth

    other = save_model(tmp_path, "depth-anything", max_depth=3)
    first = HubDepth(str(depth_anything)).digest
    assert HubDepth(str(depth_anything)).digest == first
    file = other / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert HubDepth(str(other)).digest != first


def test_metres_are_turned_into_inverse_depth(tmp_path: Path) -> None:
    relative = create_depth_estimator(DepthConfig(name=str(save_model(tmp_path / "a", "depth-anything"))))
    metric_folder = save_model(tmp_path / "b", "depth-anything", depth_estimation_type="metric", max_depth=20)
    metric = create_depth_estimator(DepthConfig(name=str(metric_folder)))
    inverted = estimate(metric, request(1))
    assert inverted.min() >= 1 / 21  # metres up to 20, plus bilinear rounding
    assert not np.allclose(inverted, estimate(relative, request(1)))


def test_a_folder_without_safetensors_or_without_a_depth_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="safetensors"):
        create_depth_estimator(DepthConfig(name=str(tmp_path)))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ConfigError, match="no depth model"):
        create_depth_estimator(DepthConfig(name=str(tmp_path)))


def test_a_hub_name_is_not_downloaded_unless_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="allow the network"):
        create_depth_estimator(DepthConfig(name="depth-anything-v2-small"))


@pytest.mark.skipif("torch.cuda.is_available()")
def test_cuda_without_a_gpu_is_refused(depth_anything: Path) -> None:
    with pytest.raises(ConfigError, match="CUDA"):
        create_depth_estimator(DepthConfig(name=str(depth_anything)), "cuda")


def test_the_shim_lets_torchvision_in_and_says_what_it_did() -> None:
    from spatialdreamer_core.torchvision_shim import ensure_torchvision

    first = ensure_torchvision()
    assert first in {"absent", "native", "shimmed"}
    assert ensure_torchvision() == first


def test_the_registry_imports_no_network_library() -> None:
    code = (
        "import sys, spatialdreamer_core.depth.registry as r; r.list_depth_names();"
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
