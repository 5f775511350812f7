"""What computes the shipped network: ONNX Runtime, OpenVINO on CPUs, torch on GPUs. They agree within 2e-3.

The tolerance is over the spread of a map; each has its own digest, because the last bits differ.
"""

import importlib
import sys
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.errors import ConfigError

Map = NDArray[np.float32]
RuntimeName = Literal["onnxruntime", "openvino", "torch"]
AGREEMENT = 2e-3
"""Largest difference between two runtimes, over the standard deviation of the map."""
NEEDS: dict[RuntimeName, str] = {
    "onnxruntime": "pip install onnxruntime",
    "openvino": "pip install 'spatialdreamer[openvino]'",
    "torch": "pip install 'spatialdreamer[train]'",
}
TELEMETRY = "openvino_telemetry"
KEPT_SIZES = 4
"""OpenVINO compiles for one picture size; so many are kept."""


class Runtime(Protocol):
    """Runs the network on one picture."""

    def run(self, batch: Map) -> Map:
        """[1, 3, H, W] in [0, 1], sides multiples of 32, to [H / 2, W / 2] relative inverse depth."""
        ...


def create_runtime(name: RuntimeName, model: bytes, *, threads: int, device: str = "cpu") -> Runtime:
    """Load the exported network.

    Args:
        name: Which.
        model: The ONNX file.
        threads: Cores for one picture.
        device: ``cpu``, ``cuda`` or ``cuda:N``; torch alone looks at it.

    Raises:
        ConfigError: If the library is not installed, or the device is not there.
    """
    try:
        if name == "onnxruntime":
            return _OnnxRuntime(model, threads)
        return _OpenVino(model, threads) if name == "openvino" else _Torch(model, device)
    except ImportError as error:
        raise ConfigError(f"depth builtin: {error.name or name} is not installed; run: {NEEDS[name]}") from error


class _OnnxRuntime:
    def __init__(self, model: bytes, threads: int) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: Map) -> Map:
        """See ``Runtime.run``."""
        return np.asarray(self._session.run(None, {self._input: batch})[0][0, 0], np.float32)


def _import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report the import to its makers unasked.

    OpenVINO itself goes on without where the package openvino_telemetry is not installed; so it is hidden meanwhile.
    """
    if "openvino" in sys.modules:
        return importlib.import_module("openvino")
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == TELEMETRY}
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[TELEMETRY]
        sys.modules.update(hidden)


class _OpenVino:
    def __init__(self, model: bytes, threads: int) -> None:
        openvino = _import_openvino()
        self._core = openvino.Core()
        self._model = model
        # its own choice on newer CPUs is bfloat16, whose maps have stairs
        self._settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
        self._compiled: dict[tuple[int, ...], Any] = {}

    def run(self, batch: Map) -> Map:
        """See ``Runtime.run``."""
        if batch.shape not in self._compiled:
            if len(self._compiled) >= KEPT_SIZES:
                self._compiled.clear()
            model = self._core.read_model(self._model)
            model.reshape(list(batch.shape))
            self._compiled[batch.shape] = self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        return np.array(self._compiled[batch.shape].infer([batch])[0][0, 0], np.float32)


class _Torch:
    def __init__(self, model: bytes, device: str) -> None:
        torch: Any = importlib.import_module("torch")
        importlib.import_module("onnx")
        from spatialdreamer_core.models.depth_net import net_from_onnx

        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError("depth builtin: no CUDA device here; use the CPU or another machine")
        self._torch, self._device = torch, torch.device(device)
        self._net = net_from_onnx(model).to(self._device)

    def run(self, batch: Map) -> Map:
        """See ``Runtime.run``."""
        # TF32, which cuDNN takes unasked, would be further from the other runtimes than they are from each other
        exact = self._torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with exact, self._torch.inference_mode():
            found = self._net(self._torch.from_numpy(batch).to(self._device))
        return np.asarray(found[0, 0].float().cpu().numpy(), np.float32)
