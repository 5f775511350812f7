"""Weights come from folders of the published layout or from ours, and each bad input has its sentence."""

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from safetensors.torch import load_file, save_file  # noqa: E402

from spatialdreamer_core.errors import ConfigError, StoreError, WeightsError  # noqa: E402
from spatialdreamer_core.models.svd import memory  # noqa: E402
from spatialdreamer_core.models.svd.checkpoint import load_trained, save_trained  # noqa: E402
from spatialdreamer_core.models.svd.load import SvdWeights, load_network  # noqa: E402
from spatialdreamer_core.models.svd.sizes import Sizes, tiny_sizes  # noqa: E402
from spatialdreamer_core.models.svd.tensors import read_tensors, weights_files  # noqa: E402
from tests.core.models.svd.made import published_folders, tiny  # noqa: E402

MODEL = "diffusion_pytorch_model"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return published_folders(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "weights"
    save_trained(tiny(reach="rows", strength="geometric"), folder, {"steps": 7})
    return folder


def weights(published: tuple[Path, Path], **more: object) -> SvdWeights:
    return SvdWeights(unet=str(published[0]), reference=str(published[1]), **more)  # type: ignore[arg-type]


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def test_published_folders_give_their_weights_and_a_mask_s_channel_of_zeros(published: tuple[Path, Path]) -> None:
    loaded = load_network(weights(published))
    ours, theirs = loaded.network.state_dict(), load_file(published[0] / "unet" / f"{MODEL}.safetensors")
    for name, tensor in theirs.items():
        got = ours[f"unet.net.{name}"]
        assert torch.equal(got[:, :8] if name == "conv_in.weight" else got, tensor)
    assert ours["unet.net.conv_in.weight"][:, 8].abs().max() == 0
    half = load_file(published[1] / "unet" / f"{MODEL}.fp16.safetensors")
    assert torch.equal(ours["reference.net.conv_in.weight"], half["conv_in.weight"].float())
    assert "reference.net.conv_out.weight" not in ours
    assert ours["unet.strength.last.weight"].abs().max() == ours["no_image"].abs().max() == 0
    assert not any(tensor.is_meta for tensor in ours.values())
    assert loaded.network.embed(torch.rand(1, 3, 30, 40)).isfinite().all()
    assert load_network(weights(published)).digest == loaded.digest


def test_no_image_encoder_is_loaded_where_none_is_wanted(published: tuple[Path, Path]) -> None:
    assert load_network(weights(published, image_encoder=False)).network.image_encoder is None


def test_what_was_trained_comes_back_bit_for_bit_with_its_settings(trained: Path) -> None:
    network, digest = load_trained(trained)
    before, after = tiny(reach="rows", strength="geometric").state_dict(), network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (network.reach, network.strength) == ("rows", "geometric")
    assert json.loads((trained / "svd.json").read_text())["about"] == {"steps": 7}
    assert load_network(SvdWeights(name=str(trained)), dtype=torch.bfloat16).network.dtype == torch.bfloat16
    assert load_network(SvdWeights(name=str(trained))).digest == digest
    with pytest.raises(StoreError, match="exists"):
        save_trained(network, trained)


def test_a_trained_folder_that_is_cut_changed_or_of_another_version_is_refused(trained: Path, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path)
    file = folder / "reference.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-9])
    with pytest.raises(WeightsError, match=f"{len(data) - 9} bytes of {len(data)}; it was cut short, copy it again"):
        load_trained(folder)
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(WeightsError, match="is not what was written"):
        load_trained(folder)
    file.unlink()
    with pytest.raises(WeightsError, match=r"reference\.safetensors is missing; copy the whole folder"):
        load_trained(folder)
    config = json.loads((folder / "svd.json").read_text())
    (folder / "svd.json").write_text(json.dumps(config | {"version": 99}))
    with pytest.raises(WeightsError, match="format spatialdreamer-svd 99"):
        load_trained(folder)
    (folder / "svd.json").write_text(json.dumps(config)[:50])
    with pytest.raises(WeightsError, match=r"svd\.json cannot be read"):
        load_trained(folder)
    config["sizes"].pop("vae")
    config["sizes"]["surplus"] = {}
    (folder / "svd.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"svd\.json is damaged"):
        load_trained(folder)


def test_pickled_weights_alone_are_refused(published: tuple[Path, Path], tmp_path: Path) -> None:
    folder = copied(published[0], tmp_path)
    (folder / "unet" / f"{MODEL}.safetensors").rename(folder / "unet" / f"{MODEL}.bin")
    with pytest.raises(WeightsError, match=r"only as diffusion_pytorch_model\.bin, which can run code"):
        load_network(SvdWeights(unet=str(folder), reference=str(published[1])))
    (folder / "unet" / f"{MODEL}.bin").unlink()
    with pytest.raises(WeightsError, match=r"no \*\.safetensors"):
        load_network(SvdWeights(unet=str(folder), reference=str(published[1])))


def test_weights_in_several_files_are_read_by_their_index_and_none_from_elsewhere(
    published: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = copied(published[0], tmp_path) / "vae"
    whole = load_file(folder / f"{MODEL}.safetensors")
    (folder / f"{MODEL}.safetensors").unlink()
    names = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(sorted(whole))}
    for file in set(names.values()):
        save_file({name: whole[name] for name in whole if names[name] == file}, folder / file)
    index = folder / f"{MODEL}.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": names}))
    assert read_tensors(weights_files(folder)).keys() == whole.keys()
    (folder / "part-1.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"part-1\.safetensors is missing"):
        read_tensors(weights_files(folder))
    for text, words in (("{", "cannot be read"), ('{"weight_map": {"a": "../x.safetensors"}}', "no file beside it")):
        index.write_text(text)
        with pytest.raises(WeightsError, match=words):
            weights_files(folder)


def test_a_cut_file_is_named(published: tuple[Path, Path], tmp_path: Path) -> None:
    folder = copied(published[0], tmp_path)
    file = folder / "vae" / f"{MODEL}.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"vae/diffusion_pytorch_model\.safetensors is cut short or damaged"):
        load_network(SvdWeights(unet=str(folder), reference=str(published[1])))


def test_tensors_of_another_size_or_model_are_named(published: tuple[Path, Path], tmp_path: Path) -> None:
    folder = copied(published[1], tmp_path)
    file = folder / "unet" / f"{MODEL}.fp16.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"conv_in.bias": torch.zeros(5)}, file)
    with pytest.raises(WeightsError, match=r"of another size: 1 tensors differ in shape, such as conv_in\.bias \[5\]"):
        load_network(SvdWeights(unet=str(published[0]), reference=str(folder)))
    save_file({name: tensor for name, tensor in tensors.items() if name != "conv_in.bias"}, file)
    with pytest.raises(WeightsError, match=r"lacks 1 tensors .* such as conv_in\.bias"):
        load_network(SvdWeights(unet=str(published[0]), reference=str(folder)))
    save_file(tensors | {"strange": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match="has 1 tensors that the network does not have, such as strange"):
        load_network(SvdWeights(unet=str(published[0]), reference=str(folder)))


def test_folders_of_the_wrong_model_are_named(published: tuple[Path, Path]) -> None:
    with pytest.raises(WeightsError, match="holds a UNet2DConditionModel, not a UNetSpatioTemporalConditionModel"):
        load_network(SvdWeights(unet=str(published[1]), reference=str(published[1])))
    with pytest.raises(WeightsError, match=r"no folder with svd\.json"):
        load_network(SvdWeights(name=str(published[0])))
    with pytest.raises(WeightsError, match="one of published, random, random-tiny"):
        load_network(SvdWeights(name="nonsense"))


def test_nothing_is_downloaded_unless_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="stable-video-diffusion-img2vid is not here; allow the network"):
        load_network(SvdWeights())


def test_memory_too_small_for_the_weights_is_told_before_they_are_read(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda *_: 1 << 20)
    for name in ("random-tiny", str(trained)):
        with pytest.raises(ConfigError, match=r"its weights take 0\.0 GiB as float32, 0\.0 GiB of memory are free"):
            load_network(SvdWeights(name=name))


def test_parts_that_do_not_fit_each_other_are_refused() -> None:
    sizes = tiny_sizes()
    with pytest.raises(WeightsError, match="RefinerNet's block_out_channels"):
        Sizes(sizes.unet, sizes.reference | {"block_out_channels": [32, 32, 64, 128]}, sizes.vae, sizes.image_encoder)
    with pytest.raises(WeightsError, match="the image encoder gives 1024 numbers"):
        Sizes(sizes.unet, sizes.reference, sizes.vae)
    with pytest.raises(WeightsError, match="takes 9 channels, not 8"):
        Sizes(sizes.unet | {"in_channels": 8}, sizes.reference, sizes.vae, sizes.image_encoder)
