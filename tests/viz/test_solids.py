"""Spheres, tubes and words as triangles: closed, facing out, and nothing of what is missing."""

import numpy as np
import pytest

from multiview.core import HAND_21
from multiview.viz.solids import BONE, JOINT, HandSolid, joined, quads, tubes, words


def volume(solid):
    """Of a closed surface that is seen from outside: positive."""
    a, b, c = solid.xyz[solid.triangles].transpose(1, 0, 2)
    return float(np.einsum("ni,ni->n", a, np.cross(b, c)).sum() / 6)


def area(solid):
    a, b, c = solid.xyz[solid.triangles].transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=-1).sum() / 2)


def a_hand(rng, hands=2):
    return rng.normal(0, 0.05, (hands, 21, 3)), rng.uniform(0, 1, (hands, 21, 3))


def test_joints_are_balls_around_the_keypoints():
    rng = np.random.default_rng(0)
    xyz, colour = a_hand(rng)
    solid = HandSolid(HAND_21, 2, 0.03).at(xyz, colour)
    per = (len(solid.xyz) - 2 * 20 * 20) // 42
    balls = solid.xyz[: 42 * per].reshape(2, 21, per, 3)
    away = np.linalg.norm(balls - xyz[:, :, None], axis=-1)
    np.testing.assert_allclose(away, JOINT * 0.03, rtol=1e-9)
    shades = solid.colour[: 42 * per].reshape(2, 21, per, 3)
    np.testing.assert_array_equal(shades, np.broadcast_to(colour[:, :, None], shades.shape))


def test_bones_reach_from_keypoint_to_keypoint_in_the_colour_of_the_farther():
    rng = np.random.default_rng(1)
    xyz, colour = a_hand(rng)
    solid = HandSolid(HAND_21, 2, 0.03).at(xyz, colour)
    rods = solid.xyz[-2 * 20 * 20 :].reshape(2, 20, 2, 10, 3)
    a, b = np.array(HAND_21.edges).T
    np.testing.assert_allclose(rods[:, :, 1].mean(2), xyz[:, a], atol=1e-12)
    np.testing.assert_allclose(rods[:, :, 0].mean(2), xyz[:, b], atol=1e-12)
    thick = np.linalg.norm(rods[:, :, 0] - xyz[:, b][:, :, None], axis=-1)
    np.testing.assert_allclose(thick, BONE * 0.03, rtol=1e-9)
    shades = solid.colour[-2 * 20 * 20 :].reshape(2, 20, 20, 3)
    np.testing.assert_array_equal(shades, np.broadcast_to(colour[:, b][:, :, None], shades.shape))


def test_surfaces_are_seen_from_outside_and_normals_point_there():
    one = np.zeros((1, 21, 3))
    one[0, :, 0] = np.arange(21)
    solid = HandSolid(HAND_21, 1, 1.0).at(one, one)
    assert volume(solid) > 0
    a, b, c = solid.xyz[solid.triangles].transpose(1, 0, 2)
    facing = np.cross(b - a, c - a)
    told = solid.normal[solid.triangles].mean(1)
    # at the poles of a sphere triangles have no area, and so no side
    sized = np.linalg.norm(facing, axis=-1) > 1e-9
    assert (np.einsum("ni,ni->n", facing, told)[sized] > 0).all()


def test_missing_keypoints_and_their_bones_have_no_size():
    rng = np.random.default_rng(2)
    xyz, colour = a_hand(rng, 1)
    whole = HandSolid(HAND_21, 1, 0.03)
    full = area(whole.at(xyz, colour))
    xyz[0, 8] = np.nan  # the tip of a finger: a ball and a bone
    less = whole.at(xyz, colour)
    assert np.isfinite(less.xyz).all()
    assert area(less) < full * 0.985
    assert less.triangles is whole.triangles
    xyz[:] = np.nan
    gone = whole.at(xyz, colour)
    assert np.isfinite(gone.xyz).all()
    assert area(gone) == 0


def test_a_rod_has_the_length_and_thickness_asked_for():
    rod = tubes(np.array([[1.0, 2, 3]]), np.array([[1.0, 2, 8]]), 0.5, np.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(np.ptp(rod.xyz, axis=0)[2], 5)
    np.testing.assert_allclose(np.linalg.norm(rod.xyz[:, :2] - [1, 2], axis=-1), 0.5)
    two = joined(rod, rod)
    assert area(two) == pytest.approx(2 * area(rod))
    assert len(joined().xyz) == 0


def test_words_are_as_high_as_asked_and_longer_words_wider():
    corners, ink = words("H", 30.0)
    assert np.ptp(corners[..., 1]) == pytest.approx(30, abs=4)
    assert corners[..., 1].max() <= 3  # on the base line
    assert 0.1 < ink.min() <= ink.max() <= 1
    assert np.ptp(words("HHHH", 30.0)[0][..., 0]) > 3 * np.ptp(corners[..., 0])
    assert len(words("", 30.0)[0]) == 0


def test_faces_are_seen_from_where_their_normal_points():
    # x right, y down, seen along +z: the normal is -z
    flat = np.array([[[0.0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]])
    face = quads(flat, np.array([0.0, 0, -1]), np.array([1.0, 0, 0]))
    a, b, c = face.xyz[face.triangles].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] < 0).all()
    assert area(face) == pytest.approx(1)
