"""Networks run by OpenCV and by onnxruntime: same numbers, in batches or not, on one thread."""

from __future__ import annotations

import time

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from multiview.errors import InputError
from multiview.models import load_detector, runtime
from multiview.models.card import load_card
from multiview.models.onnx_blocked import blocked, gains_from_blocks
from multiview.models.runtime import open_network, run_each

onnxruntime = pytest.importorskip("onnxruntime")
PALM = ("boxes", "scores")
# float32 sums in another order, of the largest output; a wrong slope gives over 1e-2.
RELATIVE = 1e-5


def inputs(count, size=192):
    rng = np.random.default_rng(5)
    return [rng.random((1, 3, size, size), np.float32) for _ in range(count)]


def assert_same(found, expected):
    for name, value in expected.items():
        limit = RELATIVE * np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=0, atol=limit)


@pytest.mark.parametrize("model", ["lite", "full"])
def test_both_runtimes_agree(model):
    card, (image,) = load_card(f"mediapipe-{model}"), inputs(1)
    ours, theirs = (open_network(card, "palm", outputs=PALM, runtime=r) for r in ("cv2", "ort"))
    assert_same(ours(image), theirs(image))


def raw_session(data):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda batch: dict(zip(PALM, session.run(list(PALM), {"image": batch}), strict=True))


def test_the_rewrite_for_blocks_is_the_same_function():
    data, (image,) = load_card("mediapipe-lite").read("palm"), inputs(1)
    made = blocked(data)
    assert b"PRelu" in data
    assert not any(n.op_type == "PRelu" for n in onnx.load_from_string(made).graph.node)
    assert not gains_from_blocks(load_card("mediapipe-lite").read("hand"))
    assert_same(raw_session(made)(image), raw_session(data)(image))


def prelu_net(slope):
    """y = PRelu(x) of an (N, 4, 8, 8) input."""
    graph = helper.make_graph(
        [helper.make_node("PRelu", ["x", "slope"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 8, 8])],
        [numpy_helper.from_array(slope, "slope")],
    )
    opset = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1), (1,), (4, 8, 8), (1, 1, 8)])
def test_only_slopes_per_channel_are_rewritten_and_all_are_right(shape):
    rng = np.random.default_rng(1)
    slope = rng.normal(size=shape).astype(np.float32)
    x = rng.normal(size=(2, 4, 8, 8)).astype(np.float32)
    made = blocked(prelu_net(slope))
    rewritten = onnx.load_from_string(made).graph.node[0].op_type != "PRelu"
    assert rewritten == (shape in {(4, 1, 1), (1, 4, 1, 1)})
    (y,) = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )
    np.testing.assert_array_equal(y, np.where(x < 0, slope * x, x))


@pytest.mark.parametrize("name", ["cv2", "ort"])
def test_batches_answer_like_single_pictures(name):
    net = open_network(load_card("mediapipe-lite"), "palm", outputs=PALM, runtime=name)
    pictures = inputs(5)
    assert net.batch == 1
    single = list(run_each(net, pictures))
    net.batch = 3  # as on a CUDA device; the last batch is not full
    for found, expected in zip(run_each(net, pictures), single, strict=True):
        assert_same(found, expected)
    assert list(run_each(net, [])) == []


@pytest.mark.parametrize("name", ["cv2", "ort"])
def test_a_batch_of_pictures_keeps_crops_and_pictures_apart(name, monkeypatch):
    """Pictures of different sizes, one without a hand, one with given crops."""
    detector = load_detector("mediapipe-lite", runtime=name)
    from test_parity import PHOTOS

    photo = cv2.imread(str(PHOTOS / "2021-02-01_13-52-53_532.jpg"))
    images = [photo, np.zeros((90, 120, 3), np.uint8), cv2.flip(photo, 1), photo]
    rois = [None, None, None, detector.propose(photo)]
    single = [detector.detect(i, r) for i, r in zip(images, rois, strict=True)]
    for net in (detector._palm, detector._hand):
        monkeypatch.setattr(net, "batch", 4)
    for found, expected in zip(detector.detect_batch(images, rois), single, strict=True):
        np.testing.assert_allclose(found.xy_px, expected.xy_px, rtol=0, atol=1e-2)
        np.testing.assert_allclose(found.rois, expected.rois, rtol=0, atol=1e-2)
    assert [len(h) for h in single] == [1, 0, 1, 1]


def test_onnxruntime_burns_no_second_core():
    net = open_network(load_card("mediapipe-full"), "palm", outputs=PALM, runtime="ort")
    (image,) = inputs(1)
    net(image)
    cpu, own = time.process_time(), time.thread_time()
    for _ in range(20):
        net(image)
    cpu, own = time.process_time() - cpu, time.thread_time() - own
    assert cpu < 1.1 * own + 0.02  # all the work is done by the calling thread


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"runtime": "tpu"}, "unknown runtime 'tpu'"),
        ({"runtime": "cv2", "provider": "cuda"}, "no provider 'cuda'"),
        ({"runtime": "ort", "provider": "abacus"}, "no provider 'abacus'"),
    ],
)
def test_unknown_runtimes_and_providers_are_named(options, what):
    with pytest.raises(InputError, match=what) as caught:
        load_detector("mediapipe-lite", **options)
    assert "cpu" in str(caught.value) or "ort" in str(caught.value)


def test_without_onnxruntime_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match="not installed") as caught:
        runtime.check_runtime("ort", "cpu")
    assert "pip install" in str(caught.value)
