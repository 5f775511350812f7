"""Depth networks of the transformers library, from a local folder or the Hugging Face hub.

Needs the ``models`` extra. Only safetensors are loaded, and nothing is downloaded unless the settings allow it.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.errors import ConfigError, DepthError
from spatialdreamer_core.torchvision_shim import ensure_torchvision
from spatialdreamer_core.weights.hub import hub_folder

VERSION = 1
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 8
MIN_METRES = 1e-3


class HubDepth:
    """Any model that ``AutoModelForDepthEstimation`` loads: Depth Anything, DPT, MiDaS and their like.

    They give inverse depth; a checkpoint that says it gives metres (``depth_estimation_type: metric``, ZoeDepth,
    Depth Pro) is inverted. The picture is brought to the size the network was trained at (short side, a multiple of
    its patch), its own aspect kept where the network allows.

    Args:
        where: Local folder, or the model's name on the hub.
        name: For people; the default is ``where``.
        device: ``cpu``, ``cuda`` or ``cuda:N``; on cuda the network runs in half precision.
        allow_network: Whether missing files may be downloaded.
        revision: The hub's commit to load; None takes the newest.

    Raises:
        ConfigError: If the model is not there, is none for depth, has no safetensors, or the device is missing.
    """

    def __init__(
        self,
        where: str,
        *,
        name: str | None = None,
        device: str = "cpu",
        allow_network: bool = False,
        revision: str | None = None,
    ) -> None:
        self.name = name or where
        self.uses_partner = False
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError(f"depth {self.name!r}: no CUDA device here; use the CPU or another machine")
        ensure_torchvision()
        folder = hub_folder(where, f"depth {self.name!r}", allow_network=allow_network, revision=revision)
        self._device = torch.device(device)
        self._dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        self._model = _load(folder, self.name).to(self._device, self._dtype)
        self._inverts = _is_metric(self._model.config)
        settings = _preprocessor_settings(folder)
        self._mean = self._channel_values(settings.get("image_mean", IMAGENET_MEAN))
        self._std = self._channel_values(settings.get("image_std", IMAGENET_STD))
        self._patch, self._short_side, self._square = _input_size(self._model.config, settings)
        self.digest = f"hub-{VERSION}-{self._dtype}-{_weights_digest(folder)}".replace("torch.", "")

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        """Give [N, h, w] relative inverse depth; see ``DepthEstimator.infer``.

        Raises:
            DepthError: If the network runs out of memory.
        """
        parts = [self._batch(request.pictures[i : i + BATCH]) for i in range(0, len(request.pictures), BATCH)]
        return np.concatenate(parts) if parts else np.zeros(request.pictures.shape[:3], np.float32)

    @torch.inference_mode()
    def _batch(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        h, w = pictures.shape[1:3]
        pixels = torch.tensor(pictures).to(self._device).permute(0, 3, 1, 2).float() / 255  # [N, 3, h, w]
        size = self.input_size(h, w)
        pixels = F.interpolate(pixels, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        pixels = ((pixels - self._mean) / self._std).to(self._dtype)
        try:
            depth = self._model(pixel_values=pixels).predicted_depth.float()  # [N, h', w']
        except torch.OutOfMemoryError as error:
            raise DepthError(
                f"depth {self.name}: out of memory at {size[1]}x{size[0]}; lower the depth width"
            ) from error
        if self._inverts:
            depth = 1 / depth.clamp_min(MIN_METRES)
        depth = F.interpolate(depth.unsqueeze(1), (h, w), mode="bilinear", align_corners=False).squeeze(1)
        return np.asarray(depth.cpu().numpy(), np.float32)

    def input_size(self, h: int, w: int) -> tuple[int, int]:
        """Give the (rows, columns) at which the network sees a picture of [h, w]: multiples of its patch."""
        if self._square:
            return self._short_side, self._short_side
        scale = self._short_side / min(h, w)
        rows, columns = (max(1, round(side * scale / self._patch)) * self._patch for side in (h, w))
        return rows, columns

    def _channel_values(self, values: Any) -> torch.Tensor:
        return torch.tensor([float(value) for value in values], device=self._device).reshape(1, 3, 1, 1)


def _load(folder: Path, name: str) -> Any:
    if not sorted(folder.glob("*.safetensors")):
        raise ConfigError(f"depth {name!r}: no *.safetensors in {folder}; other weights are not loaded, for safety")
    from transformers import AutoModelForDepthEstimation

    try:
        model = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"depth {name!r}: {folder} holds no depth model that transformers loads: {error}") from error
    return model.eval().requires_grad_(False)


def _preprocessor_settings(folder: Path) -> dict[str, Any]:
    import json

    file = folder / "preprocessor_config.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _is_metric(config: Any) -> bool:
    return getattr(config, "depth_estimation_type", "relative") == "metric" or config.model_type in {
        "zoedepth",
        "depth_pro",
    }


def _input_size(config: Any, settings: dict[str, Any]) -> tuple[int, int, bool]:
    """Give the patch, the short side, and whether the network takes squares only."""
    backbone = getattr(config, "backbone_config", None)
    patch = int(getattr(config, "patch_size", None) or getattr(backbone, "patch_size", None) or 16)
    patch = max(patch, int(settings.get("ensure_multiple_of") or 1))
    size = settings.get("size") or {}
    trained = getattr(config, "image_size", None) or getattr(backbone, "image_size", None)
    # DPT on its own transformer, hybrid DPT and Swin backbones fold their tokens back into a square
    square = config.model_type == "dpt" and (backbone is None or bool(getattr(config, "is_hybrid", False)))
    square = square or str(getattr(backbone, "model_type", "")).startswith("swin")
    short = size.get("height") or size.get("shortest_edge") or trained or 384
    if square and trained:
        short = trained
    short = short[0] if isinstance(short, (list, tuple)) else short
    return patch, max(patch, round(int(short) / patch) * patch), square


def _weights_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as handle:
            while block := handle.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()[:16]
