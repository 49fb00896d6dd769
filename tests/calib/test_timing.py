"""Offsets between cameras from what moves, with a rig and without one."""

import numpy as np
import pytest
from health_scenes import film, hands, small_rig

from multiview.calib.timing import estimate_offsets, estimate_offsets_unposed, worst_offset
from multiview.calib.timing_tracks import Tracks
from multiview.errors import ShapeError

SEED = 3
TRUE = {0: 2.0, 2: -0.5}


@pytest.fixture(scope="module")
def rig():
    return small_rig(SEED)


@pytest.fixture(scope="module")
def take(rig):
    return film(rig, SEED, frames=120, offset=TRUE)


def relative(offsets):
    """Offsets in frames against the camera that keeps its clock."""
    return (offsets.offset_s - offsets.offset_s[1]) / offsets.interval_s


def test_offsets_with_a_rig_are_found_to_a_fiftieth_of_a_frame(rig, take):
    found = estimate_offsets(take[0].xy_px, take[1], rig)
    assert found.known.all()
    np.testing.assert_allclose(relative(found), [2, 0, -0.5, 0], atol=0.02)
    name, offset, _ = worst_offset(found, rig.names)
    assert name in {"cam00", "cam02"}
    assert abs(offset) > 0


def test_offsets_without_a_rig(rig, take):
    lenses = [c.intrinsics for c in rig.cameras]
    found = estimate_offsets_unposed(take[0].xy_px, take[1], lenses)
    assert found.known.sum() >= 3
    # whatever it claims to know is so, to a fifth of a frame
    truth = np.array([2, 0, -0.5, 0])
    truth = truth - truth[found.reference]
    off = found.offset_s / found.interval_s
    np.testing.assert_allclose(off[found.known], truth[found.known], atol=0.2)


def test_offsets_from_hands(rig):
    dets = hands(rig, SEED, offset={1: 2})
    # only the right hand, told by the detector's own opinion
    pick = np.nan_to_num(dets.right, nan=-1).argmax(2)
    xy = np.take_along_axis(dets.xy_px, pick[:, :, None, None, None], axis=2)[:, :, 0]
    found = estimate_offsets(xy, dets.times, rig, sharp=False)
    off = (found.offset_s - found.offset_s[0]) / found.interval_s
    np.testing.assert_allclose(off, [0, 2, 0, 0], atol=0.15)


def test_still_things_tell_no_time(rig):
    corners, times = film(rig, SEED, still=True)
    found = estimate_offsets(corners.xy_px, times, rig)
    assert found.known.sum() <= 1
    assert worst_offset(found, rig.names) is None


def test_cameras_in_step_give_no_warning(rig):
    corners, times = film(rig, SEED)
    assert worst_offset(estimate_offsets(corners.xy_px, times, rig), rig.names) is None


def test_a_reading_between_samples_follows_a_curve():
    times = np.arange(9.0)[None] / 10
    path = np.stack([3 * times[0] ** 2, 40 * times[0]], -1)
    tracks = Tracks(xy_px=path[None, :, None], times=times)
    xy, velocity = tracks.read(0, np.full(9, 0.03))
    late = times[0] - 0.03
    np.testing.assert_allclose(xy[2:-1, 0, 0], 3 * late[2:-1] ** 2, atol=1e-9)
    np.testing.assert_allclose(velocity[2:-1, 0, 0], 6 * late[2:-1], atol=1e-9)


def test_poses_filmed_one_by_one_are_not_smooth(rig):
    corners, times = film(rig, SEED)
    order = np.random.default_rng(0).permutation(corners.xy_px.shape[1])
    noise = np.full(4, 0.3)
    assert Tracks(xy_px=corners.xy_px, times=times).smooth(noise)
    assert not Tracks(xy_px=corners.xy_px[:, order], times=times).smooth(noise)


def test_stamps_that_do_not_rise_are_an_error(rig):
    with pytest.raises(ShapeError, match="do not rise"):
        Tracks(xy_px=np.zeros((1, 4, 2, 2)), times=np.zeros((1, 4)))
    with pytest.raises(ShapeError, match="pixels"):
        estimate_offsets(np.zeros((4, 5, 3)), np.zeros((4, 5)), rig)
