"""The shipped ONNX files give TFLite's numbers, and a damaged file is refused by name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview.errors import ModelError
from multiview.models.card import CARDS, DATA, load_cards, load_net

HERE = Path(__file__).parent
# float32 sums in another order: about 1e-6; a wrong pad or a lost bias gives over 1e-2.
RELATIVE = 1e-4
EVERY = 16  # anchors stored by tflite_reference.py
WHEEL = os.environ.get("MULTIVIEW_MEDIAPIPE_WHEEL", "")


def pattern(size):
    """Return what the experiment's tflite_reference.py fed to TFLite, as (1, 3, size, size)."""
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    image = ((x * x + 3 * y * x + 50 * c) // 97 % 256)[None] / 255
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2), np.float32)


@pytest.mark.parametrize("name", ["palm_lite", "palm_full", "hand_lite", "hand_full"])
@pytest.mark.parametrize("batch", [1, 3])
def test_opencv_gives_tflites_numbers(name, batch):
    card, net = load_cards()[name], load_net(name)
    net.setInput(np.repeat(pattern(card.input_size), batch, axis=0), "image")
    with np.load(HERE / "reference_tflite.npz") as reference:
        for output, value in zip(card.outputs, net.forward(card.outputs), strict=True):
            expected = reference[f"{Path(card.file).stem}/{output}"]
            ours = value[:, ::EVERY] if value.ndim == 3 else value.reshape(batch, -1)
            assert len(ours) == batch
            assert np.abs(ours - expected).max() < RELATIVE * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_a_damaged_file_is_named(tmp_path, damage):
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
    with pytest.raises(ModelError, match=r"palm_detection_lite\.onnx.*\n.*reinstall"):
        load_net("palm_lite", folder)


def test_a_file_that_opencv_refuses_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise cv2.error("no")

    monkeypatch.setattr(cv2.dnn, "readNetFromONNX", refuse)
    with pytest.raises(ModelError, match=r"hand_landmark_full\.onnx is refused by OpenCV"):
        load_net("hand_full")


@pytest.mark.parametrize("text", [None, "networks: 3", "networks: {a: {file: x}}", "{"])
def test_broken_cards_are_a_model_error(tmp_path, text):
    if text is not None:
        (tmp_path / CARDS).write_text(text)
    with pytest.raises(ModelError, match=r"(?s)models\.yaml.*next: reinstall"):
        load_cards(tmp_path)


def converter():
    """Return the build tool, or a skip: it needs the extra `convert`."""
    pytest.importorskip("onnx", reason="pip install 'multiview-bootstrapping[convert]'")
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
    for card in load_cards().values():
        assert (tmp_path / card.file).read_bytes() == (DATA / card.file).read_bytes()


@pytest.mark.skipif(not WHEEL, reason="set MULTIVIEW_MEDIAPIPE_WHEEL to mediapipe-0.10.21-*.whl")
def test_an_unknown_operator_is_named(monkeypatch):
    tool = converter()
    card = load_cards()["palm_lite"]
    data = tool.read_tflite(Path(WHEEL), card)
    monkeypatch.delitem(tool._OPERATORS, tool.tflite.BuiltinOperator.RESIZE_BILINEAR)
    with pytest.raises(ModelError, match="RESIZE_BILINEAR"):
        tool.convert(data, card.outputs)


def test_another_mediapipe_version_is_refused(tmp_path):
    tool = converter()
    card = load_cards()["palm_lite"]
    (tmp_path / Path(card.tflite_path).name).write_bytes(b"other weights")
    with pytest.raises(ModelError, match=r"not the one of mediapipe 0\.10\.21"):
        tool.read_tflite(tmp_path, card)
