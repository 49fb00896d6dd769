"""A round of several takes: one without labels does not end it."""

from pathlib import Path

import pytest

from multiview.errors import NoLabelError
from multiview.stages import bootstrap
from multiview.stages.loop_config import Footage, LoopConfig


@pytest.fixture
def loop(tmp_path, monkeypatch):
    takes = tuple(Footage(capture=Path(name), rig=Path("rig.yaml")) for name in ("dark", "kitchen"))
    config = LoopConfig(takes=takes, held_out=Path("held"), detector="hand")
    empty = {"dark"}

    def label(self, take, folder, number):
        if take.name in empty:
            raise NoLabelError("no label passes: of 84 3D keypoints, velocity 84", "look")
        return folder / "labels"

    monkeypatch.setattr(bootstrap._Loop, "_label", label)
    return bootstrap._Loop(config, tmp_path, False, False), empty


def test_a_take_without_labels_is_named_and_left_out(loop, tmp_path, capsys):
    run, _ = loop
    assert run._labels(tmp_path, 2) == [tmp_path / "kitchen" / "labels"]
    said = capsys.readouterr()
    assert "left out of this round: take dark, round 2: no label passes" in said.out + said.err


def test_a_round_without_any_label_ends_with_the_reason(loop, tmp_path):
    run, empty = loop
    empty.add("kitchen")
    with pytest.raises(NoLabelError, match="take kitchen, round 2: no label passes"):
        run._labels(tmp_path, 2)
