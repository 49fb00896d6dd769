"""Caffe files are read as Caffe does, become ONNX that every runtime agrees on, or are refused."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import caffe_files as files
import cv2
import numpy as np
import pytest

from multiview.errors import InputError, ModelError
from multiview.models import caffe_to_onnx
from multiview.models.caffe import read_caffe
from multiview.models.caffe_to_onnx import convert_openpose, to_onnx
from multiview.models.card import load_card

REFERENCE = Path(__file__).parent / "reference_caffe.npz"
# float32 sums in another order: about 1e-6; a wrong pad, rounding or group gives over 1e-2.
RELATIVE = 1e-4
WEIGHTS, MIXED = files.mixed_weights(), files.mixed_prototxt()


def run(model, image, runtime):
    if runtime == "cv2":
        net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
        net.setInput(image, "image")
        return net.forward()
    ort = pytest.importorskip("onnxruntime", reason="pip install 'multiview-bootstrapping[ort]'")
    return ort.InferenceSession(model).run(None, {"image": image})[0]


def close(found, expected):
    assert found.shape == expected.shape
    return np.abs(found - expected).max() < RELATIVE * np.ptp(expected)


@pytest.mark.parametrize("runtime", ["cv2", "ort"])
@pytest.mark.parametrize("v1", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("double", [True, False])
def test_the_numbers_are_those_of_opencv4s_caffe_importer(tmp_path, runtime, v1, legacy, double):
    model = files.caffemodel(WEIGHTS, v1=v1, legacy=legacy, double=double)
    net = read_caffe(*files.write(tmp_path, files.mixed_prototxt(v1=v1), model))
    assert net.outputs == {"out": 4}
    found = run(to_onnx(net), files.mixed_input(), runtime)
    with np.load(REFERENCE) as stored:
        assert close(found, stored["out"])


@pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromCaffe"), reason="OpenCV 5 reads no Caffe")
def test_the_stored_numbers_are_still_opencvs(tmp_path):
    paths = files.write(tmp_path, MIXED, files.caffemodel(WEIGHTS))
    net = cv2.dnn.readNetFromCaffe(*map(str, paths))
    net.setInput(files.mixed_input(), "image")
    with np.load(REFERENCE) as stored:
        assert close(net.forward("out"), stored["out"])


@pytest.mark.parametrize("head", [files.INPUT_SHAPE, files.INPUT_LAYER])
def test_every_form_of_input_gives_the_same_file(tmp_path, head):
    model = files.caffemodel(WEIGHTS)
    other = to_onnx(read_caffe(*files.write(tmp_path, files.mixed_prototxt(head=head), model)))
    assert other == to_onnx(read_caffe(*files.write(tmp_path, MIXED, model)))


def caffe_pooling(maps, kind, kernel, stride, pad):
    """Pooling by its definition: windows rounded up, means over the window inside the padding."""
    sizes = [-(-(n + 2 * pad - kernel) // stride) + 1 for n in maps.shape]
    out = np.zeros(sizes)
    for i, j in np.ndindex(*sizes):
        low = [i * stride - pad, j * stride - pad]
        high = [min(v + kernel, n + pad) for v, n in zip(low, maps.shape, strict=True)]
        window = maps[max(low[0], 0) : high[0], max(low[1], 0) : high[1]]
        area = (high[0] - low[0]) * (high[1] - low[1])
        out[i, j] = window.max() if kind == "MAX" else window.sum() / area
    return out


@pytest.mark.parametrize("runtime", ["cv2", "ort"])
@pytest.mark.parametrize("kind", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (5, 2, 2), (2, 1, 0)]
)
def test_pooling_is_caffes(tmp_path, runtime, kind, kernel, stride, pad):
    options = f"pooling_param {{ pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad} }}"
    prototxt = files.INPUT_DIM.replace("input_dim: 3", "input_dim: 1")
    prototxt += files.convolution("c", "image", "c", "num_output: 1 kernel_size: 1")
    prototxt += files.layer("p", "Pooling", ["c"], ["p"], options)
    one = {"c": [np.ones((1, 1, 1, 1)), np.zeros(1)]}
    model = to_onnx(read_caffe(*files.write(tmp_path, prototxt, files.caffemodel(one))))
    for size in ((6, 7), (7, 8), (9, 12)):
        maps = np.random.default_rng(6).normal(size=(1, 1, *size)).astype(np.float32)
        expected = caffe_pooling(maps[0, 0], kind, kernel, stride, pad)
        assert close(run(model, maps, runtime)[0, 0], expected)


def test_layers_of_training_are_left_out(tmp_path):
    loss = files.layer("loss", "SoftmaxWithLoss", ["out"], ["l"], "include { phase: TRAIN }")
    net = read_caffe(*files.write(tmp_path, MIXED + loss, files.caffemodel(WEIGHTS)))
    assert net.outputs == {"out": 4}


def without(name):
    return {n: arrays for n, arrays in WEIGHTS.items() if n != name}


def nan_weights():
    broken = WEIGHTS["c2"][0].copy()
    broken[1, 2, 0, 0] = np.nan
    return {**WEIGHTS, "c2": [broken, WEIGHTS["c2"][1]]}


def grey_weights():
    return {**WEIGHTS, "c1": [WEIGHTS["c1"][0][:, :1], WEIGHTS["c1"][1]]}


def lying_blob():
    """Declare 2**60 weights and hold eight of them."""
    values = files.blob(np.zeros(8), shape=(2**30, 2**30))
    return files.field(100, files.field(1, b"c1") + files.field(7, values))


def short_blob():
    """Declare the right shape and hold eight numbers."""
    values = files.blob(np.zeros(8), shape=(8, 3, 3, 3))
    return files.field(100, files.field(1, b"c1") + files.field(7, values))


def nested(depth):
    """Groups in groups: the only thing that a parser follows without knowing the field."""
    return files.varint(200 << 3 | 3) * depth


WEB_PAGE = b"\n <!DOCTYPE html><html><body>404</body></html>"
GOOD = files.caffemodel(WEIGHTS)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (WEB_PAGE, ["web page"]),
        (b"", ["0 bytes"]),
        (GOOD[: len(GOOD) // 2], ["cut short"]),
        (b"version https://git-lfs.github.com/spec/v1\n", ["cut short or no caffemodel"]),
        (files.field(1, b"net"), ["holds no weights"]),
        (files.caffemodel(without("c3")), ["'c3'", "no weights"]),
        (files.caffemodel({**WEIGHTS, "c1": WEIGHTS["c1"][:1]}), ["'c1'", "no bias"]),
        (files.caffemodel(grey_weights()), ["'c1'", "(8, 1, 3, 3)", "(8, 3, 3, 3)"]),
        (files.caffemodel({**WEIGHTS, "c4": WEIGHTS["c1"]}), ["'c4'", "(4, 11, 1, 1)"]),
        (files.caffemodel(nan_weights()), ["'c2'", "NaN"]),
        (lying_blob(), ["'c1'", "1073741824"]),
        (short_blob(), ["'c1'", "8 numbers", "216"]),
        (nested(100_000), ["no caffemodel"]),
    ],
)
def test_bad_weights_are_refused_by_name(tmp_path, model, words):
    with pytest.raises(ModelError) as error:
        read_caffe(*files.write(tmp_path, MIXED, model))
    assert all(word in str(error.value) for word in ["net.caffemodel", *words])


def swap(old, new):
    assert old in MIXED
    return MIXED.replace(old, new)


@pytest.mark.parametrize(
    ("prototxt", "words"),
    [
        (WEB_PAGE.decode(), ["web page"]),
        ("", ["0 bytes"]),
        (files.INPUT_DIM, ["no layers"]),
        (MIXED[:-30], ["cannot be read as a prototxt"]),
        ("layer { " * 5000 + "} " * 5000, ["nested too deeply"]),
        (MIXED + "#" * 2**22, ["kB"]),
        (MIXED + files.layer("old", "ReLU", ["out"], ["out"], v1=True), ["mixes"]),
        (swap('"Dropout"', '"LRN"'), ["'d1'", "LRN"]),
        (files.mixed_prototxt(v1=True).replace("DROPOUT", "LRN"), ["'d1'", "LRN"]),
        (swap(files.INPUT_DIM, ""), ["one input"]),
        (swap("input_dim: 3", ""), ["one input"]),
        (swap("input_dim: 3", "input_dim: 4"), ["'c1'", "(8, 3, 3, 3)", "(8, 4, 3, 3)"]),
        (swap('bottom: "p1_a"', 'bottom: "nowhere"'), ["'c2'", "'nowhere'"]),
        (swap('top: "p1_b"', 'top: "c1"'), ["'s1'", "'c1'"]),
        (swap('name: "c4"', 'name: "c1"'), ["'c1'", "twice"]),
        (swap("pool: AVE", "pool: STOCHASTIC"), ["'p2'", "STOCHASTIC"]),
        (swap("pool: AVE kernel_size: 3", "pool: AVE kernel_size: 1"), ["'p2'", "stride"]),
        (swap("pad: 1 kernel", "pad: 4294967295 kernel"), ["'c1'", "pad", "1024"]),
        (swap("group: 2", "group: 3"), ["'c2'", "3 groups"]),
        (swap("kernel_size: 1 stride: 1", "stride: 1"), ["'c4'", "kernel_size", "missing"]),
        (swap("pad: 2", "pad: 2 pad: 2 pad: 2"), ["'c3'", "pad"]),
        (swap("dilation: 1", "axis: 2"), ["'c1'", "axis 2"]),
        (swap('top: "k1"', 'top: "k1" concat_param { axis: 2 }'), ["'k1'", "axis 2"]),
        (swap('top: "k1"', 'top: "k1" include { stage: "x" }'), ["'k1'", "stage"]),
    ],
)
def test_bad_layers_are_refused_by_name(tmp_path, prototxt, words):
    with pytest.raises(ModelError) as error:
        read_caffe(*files.write(tmp_path, prototxt, GOOD))
    assert all(word in str(error.value) for word in ["net.prototxt", *words])


def test_files_in_the_wrong_order_are_refused(tmp_path):
    prototxt, model = files.write(tmp_path, MIXED, GOOD)
    with pytest.raises(ModelError, match="prototxt first"):
        read_caffe(model, prototxt)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_file_is_named(tmp_path, missing):
    paths = files.write(tmp_path, MIXED, GOOD)
    paths[missing].unlink()
    with pytest.raises(ModelError, match=paths[missing].name):
        read_caffe(*paths)


def test_conversion_writes_a_card_that_loads(tmp_path):
    prototxt, model = files.write_dots(tmp_path)
    done = convert_openpose(prototxt, model, tmp_path / "models")
    card = load_card(done.card)
    assert (card.backend, card.decoding.background, card.crop.mirror_left) == ("openpose", 21, True)
    assert "non-commercial" in card.licence
    assert "scale: 2.2" in done.card.read_text()  # written, not left to a default that may change
    weights = card.weights["hand"]
    assert hashlib.sha256(card.read("hand")).hexdigest() == weights.sha256
    assert weights.source_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert hashlib.md5(model.read_bytes()).hexdigest() in weights.source
    assert hashlib.sha256(prototxt.read_bytes()).hexdigest() in weights.source
    assert [p.name for p in sorted(done.card.parent.iterdir())] == [
        "openpose-hand.onnx",
        "openpose-hand.yaml",
    ]


def test_only_the_published_file_passes_without_a_warning(tmp_path, monkeypatch):
    prototxt, model = files.write_dots(tmp_path)
    (warning,) = convert_openpose(prototxt, model, tmp_path / "a").warnings
    assert "a82cfc3fea7c62f159e11bd3674c1531" in warning
    digest = hashlib.md5(model.read_bytes()).hexdigest()
    monkeypatch.setattr(caffe_to_onnx, "HAND_MD5", digest)
    assert convert_openpose(prototxt, model, tmp_path / "b").warnings == ()


def test_the_same_files_are_converted_once(tmp_path):
    prototxt, model = files.write_dots(tmp_path)
    first = convert_openpose(prototxt, model, tmp_path / "models")
    onnx_file = first.card.with_suffix(".onnx")
    written = onnx_file.stat().st_mtime_ns
    again = convert_openpose(prototxt, model, tmp_path / "models")
    assert (first.cached, again.cached) == (False, True)
    assert onnx_file.stat().st_mtime_ns == written


@pytest.mark.parametrize("change", ["prototxt", "weights", "onnx", "card"])
def test_anything_else_is_converted_again(tmp_path, change):
    prototxt, model = files.write_dots(tmp_path)
    card = convert_openpose(prototxt, model, tmp_path / "models").card
    whole = card.with_suffix(".onnx").read_bytes()
    if change == "prototxt":
        prototxt.write_text(prototxt.read_text() + "# a comment\n")
    elif change == "weights":
        weights = files.dots_weights()
        weights["pick"][0][0, 0] = 2
        model.write_bytes(files.caffemodel(weights))
    elif change == "onnx":
        card.with_suffix(".onnx").write_bytes(whole[:-9])
    else:
        card.write_text("name: [")
    assert not convert_openpose(prototxt, model, card.parent).cached
    assert load_card(card).read("hand")


def test_another_network_is_no_hand_network(tmp_path):
    paths = files.write(tmp_path, MIXED, GOOD)
    with pytest.raises(ModelError, match=r"not the hand network.*out \(4\)"):
        convert_openpose(*paths, tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [("../elsewhere", "cannot name a model"), ("", "cannot name"), ("mediapipe-full", "shipped")],
)
def test_a_name_is_no_path_and_not_taken(tmp_path, name, words):
    paths = files.write_dots(tmp_path)
    with pytest.raises(InputError, match=words):
        convert_openpose(*paths, tmp_path / "models", name=name)
    assert not (tmp_path / "models").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        convert_openpose(*files.write_dots(tmp_path), tmp_path / "file" / "models")


def test_infinite_numbers_of_a_double_are_refused(tmp_path):
    weights = {**WEIGHTS, "c1": [WEIGHTS["c1"][0].astype(np.float64) * 1e300, WEIGHTS["c1"][1]]}
    model = files.caffemodel(weights, double=True)
    with pytest.raises(ModelError, match="infinite"):
        read_caffe(*files.write(tmp_path, MIXED, model))


@pytest.mark.parametrize("seed", range(20))
def test_damage_anywhere_is_an_error_of_ours_or_harmless(tmp_path, seed):
    """Bytes changed in the head of the weights, letters changed or cut out of the prototxt."""
    rng = np.random.default_rng(seed)
    for _ in range(5):
        model, text = bytearray(GOOD), bytearray(MIXED.encode())
        model[rng.integers(120)] = rng.integers(256)
        text[rng.integers(len(text))] = rng.integers(32, 127)
        start = rng.integers(len(text))
        cut = bytes(text[:start] + text[start + rng.integers(1, 40) :])
        for prototxt, weights in (
            (MIXED, bytes(model)),
            (text.decode(), GOOD),
            (cut.decode(), GOOD),
        ):
            with contextlib.suppress(ModelError):
                to_onnx(read_caffe(*files.write(tmp_path, prototxt, weights)))
