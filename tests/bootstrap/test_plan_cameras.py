"""Where another camera helps: the greedy search against brute force, and plain cases."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from multiview.bootstrap.plan_cameras import (
    TWIN_ANGLE,
    Survey,
    best_move,
    candidate_cameras,
    grow_rig,
    twin_views,
)
from multiview.bootstrap.plan_volume import Box, error_map
from multiview.bootstrap.planner import Detector
from multiview.core import Camera, Rig
from multiview.synth import look_at, make_rig

DETECTOR = Detector(rate=0.8, sigma_px=4, crop_px=100)
BOX = Box(low=np.full(3, -0.1), high=np.full(3, 0.1))


def camera(name, place, like):
    pose = look_at(np.array(place, float), np.zeros(3))
    return Camera(name=name, intrinsics=like.cameras[0].intrinsics, cam_from_world=pose)


@pytest.fixture(scope="module")
def dome():
    return make_rig(np.random.default_rng(8), 6)


@pytest.fixture(scope="module")
def row(dome):
    """Three cameras beside one another: depth (y) is hardly told."""
    places = ((-0.3, -1.2, 0.1), (0, -1.2, 0), (0.3, -1.2, 0.1))
    return Rig(cameras=tuple(camera(f"c{n}", p, dome) for n, p in enumerate(places)))


def test_scores_are_those_of_the_map(dome):
    score = Survey(dome, BOX, DETECTOR).score(Survey(dome, BOX, DETECTOR).sums)
    m = error_map(dome, BOX, DETECTOR, positions=216)
    assert score.found == pytest.approx(m.found.mean(), rel=1e-9)
    assert score.median == pytest.approx(m.quantile(0.5), rel=1e-9)
    assert score.p95 == pytest.approx(m.quantile(0.95), rel=1e-9)


def test_first_camera_is_the_best_of_all(row):
    candidates = candidate_cameras(row, BOX)[::9]
    start, steps = grow_rig(Survey(row, BOX, DETECTOR, extra=1), candidates, 1, "median")
    maps = [
        error_map(Rig(cameras=(*row.cameras, c)), BOX, DETECTOR, positions=216) for c in candidates
    ]
    key = min((m.quantile(0.5), -m.found.mean()) for m in maps)
    assert steps[0].score.median == pytest.approx(key[0], rel=1e-9)
    assert steps[0].score.found == pytest.approx(-key[1], rel=1e-9)
    assert steps[0].score.better(start, "median")


def test_a_row_of_cameras_is_told_to_look_from_the_side(row):
    candidates = candidate_cameras(row, BOX, below=True)
    _, steps = grow_rig(Survey(row, BOX, DETECTOR, extra=1), candidates, 1, "median")
    direction = steps[0].camera.centre_world / np.linalg.norm(steps[0].camera.centre_world)
    assert abs(direction @ [0, 1, 0]) < 0.5  # more than 60 degrees from the row's own view


def test_every_further_camera_helps_and_stands_apart(dome):
    survey = Survey(dome, BOX, DETECTOR, extra=3)
    candidates = candidate_cameras(dome, BOX)[::3]
    start, steps = grow_rig(survey, candidates, 3)
    scores = [start, *(s.score for s in steps)]
    assert len(steps) == 3
    assert all(b.better(a, "p95") for a, b in itertools.pairwise(scores))
    places = np.stack([c.centre_world for c in (*dome.cameras, *(s.camera for s in steps))])
    rays = places / np.linalg.norm(places, axis=1, keepdims=True)
    angles = np.arccos(np.clip(rays[6:] @ rays.T, -1, 1)) + 9 * np.eye(9)[6:]
    assert angles.min() > TWIN_ANGLE
    again = grow_rig(survey, candidates, 3)[1]
    np.testing.assert_array_equal(again[2].camera.centre_world, steps[2].camera.centre_world)


def test_no_two_cameras_in_one_place(dome):
    """They would help if misses were independent, but what hides a hand hides it from both."""
    place = candidate_cameras(dome, BOX)[40]
    steps = grow_rig(Survey(dome, BOX, DETECTOR, extra=2), (place, place), 2)[1]
    assert len(steps) == 1


def test_candidates_stay_out_of_the_volume_and_off_the_floor(dome):
    wide = Box(low=np.full(3, -1.0), high=np.full(3, 1.0))
    for c in candidate_cameras(dome, wide):
        assert (np.abs(c.centre_world) >= 1.0).any()
        np.testing.assert_allclose(c.cam_from_world.apply(wide.centre)[:2], 0, atol=1e-12)
    up = -dome.cam_from_world[0][:, 1].mean(0)
    lowest = (dome.centres_world @ up).min()
    heights = [c.centre_world @ up for c in candidate_cameras(dome, BOX)]
    assert min(heights) > lowest - 1e-6
    free = [c.centre_world @ up for c in candidate_cameras(dome, BOX, below=True)]
    assert min(free) < lowest - 0.1


def test_twins_are_found_and_one_of_them_moves(dome):
    near = dome.cameras[2].centre_world + 0.03 * np.array([1, 0, 0])
    rig = Rig(cameras=(*dome.cameras, camera("twin", near, dome)))
    pairs = twin_views(rig, BOX)
    assert {pairs[0].first, pairs[0].second} == {"cam02", "twin"}
    assert pairs[0].angle < np.radians(3)
    assert twin_views(dome, BOX) == ()
    move = best_move(Survey(rig, BOX, DETECTOR), candidate_cameras(rig, BOX)[::4])
    assert move.name in {"cam02", "twin"}
    start = Survey(rig, BOX, DETECTOR)
    assert move.score.better(start.score(start.sums), "p95")
    moved = [replace(c) if c.name != move.name else move.camera for c in rig.cameras]
    m = error_map(Rig(cameras=tuple(moved)), BOX, DETECTOR, positions=216)
    assert m.quantile(0.95) == pytest.approx(move.score.p95, rel=1e-9)
