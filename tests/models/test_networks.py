"""The shipped ONNX files give TFLite's numbers, and a damaged file is refused by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview.errors import ModelError
from multiview.models.card import DATA, load_card
from multiview.models.runtime import open_network

HERE = Path(__file__).parent
# float32 sums in another order: about 1e-6; a wrong pad or a lost bias gives over 1e-2.
RELATIVE = 1e-4
OUTPUTS = {
    "palm": ("boxes", "scores"),
    "hand": ("landmarks", "presence", "handedness", "world"),
}
EVERY = 16  # anchors stored by tflite_reference.py
WHEEL = os.environ.get("MULTIVIEW_MEDIAPIPE_WHEEL", "")


def pattern(size):
    """Return what the experiment's tflite_reference.py fed to TFLite, as (1, 3, size, size)."""
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    image = ((x * x + 3 * y * x + 50 * c) // 97 % 256)[None] / 255
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2), np.float32)


@pytest.mark.parametrize("model", ["lite", "full"])
@pytest.mark.parametrize(("part", "size"), [("palm", 192), ("hand", 224)])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("runtime", ["cv2", "ort"])
def test_every_runtime_gives_tflites_numbers(model, part, size, batch, runtime):
    if runtime == "ort":
        pytest.importorskip("onnxruntime", reason="pip install 'multiview-bootstrapping[ort]'")
    card = load_card(f"mediapipe-{model}")
    net = open_network(card, part, outputs=OUTPUTS[part], runtime=runtime)
    found = net(np.repeat(pattern(size), batch, axis=0))
    with np.load(HERE / "reference_tflite.npz") as reference:
        for output in OUTPUTS[part]:
            value, expected = found[output], reference[f"{card.path(part).stem}/{output}"]
            ours = value[:, ::EVERY] if value.ndim == 3 else value.reshape(batch, -1)
            assert len(ours) == batch
            assert np.abs(ours - expected).max() < RELATIVE * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_a_damaged_file_of_the_package_is_named(tmp_path, monkeypatch, damage):
    folder = tmp_path / "data"
    shutil.copytree(DATA, folder)
    path = folder / "palm_detection_lite.onnx"
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    monkeypatch.setattr("multiview.models.card.DATA", folder)
    with pytest.raises(ModelError, match=r"palm_detection_lite\.onnx.*\n.*reinstall"):
        open_network(load_card("mediapipe-lite"), "palm", outputs=OUTPUTS["palm"])


def test_a_file_that_opencv_refuses_is_named(monkeypatch):
    def refuse(*_):
        raise cv2.error("no")

    monkeypatch.setattr(cv2.dnn, "readNetFromONNX", refuse)
    with pytest.raises(ModelError, match=r"hand_landmark_full\.onnx is refused by OpenCV"):
        open_network(load_card(), "hand", outputs=OUTPUTS["hand"])


@pytest.mark.parametrize("text", ["networks: 3", "name: mediapipe-lite\nbackend: x", "{"])
def test_broken_cards_of_the_package_are_a_model_error(tmp_path, monkeypatch, text):
    (tmp_path / "mediapipe-lite.yaml").write_text(text)
    monkeypatch.setattr("multiview.models.card.DATA", tmp_path)
    with pytest.raises(ModelError, match=r"(?s)mediapipe-lite\.yaml.*next: reinstall"):
        load_card("mediapipe-lite")


def converter():
    """Return the build tool, or a skip: it needs the extra `convert`."""
    pytest.importorskip("tflite", reason="pip install 'multiview-bootstrapping[convert]'")
    from multiview.models import tflite_to_onnx

    return tflite_to_onnx


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        (192, 5, 2, (1, 2)),
        (224, 3, 2, (0, 1)),
        (96, 5, 1, (2, 2)),
        (48, 2, 2, (0, 0)),
        (7, 3, 2, (1, 1)),
    ],
)
def test_same_padding_puts_the_odd_pixel_last(size, kernel, stride, pads):
    top, left, bottom, right = converter().same_pads([size] * 2, [kernel] * 2, [stride] * 2)
    assert (top, bottom) == (left, right) == pads


@pytest.mark.skipif(not WHEEL, reason="set MULTIVIEW_MEDIAPIPE_WHEEL to mediapipe-0.10.21-*.whl")
def test_conversion_reproduces_the_shipped_bytes(tmp_path):
    converter().main(WHEEL, str(tmp_path))
    for card in (load_card("mediapipe-lite"), load_card("mediapipe-full")):
        for part in card.weights:
            assert (tmp_path / card.path(part).name).read_bytes() == card.path(part).read_bytes()


@pytest.mark.skipif(not WHEEL, reason="set MULTIVIEW_MEDIAPIPE_WHEEL to mediapipe-0.10.21-*.whl")
def test_an_unknown_operator_is_named(monkeypatch):
    tool = converter()
    data = tool.read_tflite(Path(WHEEL), load_card("mediapipe-lite").weights["palm"])
    monkeypatch.delitem(tool._OPERATORS, tool.tflite.BuiltinOperator.RESIZE_BILINEAR)
    with pytest.raises(ModelError, match="RESIZE_BILINEAR"):
        tool.convert(data, OUTPUTS["palm"])


def test_another_mediapipe_version_is_refused(tmp_path):
    tool = converter()
    weights = load_card("mediapipe-lite").weights["palm"]
    (tmp_path / Path(weights.source).name).write_bytes(b"other weights")
    with pytest.raises(ModelError, match=r"not the one of mediapipe 0\.10\.21"):
        tool.read_tflite(tmp_path, weights)
