"""The loss is SVD's, each stage moves its own weights, and a step that repeats lowers the loss."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler  # noqa: E402

from spatialdreamer_core.errors import ConfigError  # noqa: E402
from spatialdreamer_core.models.svd.injection import Interaction  # noqa: E402
from spatialdreamer_core.models.svd.loss import LossConfig, svd_loss  # noqa: E402
from spatialdreamer_core.models.svd.sampler import SamplerConfig, Seen, denoise  # noqa: E402
from spatialdreamer_core.models.svd.stages import is_temporal, stage_weights  # noqa: E402
from tests.core.models.svd.made import FRAMES, drawn, example, tiny  # noqa: E402


@pytest.mark.filterwarnings("ignore:__array__")
def test_the_sampler_takes_the_steps_of_svd_s_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny()
    made = [drawn(1, 2, 4, 3, 5, seed=seed) for seed in range(3)]
    told: list[torch.Tensor] = []

    def unet(scaled: torch.Tensor, level: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        told.append(level)
        return made[len(told) - 1] + 0.1 * scaled

    monkeypatch.setattr(network.unet, "forward", unet)
    noise = drawn(1, 2, 4, 3, 5, seed=9)
    seen = Seen(noise, noise[:, :, :1], noise)
    ours = denoise(network, seen, noise, drawn(1, 1, 16), torch.ones(1), SamplerConfig(steps=3))
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        timestep_type="continuous", timestep_spacing="leading", steps_offset=1, use_karras_sigmas=True,
        sigma_min=0.002, sigma_max=700.0,
    )  # fmt: skip
    scheduler.set_timesteps(3)
    latents = noise * scheduler.init_noise_sigma
    for answer, timestep in zip(made, scheduler.timesteps, strict=True):
        scaled = scheduler.scale_model_input(latents, timestep)
        latents = scheduler.step(answer + 0.1 * scaled, timestep, latents).prev_sample
    torch.testing.assert_close(torch.cat(told), scheduler.timesteps)
    torch.testing.assert_close(ours, latents, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stage", [1, 2])
def test_a_stage_s_weights_are_just_those_that_its_loss_reaches(stage: int) -> None:
    network = tiny().train()
    chosen = stage_weights(network, stage)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)
    interaction = None if stage == 1 else Interaction(0.5, ((1,), (0, 2), (1,)))
    losses = svd_loss(
        network, example(network), torch.Generator().manual_seed(0), LossConfig(), interaction=interaction,
        frames_alone=stage == 1,
    )  # fmt: skip
    losses["loss"].backward()
    assert [name for name, p in chosen.items() if p.grad is None] == []
    temporal = {name for name in chosen if is_temporal(name)}
    if stage == 1:
        assert not temporal
        assert {"unet.strength.last.weight", "no_image", "unet.net.conv_in.weight"} < set(chosen)
    else:
        assert temporal
        others = {name for name in chosen if name not in temporal}
        assert others == {name for name in others if name.startswith("reference.") and ".attn1." in name} != set()
    assert not any(name.startswith(("vae.", "image_encoder.")) for name in chosen)


def test_repeating_one_step_lowers_the_loss_and_the_same_draw_gives_the_same_loss() -> None:
    network = tiny().train()
    weights = stage_weights(network, 1)
    optimiser = torch.optim.AdamW(weights.values(), lr=2e-3)
    one = example(network)

    def loss() -> torch.Tensor:
        return svd_loss(network, one, torch.Generator().manual_seed(5), LossConfig(), frames_alone=True)["loss"]

    first = loss()
    assert torch.equal(first, loss())
    for _ in range(6):
        optimiser.zero_grad()
        now = loss()
        now.backward()
        optimiser.step()
    assert loss().item() < 0.8 * first.item()


def test_the_loss_is_the_sum_of_its_parts_and_knows_the_strength_of_a_perfect_answer() -> None:
    network = tiny()
    losses = svd_loss(
        network, example(network), torch.Generator().manual_seed(0), LossConfig(strength_weight=0.5, dropout=0)
    )
    torch.testing.assert_close(losses["loss"], losses["error"] + 0.5 * losses["deviation"])
    assert losses["deviation"].item() > 0


def test_checkpointing_activations_changes_no_gradient() -> None:
    grads = []
    for save_memory in (False, True):
        network = tiny().train()
        if save_memory:
            network.save_memory()
        inter = Interaction(0.5, ((1,), (0, 2), (1,)))
        assert len(inter.partners) == FRAMES
        losses = svd_loss(network, example(network), torch.Generator().manual_seed(0), LossConfig(), interaction=inter)
        losses["loss"].backward()
        grads.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    assert set(grads[0]) == set(grads[1])
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], msg=name)


def test_half_precision_gives_nearly_the_same_loss() -> None:
    network = tiny().train()
    losses = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            found = svd_loss(network, example(network), torch.Generator().manual_seed(0), LossConfig())
        losses.append(found["error"].item())
    assert losses[0] != losses[1]
    assert abs(losses[1] / losses[0] - 1) < 0.05


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="dropout"):
        LossConfig(dropout=1.0)
    with pytest.raises(ValueError, match="stage"):
        stage_weights(tiny(), 3)
