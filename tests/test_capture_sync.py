"""Matching of frame times: every case is made of plain arrays, so that truth is known."""

import numpy as np
import pytest

from multiview._sync import default_tolerance, match_by_index, match_by_time, report, set_times
from multiview.errors import CaptureError

NAMES = ("left", "middle", "right", "top")
T30 = 1 / 30


def match(times, tolerance_s=None):
    times = [np.asarray(t, float) for t in times]
    tolerance = default_tolerance(times) if tolerance_s is None else tolerance_s
    index = match_by_time(NAMES[: len(times)], times, tolerance)
    for t, row in zip(times, index, strict=True):
        used = row[row >= 0]
        assert (np.diff(used) > 0).all(), "in order, each frame at most once"
        assert used.size == 0 or used[-1] < t.size
    return index


def test_equal_clocks_give_frame_numbers():
    t = np.arange(50) * T30
    np.testing.assert_array_equal(match([t, t, t]), np.tile(np.arange(50), (3, 1)))


def test_single_camera_keeps_every_frame():
    np.testing.assert_array_equal(match([np.arange(7) * T30]), [np.arange(7)])


def test_dropped_frames_leave_holes_where_they_were():
    true = np.arange(40)
    kept = [np.delete(true, [5, 6, 20]), np.delete(true, [0, 39]), true]
    index = match([k * T30 for k in kept])
    assert index.shape == (3, 40)
    for k, row in zip(kept, index, strict=True):
        np.testing.assert_array_equal(np.flatnonzero(row >= 0), k)
        np.testing.assert_array_equal(row[row >= 0], np.arange(k.size))


def test_gap_of_the_densest_camera_is_filled_from_the_others():
    # The longest camera leads the timeline; what it missed still makes sets of the other two.
    true = np.arange(60)
    lead, others = np.delete(true, [30, 31]), np.arange(20, 45)
    index = match([lead * T30, others * T30, others * T30])
    assert index.shape[1] == others.size
    np.testing.assert_array_equal(np.flatnonzero(index[0] < 0), [10, 11])
    assert (index[1:] >= 0).all()


@pytest.mark.parametrize("tolerance_s", [None, 1.2 * T30])
def test_gap_is_filled_for_clocks_half_an_interval_apart(tolerance_s):
    true = np.arange(60)
    lead, others = np.delete(true, [30]), true[:-2]
    index = match([lead * T30, (others + 0.5) * T30, (others + 0.5) * T30], tolerance_s)
    assert (index[1:] >= 0).all()
    np.testing.assert_array_equal(index[1], index[2])
    assert (index[0] < 0).sum() == 1


def test_sets_of_one_camera_are_left_out():
    t = np.arange(30) * T30
    index = match([t, t[10:20]])
    np.testing.assert_array_equal(index, [np.arange(10, 20), np.arange(10)])


def test_late_start_is_matched_by_time():
    t = np.arange(30) * T30
    index = match([t, t[:20] + 10 * T30 + 0.002])
    np.testing.assert_array_equal(index[0] - index[1], 10)


@pytest.mark.parametrize("phase", [-0.5, -0.3, 0.0, 0.2, 0.49, 0.5])
def test_constant_phase_with_jitter_pairs_nearly_all_frames(phase):
    rng = np.random.default_rng(1)
    a, b = (np.arange(300) + s + rng.normal(0, 0.01, 300) for s in (0.0, phase))
    index = match([a * T30, b * T30])
    assert index.shape[1] >= 299
    assert np.ptp(index[0] - index[1]) == 0


def test_slightly_different_rates_stay_within_tolerance():
    a, b = np.arange(3000) * T30, np.arange(2990) / 29.97
    index = match([a, b])
    both = set_times([a, b], index)
    assert np.abs(both[0] - both[1]).max() <= default_tolerance([a, b])
    assert (index >= 0).all()
    assert index.shape[1] >= 2980


def test_half_rate_camera_joins_every_second_set():
    fast, slow = np.arange(120) / 60, np.arange(60) / 30 + 0.003
    index = match([slow, fast, fast])
    assert index.shape[1] == 120
    np.testing.assert_array_equal(np.flatnonzero(index[0] >= 0), np.arange(0, 120, 2))


def test_variable_rate_cameras_of_one_clock():
    rng = np.random.default_rng(0)
    t = np.cumsum(rng.uniform(0.02, 0.06, 200))
    keep = rng.random((2, 200)) > 0.1
    index = match([t[keep[0]], t[keep[1]]], 1e-6)
    assert index.shape[1] == (keep[0] & keep[1]).sum()


def test_result_does_not_depend_on_the_order_of_cameras():
    rng = np.random.default_rng(3)
    times = [np.sort(rng.choice(200, 180, replace=False)) * T30 + s for s in (0, 0.004, 0.009)]
    forward, back = match(times), match(times[::-1])[::-1]
    np.testing.assert_array_equal(forward, back)


def test_tolerance_is_kept():
    t = np.arange(30) * T30
    index = match([t, t, t + 0.010], 0.012)
    assert (index >= 0).all()
    with pytest.raises(CaptureError, match=r"right has no frame within 5\.00 ms"):
        match([t, t, t + 0.010], 0.005)


def test_cameras_apart_from_the_leading_one_still_pair_up():
    t = np.arange(60) * T30
    index = match([t, t[5:50] + 0.010, t[5:50] + 0.010, t], 0.005)
    assert index.shape[1] == 60 + 45
    assert ((index >= 0).sum(0) == 2).all()


def test_surplus_frames_within_an_interval_make_no_sets_of_their_own():
    t = np.arange(70) * T30
    glitch = np.sort(np.concatenate([t[:60], t[20:23] + 0.012]))
    index = match([t, glitch, glitch])
    assert index.shape[1] == 60
    assert (index >= 0).all()


def test_clocks_that_do_not_overlap_are_named():
    with pytest.raises(CaptureError, match=r"left 0\.000 to 1\.000 s, middle 50\.000") as error:
        match([[0, 0.5, 1], [50, 50.5, 51]])
    assert "offset_s" in error.value.next_step
    assert "sync: index" in error.value.next_step


def test_index_mode_keeps_sets_of_two_cameras():
    index = match_by_index([5, 3, 7])
    np.testing.assert_array_equal(index, [[0, 1, 2, 3, 4], [0, 1, 2, -1, -1], [0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(match_by_index([4]), [[0, 1, 2, 3]])


def test_report_counts():
    times = [np.arange(10) * T30, np.arange(4, 12) * T30 + 0.001]
    result = report("time", 0.01, NAMES[:2], times, match(times))
    left, middle = result.cameras
    assert (result.n_sets, result.n_complete) == (6, 6)
    assert (left.frames, left.matched, left.dropped, left.missing) == (10, 6, 4, 0)
    assert (middle.frames, middle.matched, middle.dropped) == (8, 6, 2)
    assert middle.start_s == pytest.approx(4 * T30 + 0.001)
    assert left.interval_s == pytest.approx(T30)
    assert result.max_spread_s == pytest.approx(0.001)
    assert "6 frame sets" in result.summary()
    assert "left: 10 frames, 6 matched, 4 dropped" in result.summary()


def test_report_tells_different_counts_in_index_mode():
    times = [np.full(5, np.nan), np.full(3, np.nan)]
    result = report("index", np.nan, NAMES[:2], times, match_by_index([5, 3]))
    assert "frame counts differ ([5, 3])" in result.summary()
    assert np.isnan(result.tolerance_s)
    assert np.isnan(result.max_spread_s)
    assert "nan" not in result.summary()
