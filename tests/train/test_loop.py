import itertools

import numpy as np
import pytest
from drawn import drawn_hands, tiny

from multiview.errors import ModelError
from multiview.train.crops import cut_hands
from multiview.train.design import build_design

torch = pytest.importorskip("torch", reason="torch is not installed: make test-train")

from multiview.train.checkpoint import pack, start_tensors, unpack  # noqa: E402
from multiview.train.loop import Trainer, pick_device  # noqa: E402
from multiview.train.schedule import learning_rate  # noqa: E402


@pytest.fixture(scope="module")
def data():
    hands, pictures = drawn_hands(48)
    design = build_design(tiny())
    rows = np.arange(48)
    return [cut_hands(hands.take(r), pictures.__getitem__, design) for r in (rows[:36], rows[36:])]


def trainer(data, key="key", **given):
    config = tiny(**given)
    return Trainer(build_design(config), config, *data, key)


def quiet(step, steps, loss, score):
    pass


def ignore(state):
    pass


def test_it_learns(data):
    seen = []
    new = trainer(data, steps=120, validate_every=60, lr=5e-3)
    result = new.run(ignore, lambda step, steps, loss, score: seen.append((loss, score)))
    losses = [loss for loss, _ in seen]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])
    assert result.score.pck_20 > 0.6
    assert [e["step"] for e in result.history] == [60, 120]


def same(a, b):
    return all(np.array_equal(a[n], b[n]) for n in a) and a.keys() == b.keys()


@pytest.mark.parametrize("stop", [1, 10, 13])
def test_a_training_taken_up_again_ends_as_the_uninterrupted_one(data, stop):
    """To the bit: weights, running means, optimiser, order and changes of the crops."""
    whole = trainer(data).run(ignore, quiet)

    class Stop(Exception):
        pass

    def report(step, steps, loss, score):
        if step == stop:
            raise Stop

    first = trainer(data)
    with pytest.raises(Stop):
        first.run(ignore, report)
    second = trainer(data)
    assert second.restore(first.state(), "checkpoint") == stop
    rest = second.run(ignore, quiet)
    assert same(rest.tensors, whole.tensors)
    assert rest.history == whole.history
    other = trainer(data, seed=1).run(ignore, quiet)
    assert not same(other.tensors, whole.tensors)


def test_a_checkpoint_of_another_training_is_refused(data):
    state = trainer(data).state()
    with pytest.raises(ModelError, match="other data or another configuration"):
        trainer(data, key="another").restore(state, "checkpoint.pt")
    for damaged in (state[:1000], b"", b"not a checkpoint", pack({})[:-5]):
        with pytest.raises(ModelError, match="is no checkpoint"):
            trainer(data).restore(damaged, "checkpoint.pt")


def test_a_checkpoint_runs_no_code():
    import io
    import pickle

    class Evil:
        def __reduce__(self):
            return print, ("executed",)

    stream = io.BytesIO()
    torch.save({"version": 1, "evil": Evil()}, stream)
    for data in (stream.getvalue(), pickle.dumps({"version": 1, "evil": Evil()})):
        with pytest.raises(ModelError, match="is no checkpoint"):
            unpack(data, "checkpoint.pt")


def test_a_loss_that_is_no_number_keeps_the_last_good_state(data, monkeypatch):
    saved = []
    new = trainer(data)
    real = Trainer._loss

    def broken(self, batch):
        loss = real(self, batch)
        return loss * float("nan") if self._step == 7 else loss

    monkeypatch.setattr(Trainer, "_loss", broken)
    with pytest.raises(ModelError, match="no number any more at step 8"):
        new.run(saved.append, quiet)
    state = unpack(saved[-1], "checkpoint")
    assert state["step"] == 7
    monkeypatch.undo()
    again = trainer(data)
    again.restore(saved[-1], "checkpoint")
    assert same(again.run(ignore, quiet).tensors, trainer(data).run(ignore, quiet).tensors)


def test_it_stops_when_validation_no_longer_rises(data):
    still = {"steps": 200, "validate_every": 2, "patience": 3, "lr": 1e-12}
    result = trainer(data, **still).run(ignore, quiet)
    assert (result.step, result.steps) == (2, 8)


def test_the_best_weights_are_kept_not_the_last(data, monkeypatch):
    from multiview.train import task
    from multiview.train.validate import Score

    marks = iter([0.1, 0.9, 0.5, 0.2])
    monkeypatch.setattr(
        task, "validate", lambda *args: Score(pck_10=next(marks), pck_20=1.0, error=0.1)
    )
    states = {}
    new = trainer(data, steps=20, validate_every=5)

    def report(step, steps, loss, score):
        if step == 10:
            states["best"] = {n: t.numpy().copy() for n, t in new._mean.items()}

    result = new.run(ignore, report)
    assert (result.step, result.score.pck_10) == (10, 0.9)
    assert same(result.tensors, states["best"])


def test_pretrained_weights_move_less(data):
    from dataclasses import replace

    config = tiny(steps=1, pretrained_rate=0.1, warmup=0, weight_decay=0)
    plain = build_design(config)
    marked = replace(plain, trained=frozenset({"conv1_1.weight"}))
    moved = {}
    for name, design in (("plain", plain), ("marked", marked)):
        new = Trainer(design, config, *data, "key")
        before = {n: t.clone() for n, t in new._net.named_tensors().items()}
        new.run(ignore, quiet)
        after = new._net.named_tensors()
        moved[name] = {n: float((after[n] - before[n]).abs().max()) for n in before}
    of = {n: moved["marked"][n] / moved["plain"][n] for n in ("conv1_1.weight", "stage2.weight")}
    assert of["conv1_1.weight"] == pytest.approx(0.1, rel=0.01)
    assert of["stage2.weight"] == pytest.approx(1.0, rel=0.01)


def test_the_rate_rises_and_falls():
    rates = [learning_rate(step, 100, 1.0, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[-1] < 0.01
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))


def test_weights_of_another_network_are_refused():
    ones = {"a": np.ones((3, 2)), "b": np.ones(4)}
    assert set(start_tensors(ones, {"a": (3, 2)}, "x.yaml")) == {"a"}
    with pytest.raises(ModelError, match="another architecture: it has no tensor 'c'"):
        start_tensors(ones, {"a": (3, 2), "c": (1,)}, "x.yaml")
    with pytest.raises(ModelError, match=r"shape \(3, 2\), this network wants \(3, 4\)"):
        start_tensors(ones, {"a": (3, 4)}, "x.yaml")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_cuda_is_refused():
    assert pick_device("auto").type == "cpu"
    with pytest.raises(ModelError, match="no CUDA device"):
        pick_device("cuda")
