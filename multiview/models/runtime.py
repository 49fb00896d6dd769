"""Networks as functions of arrays, run by OpenCV or by onnxruntime."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview.errors import InputError, ModelError
from multiview.models.card import ModelCard
from multiview.models.onnx_blocked import blocked, gains_from_blocks

__all__ = ["RUNTIMES", "Network", "Runtime", "check_runtime", "open_network", "run_each"]

F32 = NDArray[np.float32]
Runtime = Literal["cv2", "ort"]
RUNTIMES = ("cv2", "ort")
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# Crops and pictures a CUDA device is given at once: enough to keep it busy, 10 MB of input.
CUDA_BATCH = 16
# Key of the entry by which an ONNX tensor names another file, with its length; OpenCV 5 loads
# such a file without a word. `multiview models check` parses it in full.
EXTERNAL_DATA = b"\x0a\x08location"
INSTALL_ORT = "pip install 'multiview-bootstrapping[ort]', or use --runtime cv2"


class Network(Protocol):
    """A network: float32 (N, C, H, W) in, its outputs by name out, batch first.

    ``batch`` is the number of pictures worth giving at once: 1 on the CPU, where more were measured
    to gain nothing and need memory.
    """

    batch: int

    def __call__(self, batch: F32) -> dict[str, F32]:
        """Run the network.

        Raises
        ------
        ModelError
            If the network refuses the shape, or an output is not finite.
        """
        ...


def run_each(network: Network, inputs: Iterable[F32]) -> Iterator[dict[str, F32]]:
    """Run a network on inputs (1, C, H, W), ``network.batch`` at once; yield one answer for each.

    Outputs come without the batch axis.
    """
    inputs = iter(inputs)
    while chunk := list(itertools.islice(inputs, network.batch)):
        found = network(chunk[0] if len(chunk) == 1 else np.concatenate(chunk))
        for row in range(len(chunk)):
            yield {name: value[row] for name, value in found.items()}


def check_runtime(runtime: str, provider: str) -> None:
    """Check that a runtime and its provider are at hand on this machine.

    Raises
    ------
    InputError
        If they are unknown or not installed; lists what there is.
    """
    if runtime not in RUNTIMES:
        raise InputError(f"unknown runtime {runtime!r}", f"choose one of {', '.join(RUNTIMES)}")
    if runtime == "cv2":
        if provider != "cpu":
            raise InputError(
                f"runtime cv2 has no provider {provider!r}",
                "use cpu, or --runtime ort for other providers",
            )
        return
    have = _onnxruntime().get_available_providers()
    usable = [short for short, name in PROVIDERS.items() if name in have]
    if provider not in usable:
        raise InputError(
            f"onnxruntime has no provider {provider!r} on this machine",
            f"choose one of {', '.join(usable)}"
            + (" (cuda needs the package onnxruntime-gpu)" if provider == "cuda" else ""),
        )


def open_network(
    card: ModelCard,
    part: str,
    *,
    outputs: tuple[str, ...],
    runtime: str = "cv2",
    provider: str = "cpu",
    threads: int | None = None,
) -> Network:
    """Open a network file of a card, after checking its digest.

    Parameters
    ----------
    card, part
        The model and the key of its file.
    outputs
        Names of the outputs wanted.
    runtime
        ``"cv2"`` or ``"ort"``.
    provider
        ``"cpu"``, or ``"cuda"`` with onnxruntime-gpu.
    threads
        Threads of the network; None: onnxruntime one (pictures run side by side instead), OpenCV
        as it is. OpenCV's number holds for the *whole process*.

    Raises
    ------
    InputError
        If the runtime or provider is not at hand.
    ModelError
        If the file is missing, damaged, or refused by the runtime.
    """
    check_runtime(runtime, provider)
    data, where = card.read(part), str(card.path(part))
    if EXTERNAL_DATA in data:
        raise ModelError(
            f"{where} keeps tensors in other files",
            "save the network as one file (onnx.save_model without external data)",
        )
    if runtime == "ort":
        return _OrtNetwork(data, where, outputs, provider, threads)
    if threads is not None:
        cv2.setNumThreads(threads)
    return _Cv2Network(data, where, outputs, card.input.name)


class _Cv2Network:
    batch = 1

    def __init__(self, data: bytes, where: str, outputs: tuple[str, ...], name: str) -> None:
        self._where, self._outputs, self._name = where, outputs, name
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
            have = self._net.getUnconnectedOutLayersNames()
        except cv2.error as error:
            raise ModelError(
                f"{where} is refused by OpenCV {cv2.__version__} ({_short(error)})",
                "check that it is a complete ONNX file; use OpenCV 4.10 or later",
            ) from None
        _check_names(where, outputs, have)
        # OpenCV 5 insists on all outputs of a network being asked for, also unused ones.
        self._all = [*outputs, *(n for n in have if n not in outputs)]

    def __call__(self, batch: F32) -> dict[str, F32]:
        try:
            self._net.setInput(batch, self._name)
            values = self._net.forward(self._all)
        except cv2.error as error:
            raise _refused(self._where, batch, error) from None
        return _finite(self._where, dict(zip(self._outputs, values, strict=False)))


class _OrtNetwork:
    def __init__(
        self, data: bytes, where: str, outputs: tuple[str, ...], provider: str, threads: int | None
    ) -> None:
        ort, cuda = _onnxruntime(), provider == "cuda"
        self.batch = CUDA_BATCH if cuda else 1
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads or 1, 1
        # waiting threads would burn a core each
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        try:
            if not cuda and gains_from_blocks(data):
                data = blocked(data)
            self._session = ort.InferenceSession(data, options, providers=[PROVIDERS[provider]])
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise ModelError(
                f"{where} is refused by onnxruntime {ort.__version__} ({_short(error)})",
                "check that it is a complete ONNX file",
            ) from None
        self._where, self._outputs = where, outputs
        self._name = self._session.get_inputs()[0].name
        _check_names(where, outputs, [o.name for o in self._session.get_outputs()])

    def __call__(self, batch: F32) -> dict[str, F32]:
        try:
            values = self._session.run(list(self._outputs), {self._name: batch})
        except Exception as error:  # see above
            raise _refused(self._where, batch, error) from None
        return _finite(self._where, dict(zip(self._outputs, values, strict=True)))


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError("onnxruntime is not installed", INSTALL_ORT) from None
    return onnxruntime


def _check_names(where: str, wanted: tuple[str, ...], have: Any) -> None:
    missing = [n for n in wanted if n not in have]
    if missing:
        raise ModelError(
            f"{where} has no output {', '.join(missing)}; it has {', '.join(have)}",
            "correct the outputs in the model's card",
        )


def _finite(where: str, outputs: dict[str, Any]) -> dict[str, F32]:
    for name, value in outputs.items():
        if not np.isfinite(value).all():
            raise ModelError(
                f"{where} gives values that are not finite in output {name!r}",
                "its weights are damaged or the input scaling in its card is wrong",
            )
    return outputs


def _refused(where: str, batch: F32, error: Exception) -> ModelError:
    return ModelError(
        f"{where} does not take an input of shape {batch.shape} ({_short(error)})",
        "compare the input size and channels in its card with the network",
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
