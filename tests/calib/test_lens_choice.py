from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from calib_scenes import CHESS, SIZE, Scene, film, ring

from multiview.calib import calibrate_corners
from multiview.core import Intrinsics, Rig
from multiview.errors import InputError

NOISE = 0.3
WIDE_K = np.array([[450.0, 0, 645], [0, 451, 475], [0, 0, 1]])
LENSES = {
    # coefficients that move the corner of the picture by many times the noise beyond k1 and k2
    "rational": ("brown", WIDE_K, [0.9, 0.12, 5e-4, -4e-4, 0.004, 1.15, 0.3, 0.02]),
    "fisheye": ("fisheye", WIDE_K, [0.06, -0.015, 0.006, -0.002]),
    "brown": (
        "brown",
        np.array([[1000.0, 0, 645], [0, 1002, 475], [0, 0, 1]]),
        [-0.1, 0.04, 4e-4, 0],
    ),
}


def filmed(kind: str, seed: int) -> Scene:
    rng = np.random.default_rng(seed)
    rig = ring(rng, 3, arc=np.pi / 2)
    model, K, dist = LENSES[kind]
    lens = Intrinsics(K=K, dist=np.array(dist), size_wh=SIZE, model=model)  # type: ignore[arg-type]
    rig = Rig(cameras=tuple(replace(c, intrinsics=lens) for c in rig.cameras))
    # boards in the corners of the picture, where lenses differ
    return film(rig, CHESS, rng, frames=120, noise=NOISE, spread=4.0 if kind != "brown" else 1.0)


def test_a_simple_lens_keeps_the_simple_model() -> None:
    scene = filmed("brown", 30)
    result = calibrate_corners(scene.corners, scene.board)
    # the gate lets noise through 1 in 10 000 times, cross-validation rarely even then
    assert [e.model for e in result.lenses] == ["brown"] * 3


@pytest.mark.parametrize("kind", ["rational", "fisheye"])
def test_a_lens_that_needs_more_gets_it(kind: str) -> None:
    scene = filmed(kind, 31)
    result = calibrate_corners(scene.corners, scene.board)
    simple = calibrate_corners(scene.corners, scene.board, lens="brown")
    # other models with as many coefficients may describe the same lens as well
    assert all(e.model != "brown" for e in result.lenses)
    assert all(len(e.heldout_px) >= 3 for e in result.lenses)
    # the right model is left with the noise, the simple one with more, and with fewer corners
    assert result.rms_px < NOISE * 2**0.5 < simple.rms_px
    assert result.inlier.sum() > simple.inlier.sum()
    if kind == "fisheye":
        assert all(c.intrinsics.model == "fisheye" for c in result.rig.cameras)


def test_cameras_of_one_kind_share_a_lens() -> None:
    scene = filmed("brown", 32)
    names = scene.rig.names
    result = calibrate_corners(scene.corners, scene.board, shared_lens=[names[:2]])
    one, two, three = (c.intrinsics for c in result.rig.cameras)
    assert np.array_equal(one.K, two.K)
    assert np.array_equal(one.dist, two.dist)
    assert not np.array_equal(one.K, three.K)
    columns = result.covariance.lens
    assert np.array_equal(columns[0], columns[1])
    alone = calibrate_corners(scene.corners, scene.board)
    # two cameras' boards tell one lens better than one's
    assert (result.covariance.lens_std[0, :4] < alone.covariance.lens_std[0, :4]).all()


def test_shared_lenses_of_unknown_cameras_are_refused() -> None:
    scene = filmed("brown", 33)
    with pytest.raises(InputError, match="there is no camera nobody"):
        calibrate_corners(scene.corners, scene.board, shared_lens=[["cam0", "nobody"]])
