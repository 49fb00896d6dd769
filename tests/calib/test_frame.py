"""Worlds of a rig: axes as promised, every camera sees what it saw, boards move along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from multiview.calib.clicks import (
    WorldPoints,
    frame_of_gravity,
    frame_of_points,
    load_points,
    locate,
    with_scale,
)
from multiview.calib.frame import (
    board_frame,
    camera_frame,
    gravity_frame,
    points_frame,
    reframe_rig,
    reframe_track,
)
from multiview.calib.so3 import exp_so3
from multiview.calib.still import longest_still
from multiview.core import BoardTrack, CameraRecord, Pose, RigRecord
from multiview.errors import ConfigError, InputError
from multiview.synth import make_rig

# Float64 through a handful of 3 x 3 products of metre-sized numbers.
EXACT = 1e-9
GRID = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0)), -1).reshape(-1, 2)
XYZ = np.concatenate([0.05 * GRID, np.zeros((12, 1))], -1)


@pytest.fixture
def rig():
    """Four cameras above the z = 0 plane, in a world of their own (z up), then turned about."""
    made = RigRecord(
        program="multiview 0",
        heldout_mm=2.0,
        cameras=(CameraRecord(name="cam00", position_std_m=1e-3),),
    )
    rig = make_rig(
        np.random.default_rng(0), 4, elevation_deg=(20.0, 60.0), centre_world=(0, 0, 0.3)
    )
    return replace(rig, made=made, about="world = frame of camera cam00 (x right); calibrated")


def face_up() -> Pose:
    """Board on the floor, print up: its z (into the print) is down, its page turned."""
    c, s = np.cos(0.5), np.sin(0.5)
    return Pose(R=np.array([[c, s, 0], [s, -c, 0], [0, 0, -1.0]]), t=np.array([0.1, -0.2, 0.0]))


def track(pose: Pose, frames: tuple[int, ...] = (7,)) -> BoardTrack:
    n = len(frames)
    return BoardTrack(
        name="board",
        about="test",
        xyz_board=XYZ,
        frame_ids=np.array(frames),
        R=np.stack([pose.R] * n),
        t=np.stack([pose.t] * n),
    )


def turned(rig):
    """The rig and its true world_from_old in an arbitrary world."""
    old = Pose(R=exp_so3(np.array([0.3, -1.2, 0.8])), t=np.array([0.4, 2.0, -1.0]))
    cameras = tuple(replace(c, cam_from_world=c.cam_from_world @ old.inv) for c in rig.cameras)
    return replace(rig, cameras=cameras), old


def test_a_board_on_the_floor_gives_the_world_it_lies_in(rig):
    other, old = turned(rig)
    frame = board_frame(other, track(old @ face_up()), [7])
    xyz = old.apply(np.array([[0.1, -0.2, 0.0], [0.1, -0.2, 0.5]]))
    heights = frame.apply(xyz)[:, 2]
    np.testing.assert_allclose(heights, [0, 0.5], atol=EXACT)
    new = reframe_rig(other, frame)
    assert (new.centres_world[:, 2] > 0).all()
    np.testing.assert_allclose(new.centres_world[:, 2], rig.centres_world[:, 2], atol=EXACT)
    # the printed corner at the bottom left is the origin, the bottom right one lies on +x
    bottom = (old @ face_up()).apply(np.array([[0, 0.1, 0], [0.15, 0.1, 0], [0, 0, 0]]))
    expected = [[0, 0, 0], [0.15, 0, 0], [0, 0.1, 0]]
    np.testing.assert_allclose(frame.apply(bottom), expected, atol=EXACT)
    assert "z up" in frame.world
    assert "bottom-left" in frame.world
    assert frame.notes == ()


@pytest.mark.parametrize(
    ("origin", "corner"),
    [
        ("top-left", (0, 0)),
        ("top-right", (0.15, 0)),
        ("bottom-right", (0.15, 0.1)),
        ("centre", (0.075, 0.05)),
    ],
)
def test_the_origin_is_the_corner_named(rig, origin, corner):
    frame = board_frame(rig, track(face_up()), [7], origin=origin)
    at = frame.apply(face_up().apply(np.array([*corner, 0.0])))
    np.testing.assert_allclose(at, 0, atol=EXACT)


def test_an_upside_down_pose_still_has_the_cameras_above(rig):
    """A board seen through its back: the pose's normal points down, the floor is the same."""
    flip = Pose(R=np.diag([1.0, -1, -1]), t=np.zeros(3))
    frame = board_frame(rig, track(face_up() @ flip), [7])
    new = reframe_rig(rig, frame)
    np.testing.assert_allclose(new.centres_world[:, 2], rig.centres_world[:, 2], atol=EXACT)


def test_a_camera_below_the_floor_is_named(rig):
    low = replace(rig.cameras[2], cam_from_world=Pose(R=np.eye(3), t=np.array([0, 0, 0.4])))
    odd = replace(rig, cameras=(*rig.cameras[:2], low, rig.cameras[3]))
    (note,) = board_frame(odd, track(face_up()), [7]).notes
    assert "cam02 by 0.40 m" in note


def test_frames_without_the_board_are_refused(rig):
    with pytest.raises(InputError, match="no pose in frame 8") as error:
        board_frame(rig, track(face_up()), [8])
    assert "7" in error.value.next_step


def test_every_camera_sees_what_it_saw_and_boards_move_along(rig):
    frame = replace(gravity_frame(rig, np.array([0.1, 0.2, -1])), scale=2.5)
    new = reframe_rig(rig, frame)
    xyz = np.random.default_rng(1).uniform(-0.1, 0.1, (20, 3)) + np.array([0, 0, 0.3])
    np.testing.assert_allclose(new.project(frame.apply(xyz)), rig.project(xyz), atol=1e-7)
    before = track(face_up(), (3, 4))
    after = reframe_track(before, frame, new)
    on_board = after.xyz_board @ after.R[0].T + after.t[0]
    np.testing.assert_allclose(on_board, frame.apply(face_up().apply(XYZ)), atol=EXACT)
    assert after.rig_digest == new.digest


def test_the_record_notes_the_step_and_scales_its_lengths(rig):
    new = reframe_rig(rig, replace(camera_frame(rig, "cam01"), scale=2.0))
    assert new.made.steps[-1].startswith("world: origin at the optical centre of camera cam01")
    assert "multiplied by 2" in new.made.steps[-1]
    assert new.made.heldout_mm == 4.0
    assert new.made.cameras[0].position_std_m == 2e-3
    assert new.about == "calibrated"  # what it said of the old world is gone
    assert new.world == camera_frame(rig, "cam01").world


def test_a_camera_becomes_the_world(rig):
    new = reframe_rig(rig, camera_frame(rig, "cam02"))
    np.testing.assert_allclose(new.cameras[2].cam_from_world.R, np.eye(3), atol=EXACT)
    np.testing.assert_allclose(new.cameras[2].cam_from_world.t, 0, atol=EXACT)
    with pytest.raises(InputError, match="cam9"):
        camera_frame(rig, "cam9")


def test_three_points_give_origin_x_and_the_side_of_y(rig):
    xyz = np.array([[0.1, 0.1, 0], [0.3, 0.1, 0], [0.2, 0.4, 0]])
    frame = points_frame(rig, xyz)
    got = frame.apply(xyz)
    np.testing.assert_allclose(got, [[0, 0, 0], [0.2, 0, 0], [0.1, 0.3, 0]], atol=EXACT)
    assert frame.notes == ()
    # the third point on the other side turns z down: said, not silently repaired
    other_side = points_frame(rig, np.array([[0, 0, 0], [1, 0, 0], [0.5, -1, 0]]))
    assert "z points away from most cameras" in other_side.notes[0]
    with pytest.raises(InputError, match="one line"):
        points_frame(rig, np.array([[0, 0, 0], [1, 0, 0], [2, 0.01, 0]]))


def clicks(rig, xyz, *views):
    return {rig.names[v]: tuple(rig.project(np.array(xyz))[v]) for v in views}


def test_clicked_points_and_a_known_length(rig):
    points = WorldPoints.model_validate(
        {
            "origin": clicks(rig, [0, 0, 0.25], 0, 1, 2),
            "x": clicks(rig, [0.1, 0, 0.25], 1, 3),
            "xy": [0.05, 0.1, 0.25],
            "scale": {
                "a": clicks(rig, [0, 0, 0.25], 0, 2),
                "b": clicks(rig, [0, 0.1, 0.25], 0, 2),
                "length_m": 0.3,
            },
        }
    )
    frame = frame_of_points(rig, points)
    assert frame.scale == pytest.approx(3.0, abs=1e-6)
    np.testing.assert_allclose(frame.apply(np.array([0.1, 0, 0.25])), [0.3, 0, 0], atol=1e-6)
    assert with_scale(rig, camera_frame(rig, "cam00"), points).scale == pytest.approx(3.0)


def test_clicks_that_do_not_meet_name_the_camera(rig):
    wrong = clicks(rig, [0, 0, 0.3], 0, 1, 2, 3)
    wrong["cam02"] = (wrong["cam02"][0] + 90, wrong["cam02"][1] - 40)
    with pytest.raises(InputError, match="camera cam02 has it"):
        locate(rig, wrong, "x")
    with pytest.raises(InputError, match="cam01 only"):
        locate(rig, clicks(rig, [0, 0, 0.3], 1), "x")
    with pytest.raises(InputError, match="not in the rig"):
        locate(rig, {"cam00": (1, 1), "left": (2, 2)}, "x")


def test_rays_of_one_direction_have_no_depth(rig):
    twin = replace(rig.cameras[0], name="twin")
    double = replace(rig, cameras=(*rig.cameras, twin))
    point = clicks(double, [0, 0, 0.3], 0, 4)
    with pytest.raises(InputError, match="depth is open"):
        locate(double, point, "x")


def test_gravity_levels_the_world(rig):
    frame = gravity_frame(rig, np.array([0, 0, -2.0]), camera="cam01")
    new = reframe_rig(rig, frame)
    up = frame.new_from_old.R @ [0, 0, 1]
    np.testing.assert_allclose(up, [0, 0, 1], atol=EXACT)
    np.testing.assert_allclose(new.cameras[1].centre_world, 0, atol=EXACT)
    ahead = new.cameras[1].cam_from_world.R[2]
    assert abs(ahead[0]) < EXACT
    assert ahead[1] > 0
    assert np.linalg.det(frame.new_from_old.R) == pytest.approx(1)


def test_gravity_of_a_camera_that_looks_straight_down_has_a_heading(rig):
    down = replace(rig.cameras[0], cam_from_world=Pose(R=np.diag([1.0, -1, -1]), t=np.zeros(3)))
    frame = gravity_frame(replace(rig, cameras=(down,)), np.array([0, 0, -1.0]))
    assert "top of its picture" in frame.world
    np.testing.assert_allclose(frame.new_from_old.R, np.eye(3), atol=EXACT)


def test_gravity_from_text_plumb_line_and_file(rig, tmp_path):
    down = rig.cameras[1].cam_from_world.R @ [0, 0, -1.0]
    said = frame_of_gravity(rig, "cam01:" + ",".join(map(str, down)))
    np.testing.assert_allclose(said.new_from_old.R[2], [0, 0, 1], atol=1e-6)
    top, bottom = clicks(rig, [0, 0, 0.35], 0, 2), clicks(rig, [0, 0, 0.2], 0, 2)
    path = tmp_path / "plumb.yaml"
    path.write_text(
        "plumb:\n"
        + "".join(
            f"  {name}: {{{', '.join(f'{n}: [{x}, {y}]' for n, (x, y) in point.items())}}}\n"
            for name, point in (("top", top), ("bottom", bottom))
        )
    )
    plumb = frame_of_gravity(rig, str(path))
    np.testing.assert_allclose(plumb.new_from_old.R[2], [0, 0, 1], atol=1e-6)
    path.write_text("scale: {a: [0, 0, 0], b: [1, 0, 0], length_m: 2}\n")
    with pytest.raises(InputError, match="neither plumb nor down"):
        frame_of_gravity(rig, str(path))


def test_a_points_file_is_strict(tmp_path):
    path = tmp_path / "points.yaml"
    path.write_text("orign: {cam00: [1, 2], cam01: [3, 4]}\n")
    with pytest.raises(ConfigError, match="orign"):
        load_points(path)


def still_scene(rng, moving):
    """Corners (2, F, 12, 2) of a board that moves by pixels in the frames marked."""
    place = np.cumsum(np.where(moving, 9.0, 0.0))
    xy = 100 + 20 * GRID + place[:, None, None]
    return np.stack([xy, xy * 1.1]) + rng.normal(0, 0.3, (2, len(moving), 12, 2))


def test_the_longest_still_run_is_found():
    moving = np.ones(60, bool)
    moving[10:17] = False
    moving[30:50] = False
    xy = still_scene(np.random.default_rng(0), moving)
    # frame 29 is where the board arrives
    assert longest_still(xy, np.array([0.3, 0.3]), np.ones(60, bool)) == (29, 49)
    seen = np.ones(60, bool)
    seen[40] = False  # a frame without a pose inside the run does not end it
    assert longest_still(xy, np.array([0.3, 0.3]), seen) == (29, 49)
    assert longest_still(xy[:, :9], np.array([0.3, 0.3]), np.ones(9, bool)) is None


def test_a_slow_drift_is_no_rest():
    drift = 0.3 * np.arange(40)[:, None, None] + 100 + 20 * GRID
    xy = drift[None] + np.random.default_rng(0).normal(0, 0.1, (1, 40, 12, 2))
    first, last = longest_still(xy, np.array([0.1]), np.ones(40, bool), min_frames=1)
    assert last - first < 5
