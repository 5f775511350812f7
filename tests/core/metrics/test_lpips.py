import numpy as np
import pytest

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.metrics.lpips import Lpips

CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)}
KERNELS = {"alex": (11, 5, 3, 3, 3), "vgg": (3,) * 13}
COMPARED = {"alex": CHANNELS["alex"], "vgg": (64, 128, 256, 512, 512)}


def tensors(network: str) -> dict[str, np.ndarray]:
    """Weights of the right shapes, drawn at random."""
    rng = np.random.default_rng(0)
    out, before = {}, 3
    for n, (channels, kernel) in enumerate(zip(CHANNELS[network], KERNELS[network], strict=True)):
        spread = (2 / (before * kernel * kernel)) ** 0.5
        out[f"trunk.{n}.weight"] = rng.normal(0, spread, (channels, before, kernel, kernel)).astype(np.float32)
        out[f"trunk.{n}.bias"] = rng.normal(0, 0.1, channels).astype(np.float32)
        before = channels
    for n, channels in enumerate(COMPARED[network]):
        out[f"linear.{n}"] = rng.uniform(0, 1, channels).astype(np.float32)
    return out


def noise(seed: int, height: int = 40, width: int = 53) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def first_layer_by_loops(weights: dict[str, np.ndarray], a: np.ndarray, b: np.ndarray) -> float:
    """AlexNet's first layer as the paper's formula says, position by position."""
    unit = []
    for picture in (a, b):
        x = picture / 127.5 - 1
        x = (x - np.array([-0.030, -0.088, -0.188])) / np.array([0.458, 0.448, 0.450])
        x = np.pad(x, ((2, 2), (2, 2), (0, 0)))
        rows, columns = (x.shape[0] - 11) // 4 + 1, (x.shape[1] - 11) // 4 + 1
        features = np.empty((rows, columns, 64))
        for i in range(rows):
            for j in range(columns):
                patch = x[4 * i : 4 * i + 11, 4 * j : 4 * j + 11].transpose(2, 0, 1)
                features[i, j] = np.maximum((weights["trunk.0.weight"] * patch).sum((1, 2, 3)), 0)
        unit.append(features / (np.sqrt((features**2).sum(-1, keepdims=True)) + 1e-10))
    return float((((unit[0] - unit[1]) ** 2) @ weights["linear.0"]).mean())


def test_the_first_layer_is_the_papers_formula() -> None:
    weights = tensors("alex")
    for n in range(1, 5):
        weights[f"linear.{n}"] = np.zeros_like(weights[f"linear.{n}"])
    weights["trunk.0.bias"] = np.zeros_like(weights["trunk.0.bias"])
    a, b = noise(1), noise(2)
    assert Lpips("alex", weights).distance(a, b) == pytest.approx(first_layer_by_loops(weights, a, b), rel=1e-4)


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_equal_pictures_have_no_distance_and_it_is_symmetric(network: str) -> None:
    measure = Lpips(network, tensors(network))
    a, b = noise(1), noise(2)
    assert measure.distance(a, a) == 0
    assert measure.distance(a, b) == pytest.approx(measure.distance(b, a), rel=1e-6)
    assert measure.distance(a, b) > 0.01


def test_the_distance_inside_a_mask_sees_only_what_changed_there() -> None:
    measure = Lpips("alex", tensors("alex"))
    a, left = noise(1, 128, 256), np.zeros((128, 256), bool)
    b = a.copy()
    b[:, :64] = noise(2, 128, 64)
    left[:, :64] = True
    first, second = measure.features(a), measure.features(b)
    inside, outside = measure.inside(first, second, left), measure.inside(first, second, ~left)
    assert inside is not None
    assert outside is not None
    assert inside > 3 * outside
    assert measure.inside(first, second, np.zeros_like(left)) is None
    assert 0.25 * inside + 0.75 * outside == pytest.approx(measure.between(first, second), rel=0.1)


def test_weights_of_another_network_and_tiny_pictures_are_refused() -> None:
    with pytest.raises(WeightsError, match="get lpips-vgg"):
        Lpips("vgg", tensors("alex"))
    with pytest.raises(ValueError, match="31 px"):
        Lpips("alex", tensors("alex")).features(noise(1, 30, 60))
    with pytest.raises(ValueError, match="one size"):
        Lpips("alex", tensors("alex")).distance(noise(1), noise(1, 80, 53))


@pytest.mark.parametrize(("network", "noises", "brighter"), [("alex", 0.105167, 0.003230), ("vgg", 0.320068, 0.003640)])
def test_the_real_weights_give_what_the_authors_code_gives(network: str, noises: float, brighter: float) -> None:
    """Expected values: the authors' package lpips 0.1.4 on the same pictures. Needs the weights in the cache."""
    from flows.weights import weights_provider

    provider = weights_provider()
    if provider.state(f"lpips-{network}") == "missing":
        pytest.skip(f"the weights are not cached; run spatialdreamer weights get lpips-{network}")
    measure = Lpips(network, provider.load(f"lpips-{network}"))
    first, second, third = (noise(seed, 64, 64) for seed in (0, 1, 2))
    assert measure.distance(first, second) == pytest.approx(noises, abs=2e-6)
    lighter = np.clip(third.astype(int) + 20, 0, 255).astype(np.uint8)
    assert measure.distance(third, lighter) == pytest.approx(brighter, abs=2e-6)
