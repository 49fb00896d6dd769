"""The torch side of a network is the network: against OpenCV and onnxruntime, layer by layer."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from multiview.errors import ModelError
from multiview.models.card import load_card
from multiview.train.config import TrainConfig
from multiview.train.design import build_design

torch = pytest.importorskip("torch", reason="torch is not installed: make test-train")

from multiview.train import export  # noqa: E402
from multiview.train.export import check_export  # noqa: E402
from multiview.train.graph_net import GraphNet, fill_model  # noqa: E402

# float32 sums in another order.
ROUNDING = 1e-5
SMALL = {"size_px": 64, "width": 0.1, "stages": 2, "blocks": (1, 1, 1, 1)}
DESIGNS = {
    "full": {},
    "lite": {"mediapipe": {"network": "mediapipe-lite"}},
    "maps": {"mediapipe": {"head": "maps", "network": "mediapipe-lite"}},
    "light": {"arch": "light", "light": {"size_px": 64}},
    "palm": {"arch": "palm"},
    "cpm": {"arch": "cpm", "cpm": SMALL},
    "cpm-ce": {"arch": "cpm", "cpm": {**SMALL, "loss": "cross_entropy", "batch_norm": False}},
}


def design_of(name):
    return build_design(TrainConfig.model_validate(DESIGNS[name]))


@pytest.mark.parametrize("name", DESIGNS)
def test_torch_opencv_and_onnxruntime_agree(name):
    design = design_of(name)
    rng = np.random.default_rng(1)
    images = rng.uniform(-1, 1, (2, 3, design.size_px, design.size_px)).astype(np.float32)
    model = design.model.SerializeToString()
    worst = check_export(model, design, images)
    assert set(worst) == {"cv2", "onnxruntime"}
    assert max(worst.values()) < ROUNDING


def test_a_network_that_torch_runs_otherwise_is_refused(monkeypatch):
    from multiview.train import graph_net

    design = design_of("cpm")
    images = np.full((1, 3, 64, 64), 0.5, np.float32)
    monkeypatch.setitem(graph_net.OPS, "Relu", lambda net, inputs, given: inputs[0].clamp(-1e-3))
    with pytest.raises(ModelError, match="differs by"):
        check_export(design.model.SerializeToString(), design, images)


def test_an_output_that_is_no_number_is_refused(monkeypatch):
    design = design_of("cpm")
    images = np.full((1, 3, 64, 64), 0.5, np.float32)
    net = GraphNet(design.model).eval()
    with torch.no_grad():
        shapes = {n: v.shape for n, v in net(torch.from_numpy(images), design.outputs).items()}
    broken = {n: np.full(shape, np.nan, np.float32) for n, shape in shapes.items()}
    monkeypatch.setattr(export, "_runtimes", lambda *given: {"broken": lambda image: broken})
    with pytest.raises(ModelError, match="differs by nan"):
        check_export(design.model.SerializeToString(), design, images)


@pytest.mark.parametrize("output", ["presence", "world"])
def test_outputs_that_nearly_cancel_agree_in_the_size_of_what_is_rounded(output):
    """Trained, a presence may be 1e-7 and a world output a hundredth of its terms."""
    design = design_of("lite")
    images = np.random.default_rng(3).uniform(0, 1, (4, 3, 224, 224)).astype(np.float32)
    net = GraphNet(design.model).eval()
    makers = {node.output[0]: node for node in design.model.graph.node}
    sigmoid = makers[output].op_type == "Sigmoid"
    layer = makers[makers[output].input[0]] if sigmoid else makers[output]
    with torch.no_grad():
        value = net(torch.from_numpy(images), (layer.output[0],))[layer.output[0]]
    (bias,) = (t for t in design.model.graph.initializer if t.name == layer.input[2])
    moved = numpy_helper.to_array(bias) - (15.0 if sigmoid else value.mean(0).numpy())
    data = fill_model(design.model, {bias.name: moved}).SerializeToString()
    assert max(check_export(data, design, images).values()) < ROUNDING


def test_a_linear_layer_that_torch_runs_otherwise_is_refused(monkeypatch):
    from multiview.train import graph_net

    real, design = graph_net.OPS["Gemm"], design_of("lite")
    images = np.full((1, 3, 224, 224), 0.5, np.float32)
    monkeypatch.setitem(graph_net.OPS, "Gemm", lambda *given: real(*given) * (1 + 1e-3))
    with pytest.raises(ModelError, match="differs by"):
        check_export(design.model.SerializeToString(), design, images)


def test_mediapipe_starts_as_the_shipped_network():
    """On a picture-like input within 1e-4 of a crop pixel, which is what the card promises."""
    card = load_card("mediapipe-full")
    image = np.random.default_rng(2).uniform(0, 1, (1, 3, 224, 224)).astype(np.float32)
    session = onnxruntime.InferenceSession(card.read("hand"))
    names = ("landmarks", "presence", "handedness", "world")
    wanted = session.run(names, {"image": image})
    net = GraphNet(design_of("full").model).eval()
    with torch.no_grad():
        found = net(torch.from_numpy(image), names)
    for name, value in zip(names, wanted, strict=True):
        assert np.abs(found[name].numpy() - value).max() < 1e-4


def test_weights_return_to_the_file_unchanged():
    model = design_of("light").model
    tensors = {n: t.numpy() for n, t in GraphNet(model).named_tensors().items()}
    assert fill_model(model, tensors).SerializeToString() == model.SerializeToString()
    changed = {n: v + 1 for n, v in tensors.items()}
    again = GraphNet(fill_model(model, changed)).named_tensors()
    assert all(np.array_equal(again[n].numpy(), changed[n]) for n in changed)


def test_running_means_move_in_training_only():
    net = GraphNet(design_of("cpm").model)
    before, image = net.statistics(), torch.rand(4, 3, 64, 64)
    assert before
    net.eval()(image, ("stage2",))
    assert all(torch.equal(before[n], t) for n, t in net.statistics().items())
    net.train()(image, ("stage2",))
    assert not any(torch.equal(before[n], t) for n, t in net.statistics().items())
    net.assign(before)
    assert all(torch.equal(before[n], t) for n, t in net.statistics().items())


def test_every_weight_gets_a_gradient():
    for name in ("light", "cpm"):
        design = design_of(name)
        net = GraphNet(design.model).train()
        found = net(torch.rand(2, 3, design.size_px, design.size_px), design.learnt)
        sum(v.square().mean() for v in found.values()).backward()
        missing = [n for n, p in net.named_parameters() if p.grad is None]
        assert not missing


def one_layer(op, inputs, stored, **given):
    node = helper.make_node(op, inputs, ["y"], **given)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "g",
        [info("x", TensorProto.FLOAT, [2, 4, 6, 6])],
        [info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, n) for n, a in stored.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


LAYERS = {
    "strided": ("Conv", {"w": floats(8, 4, 3, 3), "b": floats(8)}, {"strides": [2, 2]}),
    "same": ("Conv", {"w": floats(8, 4, 5, 5)}, {"pads": [1, 1, 2, 2], "strides": [2, 2]}),
    "separable": ("Conv", {"w": floats(4, 1, 3, 3)}, {"pads": [1, 1, 1, 1], "group": 4}),
    "prelu": ("PRelu", {"w": floats(4, 1, 1)}, {}),
    "clip": ("Clip", {"l": np.float32(0).reshape(()), "h": np.float32(0.5).reshape(())}, {}),
    "hard": ("HardSigmoid", {}, {"alpha": 0.3, "beta": 0.4}),
    "pool": ("MaxPool", {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "norm": (
        "BatchNormalization",
        {"a": floats(4), "b": floats(4), "c": floats(4), "d": np.abs(floats(4)) + 0.1},
        {"epsilon": 1e-3},
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_those_of_onnx(name):
    op, stored, given = LAYERS[name]
    model, x = one_layer(op, ["x", *stored], stored, **given), floats(2, 4, 6, 6)
    (wanted,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    with torch.no_grad():
        found = GraphNet(model).eval()(torch.from_numpy(x), ("y",))["y"].numpy()
    assert np.abs(found - wanted).max() < ROUNDING * np.abs(wanted).max()


def test_an_unknown_layer_is_named():
    with pytest.raises(ModelError, match="Erf"):
        GraphNet(one_layer("Erf", ["x"], {}))


def test_the_designs_are_what_they_promise():
    light = build_design(TrainConfig(arch="light"))
    count = sum(p.numel() for p in GraphNet(light.model).parameters())
    assert 1.7e6 < count < 2.3e6
    paper = build_design(TrainConfig(arch="cpm"))
    onnx.checker.check_model(paper.model)
    assert (paper.size_px, len(paper.learnt), paper.background) == (368, 6, True)
    shapes = {t.name: tuple(t.dims) for t in paper.model.graph.initializer}
    assert shapes["stage6.weight"] == (22, 128, 1, 1)
    assert shapes["stage2_1.weight"] == (128, 150, 7, 7)
    assert shapes["conv4_4.weight"] == (512, 512, 3, 3)
