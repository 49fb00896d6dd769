"""Spoiled rigs and footage are named for what they are; true ones raise no alarm."""

import json
from dataclasses import replace

import numpy as np
import pytest
from health_scenes import (
    BOARD,
    blurred,
    copied,
    exchanged,
    film,
    mirrored,
    nudged,
    quarter_turned,
    resized,
    scaled,
    small_rig,
)

from multiview.calib.health import check_corners
from multiview.calib.health_result import health_data, health_markdown
from multiview.errors import InputError

SEED = 3
# Four spreads: once in 16 000 for a normal error.
SURE = 4.0


@pytest.fixture(scope="module")
def rig():
    return small_rig(SEED)


@pytest.fixture(scope="module")
def take(rig):
    return film(rig, SEED)


def one(report):
    assert len(report.findings) == 1, [(f.kind, f.cameras) for f in report.findings]
    return report.findings[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_true_rig_raises_no_alarm(seed):
    rig = small_rig(seed)
    corners, times = film(rig, seed)
    report = check_corners(corners, BOARD, rig, times=times)
    assert report.healthy, report.findings
    assert "The rig is as it was" in health_markdown(report)


def test_a_moved_camera_is_named_with_its_way(rig, take):
    found = one(check_corners(take[0], BOARD, nudged(rig, 1, mm=5), times=take[1]))
    assert (found.kind, found.cameras, found.unit) == ("moved", ("cam01",), "mm")
    assert abs(found.value - 5) < SURE * found.std < 2.5


def test_a_turned_camera_is_named_with_its_angle(rig, take):
    report = check_corners(take[0], BOARD, nudged(rig, 2, deg=0.2), times=take[1])
    found = one(report)
    assert (found.kind, found.cameras) == ("turned", ("cam02",))
    assert abs(found.value - 0.2) < SURE * found.std < 0.1
    # and the corrected rig is healthy
    assert report.corrected is not None
    assert check_corners(take[0], BOARD, report.corrected, times=take[1]).healthy


def test_a_camera_that_moved_far_is_found_too(rig, take):
    found = one(check_corners(take[0], BOARD, nudged(rig, 3, mm=150, deg=4), times=take[1]))
    assert (found.kind, found.cameras) == ("moved", ("cam03",))
    assert abs(found.value - 150) < SURE * found.std


def test_what_does_not_matter_is_no_fault(rig, take):
    """Moves of 0.3 mm are sure, and nobody's concern unless asked for."""
    bad = nudged(rig, 1, mm=0.3)
    assert check_corners(take[0], BOARD, bad, times=take[1]).healthy
    found = one(check_corners(take[0], BOARD, bad, times=take[1], floor_mm=0.1))
    assert found.cameras == ("cam01",)


def test_spreads_are_honest(rig):
    """Errors in their own spreads: five have a root mean square within 0.4 and 2 (99 %)."""
    errors = []
    for seed in range(5):
        corners, times = film(rig, seed, frames=50)
        report = check_corners(corners, BOARD, nudged(rig, 0, zoom=1 / 1.02), times=times)
        found = one(report)
        assert found.kind == "zoom"
        errors.append((found.value - 2) / found.std)
    assert 0.4 < np.sqrt(np.mean(np.square(errors))) < 2


def test_two_faults_at_once_are_both_listed():
    rig = small_rig(SEED, 5)
    corners, times = film(rig, SEED, offset={4: 2})
    report = check_corners(corners, BOARD, nudged(rig, 1, mm=8), times=times)
    assert {(f.kind, f.cameras) for f in report.findings} == {
        ("moved", ("cam01",)),
        ("offset", ("cam04",)),
    }


def test_exchanged_cameras_are_named(rig, take):
    found = one(check_corners(exchanged(take[0], 0, 2), BOARD, rig, times=take[1]))
    assert (found.kind, set(found.cameras)) == ("swapped", {"cam00", "cam02"})


def test_the_same_footage_under_two_names_is_named(rig, take):
    found = one(check_corners(copied(take[0], 1, 2), BOARD, rig, times=take[1]))
    # the first is the one to replace
    assert (found.kind, found.cameras) == ("duplicate", ("cam02", "cam01"))


def test_a_pose_copied_within_the_rig_is_named(rig, take):
    cameras = list(rig.cameras)
    twin = type(cameras[2])(
        name="cam02",
        intrinsics=cameras[2].intrinsics,
        cam_from_world=cameras[1].cam_from_world,
    )
    bad = type(rig)(cameras=(*cameras[:2], twin, *cameras[3:]))
    report = check_corners(take[0], BOARD, bad, times=take[1])
    found = report.findings[0]
    assert (found.kind, set(found.cameras)) == ("duplicate", {"cam01", "cam02"})
    assert "pose" in found.text


def test_a_rig_in_millimetres_is_named(rig, take):
    found = one(check_corners(take[0], BOARD, scaled(rig, 1000), times=take[1]))
    assert found.kind == "unit"
    assert "millimetres" in found.text


def test_a_wrong_square_size_is_told_as_a_scale(rig, take):
    found = one(check_corners(take[0], BOARD, scaled(rig, 1.03), times=take[1]))
    assert found.kind == "scale"
    assert abs(found.value - 1.03) < 0.002
    assert f"{35 * 1.03:.2f} mm" in found.text


def test_pictures_of_another_size_are_named(rig, take):
    found = one(check_corners(resized(take[0], 0.75), BOARD, rig, times=take[1]))
    assert (found.kind, found.cameras) == ("size", rig.names)
    assert found.text.endswith("the pictures were resized")


def test_pictures_turned_by_a_quarter_are_named(rig, take):
    found = one(check_corners(quarter_turned(take[0]), BOARD, rig, times=take[1]))
    assert found.text.endswith("turned by 90 degrees clockwise")


def test_mirrored_pictures_are_named(rig, take):
    found = one(check_corners(mirrored(take[0], 1), BOARD, rig, times=take[1]))
    assert (found.kind, found.cameras) == ("mirrored", ("cam01",))


def test_a_zoomed_lens_is_no_moved_camera(rig, take):
    found = one(check_corners(take[0], BOARD, nudged(rig, 0, zoom=1 / 1.02), times=take[1]))
    assert (found.kind, found.cameras) == ("zoom", ("cam00",))
    assert abs(found.value - 2) < 0.1


def test_a_blurred_camera_is_named(rig, take):
    found = one(check_corners(blurred(take[0], 2, 1.5), BOARD, rig, times=take[1]))
    assert (found.kind, found.cameras, found.severity) == ("blurred", ("cam02",), "look at")


def test_soft_edges_are_blur_even_where_corners_are_found_well(rig, take):
    edges = np.array([1.8, 1.9, 5.0, 1.7])
    report = check_corners(take[0], BOARD, rig, times=take[1], sharpness_px=edges)
    assert (one(report).kind, one(report).cameras) == ("blurred", ("cam02",))


@pytest.mark.parametrize("frames", [2.0, -1.0, 0.5, 10.0])
def test_a_camera_out_of_step_is_no_moved_camera(rig, frames):
    corners, times = film(rig, SEED, frames=90, offset={1: frames})
    found = one(check_corners(corners, BOARD, rig, times=times))
    assert (found.kind, found.cameras, found.unit) == ("offset", ("cam01",), "ms")
    assert abs(found.value - 1000 * frames / 30) < 1.0
    assert "offset_s of cam01" in found.next_step


def test_a_clock_that_drifts_is_named(rig):
    corners, times = film(rig, SEED, frames=160, drift={2: 0.01})
    found = one(check_corners(corners, BOARD, rig, times=times))
    assert (found.kind, found.cameras) == ("drift", ("cam02",))


def test_without_stamps_offsets_are_told_in_frames(rig):
    corners, _ = film(rig, SEED, offset={1: 2})
    found = one(check_corners(corners, BOARD, rig))
    assert (found.kind, found.unit) == ("offset", "frames")
    assert abs(found.value - 2) < 0.05


def test_a_still_board_says_that_timing_cannot_be_told(rig):
    corners, times = film(rig, SEED, still=True)
    report = check_corners(corners, BOARD, rig, times=times)
    assert report.healthy
    assert any("in step cannot be told" in note for note in report.notes)


def test_two_cameras_say_that_either_may_have_moved(rig, take):
    bad = nudged(rig, 1, mm=10).select(("cam00", "cam01"))
    two = replace(
        take[0],
        xy_px=take[0].xy_px[:2],
        camera_names=("cam00", "cam01"),
        sizes_wh=take[0].sizes_wh[:2],
    )
    report = check_corners(two, BOARD, bad, times=take[1][:2])
    assert not report.healthy
    assert any("cannot be told apart" in r for f in report.findings for r in f.rivals)
    assert any("two cameras" in note for note in report.notes)


def test_a_camera_that_the_rig_does_not_know_is_an_error(rig, take):
    with pytest.raises(InputError, match="not in the rig"):
        check_corners(take[0], BOARD, rig.select(("cam00", "cam01", "cam02")))


def test_a_camera_that_was_not_filmed_is_noted(rig, take):
    part = replace(
        take[0],
        xy_px=take[0].xy_px[:3],
        camera_names=rig.names[:3],
        sizes_wh=take[0].sizes_wh[:3],
    )
    report = check_corners(part, BOARD, rig, times=take[1][:3])
    assert report.healthy
    assert any("cam03 is in the rig and was not filmed" in n for n in report.notes)


def test_cameras_that_never_share_the_board_are_an_error(rig, take):
    xy = take[0].xy_px.copy()
    for v in range(4):
        xy[v, np.arange(xy.shape[1]) % 4 != v] = np.nan
    with pytest.raises(InputError, match="no two cameras"):
        check_corners(replace(take[0], xy_px=xy), BOARD, rig)


def test_the_report_is_plain_data(rig, take):
    report = check_corners(take[0], BOARD, nudged(rig, 1, mm=5))
    data = json.loads(json.dumps(health_data(report), allow_nan=False))
    assert data["healthy"] is False
    assert data["findings"][0]["kind"] == "moved"
    text = health_markdown(report)
    assert "cam01" in text
    assert "Next:" in text
