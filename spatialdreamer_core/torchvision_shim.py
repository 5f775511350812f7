"""Make ``import torchvision`` work where its compiled operators do not fit the installed torch.

A torchvision wheel built for CUDA cannot load its library beside a CPU torch; it then registers fake kernels for
operators that nobody declared, and the import dies with ``operator torchvision::nms does not exist`` - and with it
every transformers model. Declaring the operators is enough: models and transforms work, only the operators themselves
(nms, roi_align, image files) stay unavailable.
"""

import importlib
import importlib.util
import re
from typing import Any, Literal

_DECLARABLE = re.compile(r"operator torchvision::(q?nms) does not exist")
_libraries: list[Any] = []  # torch forgets an operator when its library object dies


def ensure_torchvision() -> Literal["absent", "native", "shimmed"]:
    """Import torchvision, declaring what its own library should have declared. Call before importing transformers.

    Returns:
        ``absent``: not installed, nothing done. ``native``: it imports by itself. ``shimmed``: operators declared.

    Raises:
        ImportError: If it fails for another reason, or still fails once the operators are declared.
    """
    if importlib.util.find_spec("torchvision") is None:
        return "absent"
    import torch

    declared: set[str] = set()
    while True:
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            match = _DECLARABLE.search(str(error))
            if match is None or match[1] in declared:
                raise ImportError(f"torchvision does not import beside torch {torch.__version__}: {error}") from error
            declared.add(match[1])
            library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            schema = f"{match[1]}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(schema)  # type: ignore[no-untyped-call]
            _libraries.append(library)
        else:
            return "shimmed" if _libraries else "native"
