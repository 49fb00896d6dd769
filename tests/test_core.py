"""The data types: what they refuse, in which words, and the algebra of poses."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from multiview.core import (
    HAND_21,
    Camera,
    Detections,
    Intrinsics,
    Points3D,
    Pose,
    Rig,
    Skeleton,
)
from multiview.errors import InputError, ShapeError
from multiview.synth import make_rig

# A few 3 x 3 products of numbers up to 10.
ROUNDING = 1e-13

angles = st.floats(-10, 10)
vectors = st.tuples(angles, angles, angles).map(np.array)
poses = st.builds(lambda w, t: Pose(R=Rotation.from_rotvec(w).as_matrix(), t=t), vectors, vectors)
K = np.array([[900.0, 0, 640], [0, 905, 360], [0, 0, 1]])
V, F, H, N_K = 2, 3, 2, 21


def detections(**changed: Any) -> Detections:
    fields: dict[str, Any] = {
        "xy_px": np.zeros((V, F, H, N_K, 2)),
        "conf": np.ones((V, F, H, N_K)),
        "camera_names": ("a", "b"),
        "frame_ids": np.arange(F),
        "times": np.zeros((V, F)),
        "skeleton": HAND_21,
        "source": "test",
        "right": np.zeros((V, F, H)),
        "hands": ("left", "right"),
    }
    return Detections(**(fields | changed))


def same(a: Pose, b: Pose) -> None:
    np.testing.assert_allclose(a.R, b.R, atol=10 * ROUNDING)
    np.testing.assert_allclose(a.t, b.t, atol=1000 * ROUNDING)


@settings(max_examples=40, deadline=None)
@given(poses, poses, poses, vectors)
def test_poses_are_a_group(a: Pose, b: Pose, c: Pose, x: np.ndarray) -> None:
    same((a @ b) @ c, a @ (b @ c))
    same(a @ a.inv, Pose.identity())
    same(a.inv @ a, Pose.identity())
    same(a @ Pose.identity(), a)
    same((a @ b).inv, b.inv @ a.inv)
    # composition is applied right to left
    np.testing.assert_allclose((a @ b).apply(x), a.apply(b.apply(x)), atol=1000 * ROUNDING)


@settings(max_examples=40, deadline=None)
@given(vectors, vectors, vectors)
def test_pose_applies_as_scipy_does(w: np.ndarray, t: np.ndarray, x: np.ndarray) -> None:
    turn = Rotation.from_rotvec(w)
    pose = Pose(R=turn.as_matrix(), t=t)
    points = np.stack([x, 2 * x, -x]).reshape(3, 1, 3)
    np.testing.assert_allclose(
        pose.apply(points)[:, 0], turn.apply(points[:, 0]) + t, atol=100 * ROUNDING
    )
    np.testing.assert_allclose(pose.inv.apply(pose.apply(points)), points, atol=1e3 * ROUNDING)


@pytest.mark.parametrize(
    "R",
    [
        np.diag([1.0, 1.0, -1.0]),  # mirrored
        2 * np.eye(3),  # scaled
        np.array([[1.0, 1e-4, 0], [0, 1, 0], [0, 0, 1]]),  # sheared by more than a typing error
        np.zeros((3, 3)),
        np.full((3, 3), np.nan),
    ],
)
def test_what_is_no_rotation_is_refused(R: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="not a rotation"):
        Pose(R=R, t=np.zeros(3))


def test_rotation_with_eight_digits_is_accepted() -> None:
    R = np.round(Rotation.from_rotvec([0.3, 0.2, -1]).as_matrix(), 8)
    np.testing.assert_array_equal(Pose(R=R, t=np.zeros(3)).R, R)


@pytest.mark.parametrize("t", [[np.nan, 0, 0], [0, np.inf, 0]])
def test_translation_must_be_finite(t: list[float]) -> None:
    with pytest.raises(ShapeError, match="not finite"):
        Pose(R=np.eye(3), t=np.array(t))


def test_shape_errors_name_field_expected_and_received() -> None:
    with pytest.raises(ShapeError, match=r"Pose\.t has shape \(4,\), expected \(3\)"):
        Pose(R=np.eye(3), t=np.zeros(4))
    with pytest.raises(
        ShapeError, match=r"Detections\.conf has shape \(2, 3, 2, 20\), expected \(V=2, F=3, H=2, K"
    ):
        detections(conf=np.ones((V, F, H, 20)))
    with pytest.raises(ShapeError, match=r"Detections\.times has shape \(3, 2\).*V=2, F=3"):
        detections(times=np.zeros((F, V)))
    with pytest.raises(ShapeError, match=r"docs/conventions\.md"):
        detections(right=np.zeros((V, F)))
    with pytest.raises(ShapeError, match=r"Pose\.R is not an array of numbers"):
        Pose(R="abc", t=np.zeros(3))  # type: ignore[arg-type]


def test_names_must_match_the_axes() -> None:
    with pytest.raises(ShapeError, match="2 views and 21 keypoints for 3 camera names"):
        detections(camera_names=("a", "b", "c"))
    with pytest.raises(ShapeError, match="hands names"):
        detections(hands=("left",))


@pytest.mark.parametrize(
    ("matrix", "word"),
    [
        (K.T, "transposed"),
        (np.array([[900, 3, 640], [0, 905, 360], [0, 0, 1]]), "skew"),
        (np.diag([-1.0, 1, 1]), "fx, fy > 0"),
        (np.diag([np.nan, 1, 1]), "fx, fy > 0"),
        (K * 2, "fx, fy > 0"),
    ],
)
def test_what_is_no_camera_matrix_is_refused(matrix: np.ndarray, word: str) -> None:
    with pytest.raises(ShapeError, match=word):
        Intrinsics(K=matrix, dist=np.zeros(0), size_wh=(1280, 720))


@pytest.mark.parametrize(
    ("model", "n", "fine"),
    [("brown", n, n in (0, 4, 5, 8, 12)) for n in (0, 1, 4, 5, 6, 8, 12, 14)]
    + [("fisheye", n, n == 4) for n in (0, 4, 5)]
    + [("pinhole", 0, False)],
)
def test_numbers_of_coefficients(model: Any, n: int, fine: bool) -> None:
    if fine:
        lens = Intrinsics(K=K, dist=np.zeros((1, n)), size_wh=(4, 3), model=model)
        assert lens.dist.shape == (n,)
    else:
        with pytest.raises(ShapeError, match=f"{n} distortion coefficients for model '{model}'"):
            Intrinsics(K=K, dist=np.zeros(n), size_wh=(4, 3), model=model)


def test_coefficients_and_size_must_make_sense() -> None:
    with pytest.raises(ShapeError, match="not finite"):
        Intrinsics(K=K, dist=np.array([0, np.inf, 0, 0]), size_wh=(4, 3))
    with pytest.raises(ShapeError, match="size_wh"):
        Intrinsics(K=K, dist=np.zeros(0), size_wh=(0, 3))


def test_detections_keep_nan_and_refuse_inf_and_confidence_beyond_one() -> None:
    xy = np.zeros((V, F, H, N_K, 2))
    xy[0, 1, 0, 3, 1] = np.nan
    dets = detections(xy_px=xy)
    # a missing point has no confidence, whatever the source said
    assert dets.conf[0, 1, 0, 3] == 0
    assert dets.conf.sum() == dets.conf.size - 1
    np.testing.assert_array_equal(dets.valid, ~np.isnan(xy).any(-1))
    xy[0, 0, 0, 0, 0] = np.inf
    with pytest.raises(ShapeError, match="infinite"):
        detections(xy_px=xy)
    for bad in (1.01, -0.01, np.nan):
        with pytest.raises(ShapeError, match=r"outside \[0, 1\]"):
            detections(conf=np.full((V, F, H, N_K), bad))


def test_values_are_read_only() -> None:
    rig, dets = make_rig(np.random.default_rng(0), 2), detections()
    pose, lens = rig.cameras[0].cam_from_world, rig.cameras[0].intrinsics
    for array in (pose.R, pose.t, lens.K, lens.dist, dets.xy_px, dets.conf, dets.times):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(FrozenInstanceError):
        dets.source = "other"  # type: ignore[misc]


def test_a_pose_does_not_change_with_the_array_it_was_made_from() -> None:
    R, matrix = np.eye(3), K.copy()
    pose = Pose(R=R, t=np.zeros(3))
    lens = Intrinsics(K=matrix, dist=np.zeros(0), size_wh=(4, 3))
    R[:], matrix[:] = 7, 7
    np.testing.assert_array_equal(pose.R, np.eye(3))
    np.testing.assert_array_equal(lens.K, K)


def test_digest_changes_with_everything_that_moves_a_pixel() -> None:
    rig = make_rig(np.random.default_rng(0), 3)
    c = rig.cameras[0]
    lens, pose = c.intrinsics, c.cam_from_world
    shifted = lens.K.copy()
    shifted[0, 2] = np.nextafter(shifted[0, 2], 1e9)
    others = [
        replace(c, name="x"),
        replace(c, intrinsics=replace(lens, K=shifted)),
        replace(c, intrinsics=replace(lens, dist=lens.dist + 1e-12)),
        replace(c, intrinsics=replace(lens, size_wh=(1280, 721))),
        replace(c, intrinsics=replace(lens, model="fisheye")),
        replace(c, cam_from_world=replace(pose, t=pose.t + 1e-12)),
        replace(c, cam_from_world=pose @ Pose(R=np.eye(3)[[1, 2, 0]], t=np.zeros(3))),
    ]
    rigs = [replace(rig, cameras=(other, *rig.cameras[1:])) for other in others]
    rigs += [rig, rig.select(rig.names[::-1]), rig.select(rig.names[:2])]
    assert len({r.digest for r in rigs}) == len(rigs)
    again = make_rig(np.random.default_rng(0), 3)
    assert replace(again, about="elsewhere").digest == rig.digest


def test_select_reorders_and_names_a_missing_camera() -> None:
    rig = make_rig(np.random.default_rng(0), 3)
    assert rig.select(["cam02", "cam00"]).names == ("cam02", "cam00")
    with pytest.raises(InputError, match=r"camera kitchen is not in the rig, which has cam00, cam"):
        rig.select(["cam00", "kitchen"])


def test_rig_needs_cameras_with_names_of_their_own() -> None:
    camera = make_rig(np.random.default_rng(0), 1).cameras[0]
    with pytest.raises(InputError, match="two cameras named"):
        Rig(cameras=(camera, camera))
    with pytest.raises(InputError, match="no camera"):
        Rig(cameras=())


def test_camera_centre_is_where_the_pose_says() -> None:
    rig = make_rig(np.random.default_rng(0), 4)
    for camera, centre in zip(rig.cameras, rig.centres_world, strict=True):
        assert isinstance(camera, Camera)
        assert np.abs(camera.cam_from_world.apply(centre)).max() < ROUNDING


def test_points_check_their_shapes() -> None:
    fields: dict[str, Any] = {
        "xyz_world": np.zeros((F, H, N_K, 3)),
        "cov": np.zeros((F, H, N_K, 3, 3)),
        "inlier": np.zeros((V, F, H, N_K), bool),
        "err_px": np.zeros((V, F, H, N_K)),
        "voted": np.zeros((F, H, N_K), bool),
        "frame_ids": np.arange(F),
        "camera_names": ("a", "b"),
        "hands": ("left", "right"),
        "skeleton": HAND_21,
        "rig_digest": "x",
    }
    assert Points3D(**fields).valid.all()
    assert np.isnan(Points3D(**fields).trust).all()  # says nothing of points of two views
    assert (Points3D(**(fields | {"voted": fields["voted"] | True})).trust == 1).all()
    fields["trust"] = np.ones((F, H, N_K))
    for name, array in fields.items():
        if isinstance(array, np.ndarray):
            with pytest.raises(ShapeError, match=rf"Points3D\.{name}"):
                Points3D(**(fields | {name: np.zeros((*array.shape, 1))}))


def test_skeleton_groups_cover_every_keypoint_once() -> None:
    assert [len(g) for g in HAND_21.groups.values()] == [1, 4, 4, 4, 4, 4]
    np.testing.assert_array_equal(HAND_21.group_index, [0, *np.repeat(np.arange(1, 6), 4)])
    children = [child for _, child in HAND_21.edges]
    assert sorted(children) == list(range(1, 21))  # a tree that starts at the wrist
    for groups in ({"a": (0,)}, {"a": (0, 1), "b": (1,)}):
        with pytest.raises(InputError, match="cover each"):
            Skeleton(
                name="s", keypoints=("p", "q"), edges=(), groups=groups, colors=((0, 0, 0),) * 2
            )
    with pytest.raises(InputError, match="edge"):
        Skeleton(
            name="s", keypoints=("p",), edges=((0, 1),), groups={"a": (0,)}, colors=((0, 0, 0),)
        )
