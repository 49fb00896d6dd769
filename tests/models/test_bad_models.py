"""Model files and cards of strangers: a message that names the file and the next step, no more."""

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from multiview.errors import ConfigError, InputError, ModelError, MultiviewError
from multiview.models.card import load_card
from multiview.models.check import check_model
from multiview.models.draft import draft_card
from multiview.models.load import load_detector
from multiview.models.onnx_file import inspect_onnx

sys.path.insert(0, str(Path(__file__).parent))
from dot_net import card_fields, net, write

PICTURE = np.full((60, 80, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def good():
    return net().SerializeToString()


def html(data):
    return b"\n <!DOCTYPE html><html><body>Sign in</body></html>"


def truncated(data):
    return data[: len(data) // 2]


def empty(data):
    return b""


def garbage(data):
    return np.random.default_rng(0).bytes(5000)


@pytest.mark.parametrize("runtime", ["cv2", "ort"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (html, "web page, not a network"),
        (truncated, "dots.onnx"),
        (empty, "0 bytes"),
        (garbage, "dots.onnx"),
    ],
)
def test_damaged_files(tmp_path, good, damage, message, runtime):
    """Also where the card was made of the damaged file, so that its digest fits."""
    path = write(tmp_path, damage(good))
    with pytest.raises(ModelError, match=message):
        load_detector(path, runtime=runtime)
    with pytest.raises(ModelError, match=message):
        list(check_model(load_card(path), PICTURE))
    with pytest.raises(ModelError, match=message):
        draft_card(tmp_path / "dots.onnx")


def test_missing_file_and_folder(tmp_path, good):
    path = write(tmp_path, good)
    (tmp_path / "dots.onnx").unlink()
    with pytest.raises(ModelError, match=r"dots\.onnx cannot be read.*\n.*next: get the file"):
        load_detector(path)
    (tmp_path / "dots.onnx").mkdir()
    with pytest.raises(ModelError, match=r"dots\.onnx is no file"):
        load_detector(path)


def test_wrong_checksum(tmp_path, good):
    path = write(tmp_path, good)
    (tmp_path / "dots.onnx").write_bytes(net(22).SerializeToString())
    with pytest.raises(ModelError, match=r"dots\.onnx is not the file its card describes"):
        load_detector(path)


def test_nan_weights(tmp_path):
    model = net()
    weights = model.graph.initializer[0]
    values = numpy_helper.to_array(weights).copy()
    values[3] = np.nan
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    path = write(tmp_path, model)
    with pytest.raises(ModelError, match=r"weights that are not finite, in tensor 'w1'"):
        list(check_model(load_card(path), PICTURE))


@pytest.mark.parametrize("runtime", ["cv2", "ort"])
def test_nan_outputs(tmp_path, runtime):
    """Weights that are finite: only running the network shows it."""
    model = net()
    model.graph.node[-1].op_type = "Log"
    with pytest.raises(ModelError, match=r"not finite in output 'maps'"):
        load_detector(write(tmp_path, model), runtime=runtime)


def change_input(model, shape):
    model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("image", TensorProto.FLOAT, list(shape))
    )
    return model


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (("N", 1, 96, 96), "wants image \\(free, 1, 96, 96\\)"),
        (("N", 3, 64, 64), "promises an image of \\(N, 3, 96, 96\\)"),
        (("N", 3, 96), "wants image"),
        ((1, 3, 2**31, 2**31), "too large"),
    ],
)
def test_wrong_input_shape(tmp_path, shape, message):
    path = write(tmp_path, change_input(net(), shape))
    with pytest.raises(ModelError, match=message):
        list(check_model(load_card(path), PICTURE))


def test_wrong_names(tmp_path, good):
    path = write(tmp_path, good, input={"name": "picture"})
    with pytest.raises(ModelError, match="no input 'picture'; it has image and maps"):
        list(check_model(load_card(path), PICTURE))
    path = write(tmp_path, good, decoding={"output": ["heat"]})
    with pytest.raises(ModelError, match="no output heat"):
        list(check_model(load_card(path), PICTURE))


def test_wrong_channel_count(tmp_path):
    path = write(tmp_path, net(22))
    with pytest.raises(ModelError, match=r"has 22 channels, its card promises 21.*\n.*background"):
        load_detector(path)


def test_external_data(tmp_path):
    """Refused by its mention alone: the path could point anywhere."""
    model = net()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    with pytest.raises(ModelError, match="keeps the tensor 'w1' in another file"):
        inspect_onnx(model.SerializeToString(), "dots.onnx")
    for runtime in ("cv2", "ort"):
        with pytest.raises(ModelError, match=r"dots\.onnx keeps .* in (other files|another file)"):
            load_detector(write(tmp_path, model), runtime=runtime)


@pytest.mark.parametrize("dims", [[2**40, 2**40], [2**20], [-5]])
def test_gigantic_tensors_are_not_made(dims):
    """Declared sizes are compared with the bytes that are there."""
    model = net()
    tensor = model.graph.initializer[0]
    del tensor.dims[:]
    tensor.dims.extend(dims)
    with pytest.raises(ModelError, match=r"declares .*tensor 'w1'|declares a tensor 'w1'"):
        inspect_onnx(model.SerializeToString(), "dots.onnx")


def test_weights_in_subgraphs_are_checked():
    inner = helper.make_graph(
        [helper.make_node("Identity", ["bad"], ["out"])],
        "inner",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.array([np.inf], np.float32), "bad")],
    )
    model = net()
    model.graph.node.append(
        helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner)
    )
    with pytest.raises(ModelError, match="not finite, in tensor 'bad'"):
        inspect_onnx(model.SerializeToString(), "dots.onnx")


def test_inspection_counts(good):
    found = inspect_onnx(good, "dots.onnx")
    weights = onnx.load_from_string(good).graph.initializer
    assert found.parameters == sum(numpy_helper.to_array(w).size for w in weights)
    assert [str(t) for t in (*found.inputs, *found.outputs)] == [
        "image (free, 3, 96, 96)",
        "maps (free, 21, 48, 48)",
    ]


# --- cards ---


def card_with(folder, good, **changes):
    path = write(folder, good)
    fields = card_fields(good) | changes
    path.write_text(yaml.safe_dump(fields))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decodng": {}}, r"unknown key 'decodng'(?s:.*)did you mean 'decoding'"),
        ({"crop": {"scal": 2}}, r"unknown key 'crop.scal'(?s:.*)did you mean 'scale'"),
        ({"name": "other"}, r"name is 'other'(?s:.*)rename the file"),
        ({"order": [0, 1]}, "order has 2 entries for 21"),
        ({"input": {"size_hw": [10**9, 96], "channels": "RGB", "scale": 1}}, "size_hw"),
        ({"input": {"size_hw": [96, 96], "channels": "RBG", "scale": 1}}, "channels"),
        ({"weights": {"net": {"file": "dots.onnx", "sha256": "abc"}}}, "64 hexadecimal"),
    ],
)
def test_misspelt_cards(tmp_path, good, changes, message):
    with pytest.raises(ConfigError, match=message):
        load_detector(card_with(tmp_path, good, **changes))


@pytest.mark.parametrize(
    "file", ["../../etc/passwd", "/etc/passwd", "..\\..\\boot.ini", "C:\\boot.ini", "a/../../b", ""]
)
def test_a_card_names_files_in_its_folder_only(tmp_path, good, file):
    weights = {"net": {"file": file, "sha256": "0" * 64}}
    with pytest.raises(ConfigError, match="card's folder"):
        load_detector(card_with(tmp_path, good, weights=weights))


def test_cards_that_are_not_cards(tmp_path):
    path = tmp_path / "dots.yaml"
    for text in ("- 1\n", "{", "backend: heatmap\n", "!!python/object/apply:os.system ['true']\n"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"dots\.yaml"):
            load_detector(path)


def test_unknown_backend_runtime_provider(tmp_path, good):
    path = card_with(tmp_path, good, backend="torchvision")
    with pytest.raises(InputError, match=r"no backend 'torchvision'(?s:.*)heatmap"):
        load_detector(path)
    path = write(tmp_path, good)
    with pytest.raises(InputError, match=r"unknown runtime 'trt'(?s:.*)cv2, ort"):
        load_detector(path, runtime="trt")
    with pytest.raises(InputError, match=r"no provider 'npu' on this machine(?s:.*)cpu"):
        load_detector(path, runtime="ort", provider="npu")
    with pytest.raises(InputError, match=r"no option flipp(?s:.*)flip"):
        load_detector(path, flipp=True)


def test_two_cards_of_one_name(tmp_path, good, monkeypatch):
    path = write(tmp_path / "models", good, name="mediapipe-lite")
    path.rename(path.with_name("mediapipe-lite.yaml"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="a shipped model has the name 'mediapipe-lite' too"):
        load_detector("mediapipe-lite")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_file(tmp_path, good):
    path = write(tmp_path, good)
    (tmp_path / "dots.onnx").unlink()
    os.mkfifo(tmp_path / "dots.onnx")
    with pytest.raises(MultiviewError, match="is no file"):
        load_detector(path)


# --- drafts ---


def test_bare_networks_without_keypoints(tmp_path):
    path = tmp_path / "bare.onnx"
    model = net()
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 63])
    )
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"maps \(free, 63\): neither one output of maps"):
        draft_card(path)
    path.write_bytes(change_input(net(), ("N", 1, 96, 96)).SerializeToString())
    with pytest.raises(ModelError, match="not one colour image"):
        draft_card(path)


@pytest.mark.parametrize(
    ("options", "background", "count"),
    [({}, None, 21), ({"background": 21}, 21, 21), ({"count": 7}, None, 7)],
)
def test_drafts_of_maps(tmp_path, options, background, count):
    path = tmp_path / "bare.onnx"
    path.write_bytes(net(size_hw=(96, 128), **options).SerializeToString())
    card = draft_card(path)
    assert card.decoding.background == background
    assert len(card.keypoints) == count
    assert card.input.size_hw == (96, 128)
    assert card.decoding.output == ("maps",)
    findings = {f.what: f.result for f in check_model(card, PICTURE)}
    assert {"net: file", "net: runtimes", "cv2: a picture", "ort: a picture"} <= set(findings)


def test_drafts_of_simcc(tmp_path):
    """The axes are told by their numbers of bins, not by their order."""
    model = net(size_hw=(96, 128), simcc=True)
    model.graph.output.reverse()
    path = tmp_path / "bare.onnx"
    path.write_bytes(model.SerializeToString())
    card = draft_card(path)
    assert card.decoding.output == ("x", "y")
    assert card.decoding.simcc_split == 0.5
    list(check_model(card, PICTURE))


def test_check_finds_runtimes_that_disagree(tmp_path, good, monkeypatch):
    import multiview.models.check as check

    opened = check.open_network

    def wrong(card, part, *, runtime, **options):
        network = opened(card, part, runtime=runtime, **options)
        factor = 1.01 if runtime == "ort" else 1.0
        return lambda batch: {n: v * factor for n, v in network(batch).items()}

    monkeypatch.setattr(check, "open_network", wrong)
    picture = np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)
    with pytest.raises(ModelError, match=r"'maps' differs by .* between cv2 and ort"):
        list(check_model(load_card(write(tmp_path, good)), picture))
