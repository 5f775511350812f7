"""What one evaluation run depends on, all of it: checked once, before anything starts."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from spatialdreamer_core.evaluate.config import EvaluateConfig
from spatialdreamer_core.evaluate.material import Packing


class EvaluateRunConfig(BaseModel):
    """One evaluation run.

    Attributes:
        material: Folders, packed videos or lists.
        output: Folder or fsspec URL.
        layout: How packed videos are packed where their names do not say.
        weights: Folders that are searched for weights before the cache.
        i3d: The torch port's own I3D file (``i3d_pretrained_400.pt``) instead of the catalogue's weights.
        evaluate: What the figures depend on.
        prefect: ``auto`` records the run with Prefect where ``PREFECT_API_URL`` is set; ``on``, ``off``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    material: tuple[str, ...] = Field(min_length=1)
    output: str = Field(min_length=1)
    layout: Packing | None = None
    weights: tuple[Path, ...] = ()
    i3d: Path | None = None
    evaluate: EvaluateConfig = EvaluateConfig()
    prefect: Literal["auto", "on", "off"] = "auto"
