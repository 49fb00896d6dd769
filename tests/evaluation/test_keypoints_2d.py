"""2D errors: matched hands, PCK by hand, AUC in both conventions, views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from multiview.core import HAND_21, Detections, Skeleton
from multiview.errors import InputError
from multiview.evaluation.findings import Findings, groups_2d, keypoint_rows
from multiview.evaluation.keypoints_2d import Truth2D, figures_2d, match_detections, pck_of
from multiview.evaluation.view_angle import VIEW_BINS, hand_angles, view_bins
from multiview.synth import make_hand_motion, make_rig

PAIR = Skeleton(
    name="pair",
    keypoints=("a", "b"),
    edges=((0, 1),),
    groups={"all": (0, 1)},
    colors=((0, 0, 0), (1, 1, 1)),
)


def truth_of(xy, **more):
    xy = np.asarray(xy, float)
    names = tuple(f"cam{v}" for v in range(len(xy)))
    given = {"camera_names": names, "frame_ids": np.arange(xy.shape[1]), "skeleton": PAIR}
    return Truth2D(xy_px=xy, **(given | more))


def dets_of(xy, right=None, **more):
    xy = np.asarray(xy, float)
    names = tuple(f"cam{v}" for v in range(len(xy)))
    given = {"camera_names": names, "frame_ids": np.arange(xy.shape[1]), "skeleton": PAIR}
    return Detections(
        xy_px=xy,
        conf=np.isfinite(xy).all(-1).astype(float),
        times=np.zeros(xy.shape[:2]),
        source="test",
        right=np.full(xy.shape[:3], np.nan) if right is None else np.asarray(right, float),
        **(given | more),
    )


# one camera, two frames, one hand 100 px wide and 20 high
TRUTH = [[[[[0, 0], [100, 20]]], [[[50, 0], [150, 20]]]]]
# off by 3 and 10 px (in x and y), then one found exactly, one missing
FOUND = [[[[[3, 0], [100, 30]]], [[[50, 0], [np.nan, np.nan]]]]]


def test_pck_by_hand():
    matched = match_detections(dets_of(FOUND), truth_of(TRUTH))
    np.testing.assert_array_equal(matched.truth.side_px, [[[100], [100]]])
    np.testing.assert_array_equal(matched.errors("px"), [3, 10, 0, np.nan])
    np.testing.assert_array_equal(matched.errors("box"), [0.03, 0.1, 0, np.nan])
    np.testing.assert_array_equal(
        pck_of(dets_of(FOUND), truth_of(TRUTH), (0.02, 0.05, 0.1, 9)), [0.25, 0.5, 0.75, 0.75]
    )
    heads = truth_of(TRUTH, head_px=np.full((1, 2, 1), 10.0))
    np.testing.assert_array_equal(
        pck_of(dets_of(FOUND), heads, (0.4, 0.5, 2), "head"), [0.25, 0.5, 0.75]
    )
    f = figures_2d(match_detections(dets_of(FOUND), heads))
    assert f["pck_head"] == 0.5
    assert f["epe_px"] == pytest.approx(13 / 3)
    assert f["epe_median_px"] == 3
    assert (f["hands_found"], f["keypoints_found"], f["keypoints"]) == (1, 0.75, 4)
    # steps at 0, 3 and 10 of 30 px: a quarter each
    assert f["auc_px_0_30"] == pytest.approx((30 + 27 + 20) / 120, abs=1 / 3000)
    # thresholds 0, 1.5, .. 28.5, strictly below: 19, 17 and 13 of 20 (3 < 4.5; 10 < 10.5)
    assert f["auc_px_mmpose"] == pytest.approx((19 + 17 + 13) / 20 / 4)


def test_heads_are_asked_for():
    with pytest.raises(InputError, match="head"):
        pck_of(dets_of(FOUND), truth_of(TRUTH), (1,), "head")


def test_slots_do_not_matter_but_labels_are_judged():
    """Two hands in the other order: matched to the nearest, both labels wrong."""
    two = np.array([[[[[0, 0], [100, 20]], [[300, 0], [400, 20]]]]], float)
    truth = truth_of(two, hands=("left", "right"))
    swapped = dets_of(two[:, :, ::-1], hands=("left", "right"))
    matched = match_detections(swapped, truth)
    assert (matched.error_px == 0).all()
    assert matched.wrong_side.all()
    unsorted = dets_of(two[:, :, ::-1], right=[[[0.9, 0.8]]])
    np.testing.assert_array_equal(match_detections(unsorted, truth).wrong_side, [[[True, False]]])
    told = dets_of(two[:, :, ::-1], right=[[[0.9, 0.2]]])
    assert not match_detections(told, truth).wrong_side.any()


def test_every_detection_is_used_once_and_far_ones_never():
    two = np.array([[[[[0, 0], [100, 20]], [[60, 0], [160, 20]]]]], float)
    one = np.full_like(two, np.nan)
    one[0, 0, 1] = two[0, 0, 0] + [20, 0]  # between both, nearer to the first
    matched = match_detections(dets_of(one), truth_of(two))
    np.testing.assert_array_equal(matched.found, [[[True, False]]])
    far = match_detections(dets_of(two[:, :, :1] + [101, 0]), truth_of(two[:, :, :1]))
    assert not far.found.any()
    near = match_detections(dets_of(two[:, :, :1] + [99, 0]), truth_of(two[:, :, :1]))
    assert near.found.all()
    assert np.nanmax(near.error_px) == 99


def test_only_common_cameras_and_frames_count():
    xy = np.tile(np.array(TRUTH), (3, 1, 1, 1, 1))
    truth = truth_of(xy, frame_ids=np.array([4, 9]))
    dets = dets_of(
        xy[:2, [1, 0, 1]], camera_names=("cam2", "other"), frame_ids=np.array([4, 9, 11])
    )
    matched = match_detections(dets, truth)
    assert matched.truth.camera_names == ("cam2",)
    np.testing.assert_array_equal(matched.truth.frame_ids, [4, 9])
    np.testing.assert_array_equal(matched.error_px, np.full((1, 2, 1, 2), 50))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"camera_names": ("other",)}, "none is common"),
        ({"frame_ids": np.array([70, 80])}, "70 to 80"),
        ({"skeleton": replace(PAIR, keypoints=("a", "c"))}, "keypoints"),
    ],
)
def test_truth_of_another_take(more, words):
    with pytest.raises(InputError, match=words):
        match_detections(dets_of(FOUND), truth_of(TRUTH, **more))


def test_groups_and_rows_are_those_of_their_keypoints():
    seen = np.array([[[[True, False]], [[True, True]]]])
    angle = np.zeros((1, 2, 1))
    truth = truth_of(TRUTH, visible=seen, to_camera=angle, to_forearm=angle + np.pi / 2)
    matched = match_detections(dets_of(FOUND), truth)
    groups = groups_2d(matched)
    assert set(groups) == {"camera", "view", "visibility"}
    assert groups["visibility"]["hidden"]["epe_px"] == 10
    assert groups["visibility"]["visible"]["keypoints_found"] == pytest.approx(2 / 3)
    assert set(groups["view"]) == {"palm"}
    assert groups["camera"]["cam0"] == figures_2d(matched)
    rows = keypoint_rows(Findings(name="x", skeleton=PAIR, planar=matched))
    assert [r["epe_px"] for r in rows] == [1.5, 10]
    assert [r["pck_box_0.1"] for r in rows] == [1, 0.5]


# --- view angles ---


def test_flat_right_hand_shows_its_palm_to_a_camera_below():
    """The motion's hand: palm looks to -z, fingers along y; seen from six sides."""
    hand = np.zeros((21, 3))
    hand[5], hand[9], hand[17] = [-0.026, 0.088, 0], [-0.004, 0.091, 0], [0.034, 0.076, 0]
    middle = hand[[0, 5, 17]].mean(0)
    rig = make_rig(np.random.default_rng(0), 6)
    sides = np.array([[0, 0, -1], [0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], float)
    cameras = tuple(
        replace(c, cam_from_world=replace(c.cam_from_world, t=-c.cam_from_world.R @ (middle + s)))
        for c, s in zip(rig.cameras, sides, strict=True)
    )
    both = np.stack([hand * [-1, 1, 1] + 2 * middle * [1, 0, 0], hand])[None]
    to_camera, to_forearm = hand_angles(replace(rig, cameras=cameras), both)
    right, left = to_camera[:, 0, 1], to_camera[:, 0, 0]
    np.testing.assert_allclose(right[:2], [0, np.pi], atol=1e-6)
    np.testing.assert_allclose(left, right, atol=1e-6)  # a mirror image has the same palm side
    bins = view_bins(to_camera, to_forearm)
    kinds = [next(n for n in VIEW_BINS if bins[n][v, 0, 1]) for v in range(6)]
    assert kinds == ["palm", "back", "edge-on", "edge-on", "along the forearm", "along the forearm"]


def test_angles_turn_with_the_world_and_every_view_has_one_bin():
    rng = np.random.default_rng(3)
    rig, hands = make_rig(rng, 5), make_hand_motion(rng, 20, 2)
    to_camera, to_forearm = hand_angles(rig, hands)
    bins = view_bins(to_camera, to_forearm)
    np.testing.assert_array_equal(sum(b.astype(int) for b in bins.values()), 1)
    R = Rotation.from_rotvec([0.3, -1, 0.5]).as_matrix()
    turned = tuple(
        replace(c, cam_from_world=replace(c.cam_from_world, R=c.cam_from_world.R @ R.T))
        for c in rig.cameras
    )
    again = hand_angles(replace(rig, cameras=turned), hands @ R.T)
    np.testing.assert_allclose(again[0], to_camera, atol=1e-9)
    np.testing.assert_allclose(again[1], to_forearm, atol=1e-6)
    assert HAND_21.keypoints[5] == "index1"
    assert HAND_21.keypoints[17] == "little1"
