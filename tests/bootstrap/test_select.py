"""The whole selection: safe hands stay, spoiled ones go, and what is counted adds up."""

from dataclasses import replace

import numpy as np
import pytest
from hands import exchange, make_take, seen_by

from multiview.bootstrap.diversity import farthest_clusters, stratified_order
from multiview.bootstrap.labels import pseudo_labels
from multiview.bootstrap.score import frame_scores
from multiview.bootstrap.select import SelectConfig, select_labels
from multiview.bootstrap.table import empty_selection, rejection_table, table_lines
from multiview.core import HAND_21, Skeleton
from multiview.errors import InputError
from multiview.synth import make_hand_motion, make_rig


@pytest.fixture(scope="module")
def take():
    return make_take(frames=30, noise_px=0.5)


def test_clean_hands_are_selected_whole(take):
    rig, dets, points, _ = take
    chosen = select_labels(points, dets, rig)
    assert chosen.labels[points.valid].mean() > 0.97
    assert chosen.hands.mean() > 0.97
    assert chosen.acceptance is None
    assert chosen.views.all()
    assert sorted(chosen.rank[chosen.hands]) == list(range(int(chosen.hands.sum())))


def test_score_is_the_sum_of_confidences_of_inliers(take):
    _, dets, points, _ = take
    score = frame_scores(points, dets)
    f = 11
    assert score[f, 0] == pytest.approx(dets.conf[:, f, 0][points.inlier[:, f, 0]].sum())
    assert frame_scores(points, dets, np.zeros(points.valid.shape, bool)).max() == 0


@pytest.mark.parametrize("spoil", ["fingers", "side"])
def test_a_swap_that_agrees_over_all_views_does_not_pass(take, spoil):
    rig, _, _, xyz = take
    wrong = exchange(xyz, 1, 2) if spoil == "fingers" else xyz
    hands = ("right",) if spoil == "fingers" else ("left",)
    dets, points = seen_by(rig, wrong, hands)
    assert points.voted.all(), "all views agree on the wrong hand"
    chosen = select_labels(points, dets, rig)
    fingers = slice(5, 13) if spoil == "fingers" else slice(0, 21)
    assert chosen.labels[..., fingers].mean() < 0.1
    names = {r.name: r for r in rejection_table(chosen)}
    assert names["finger swap" if spoil == "fingers" else "left-right"].alone > 200


def test_best_of_each_window_and_n_best(take):
    rig, dets, points, _ = take
    chosen = select_labels(points, dets, rig, SelectConfig(window=10))
    frames = np.flatnonzero(chosen.hands[:, 0])
    assert (frames // 10).tolist() == [0, 1, 2]
    for f in frames:
        window = chosen.score[f // 10 * 10 : f // 10 * 10 + 10, 0]
        assert chosen.score[f, 0] == window.max()
    assert (
        chosen.rank[frames, 0].argsort().tolist() == (-chosen.score[frames, 0]).argsort().tolist()
    )
    few = select_labels(points, dets, rig, SelectConfig(count=4))
    assert few.hands.sum() == 4


def test_n_best_are_not_n_times_the_same_pose(take):
    rig = take[0]
    rng = np.random.default_rng(9)
    still = make_hand_motion(rng, 1).repeat(25, axis=0)
    other = make_hand_motion(np.random.default_rng(10), 60)[::12]
    xyz = np.concatenate([still, other])
    dets, points = seen_by(rig, xyz)
    # the easy pose is the one the detector is surest of
    conf = np.where(np.arange(30)[:, None, None] < 25, 0.95, 0.7) * (dets.conf > 0)
    dets = replace(dets, conf=conf)
    same = select_labels(points, dets, rig, SelectConfig(count=6, poses=1, directions=1))
    assert np.flatnonzero(same.hands[:, 0]).max() < 25
    mixed = select_labels(points, dets, rig, SelectConfig(count=6, poses=6))
    assert (np.flatnonzero(mixed.hands[:, 0]) >= 25).sum() >= 4


def test_groups_are_the_same_on_every_run_and_far_apart():
    rows = np.repeat(np.array([[0.0, 0], [5, 0], [0, 5]]), 4, axis=0)
    label = farthest_clusters(rows, 3)
    assert [len(set(label[i : i + 4].tolist())) for i in (0, 4, 8)] == [1, 1, 1]
    assert len(set(label.tolist())) == 3
    assert len(set(farthest_clusters(rows, 8).tolist())) == 3
    assert farthest_clusters(np.full((2, 2), np.nan), 3).tolist() == [-1, -1]
    order = stratified_order(np.array([9.0, 8, 7, 1]), np.array([0, 0, 0, 1]), np.ones(4, bool))
    assert order.tolist() == [0, 3, 1, 2]


def test_what_is_counted_adds_up(take):
    rig, _, _, xyz = take
    wrong = np.zeros(xyz.shape[:3], bool)
    wrong[::3, 0, 8] = True
    moved = np.where(wrong[..., None], xyz + np.array([0.0, 0.0, 0.15]), xyz)
    dets, points = seen_by(rig, moved)
    chosen = select_labels(points, dets, rig, max_false_label_rate=0.02)
    rows = rejection_table(chosen, wrong & points.valid)
    assert sum(r.first for r in rows) + chosen.labels.sum() == points.valid.sum()
    assert all(0 <= r.first <= r.alone and r.wrong_first <= r.first for r in rows)
    caught = sum(r.wrong_first for r in rows)
    assert caught + (wrong & chosen.labels).sum() == (wrong & points.valid).sum()
    assert caught > 0.9 * wrong.sum()
    assert len(table_lines(chosen, wrong)) == len(rows) + 3


def test_empty_selection_says_which_rule_took_what(take):
    rig, dets, points, _ = take
    n = int(points.valid.sum())
    error = empty_selection(select_labels(points, dets, rig, SelectConfig(min_confidence=0.99)))
    assert isinstance(error, InputError)
    assert f"of {n} 3D keypoints, confidence {n}" in error.what
    assert "--select.min-confidence" in error.next_step
    error = empty_selection(select_labels(points, dets, rig, max_false_label_rate=1e-7))
    assert "that can be promised here is 0.0" in error.next_step
    nothing = replace(points, xyz_world=np.full_like(points.xyz_world, np.nan))
    assert "nothing was triangulated" in empty_selection(select_labels(nothing, dets, rig)).what


def test_the_least_promise_that_is_named_can_be_kept(take):
    rig, dets, points, _ = take
    refused = select_labels(points, dets, rig, max_false_label_rate=1e-7)
    assert not refused.labels.any()
    kept = select_labels(points, dets, rig, max_false_label_rate=1.01 * refused.acceptance.smallest)
    assert kept.labels.any()
    assert kept.acceptance.bound <= 1.01 * refused.acceptance.smallest


def test_labels_are_those_selected_and_know_their_risk_and_side(take):
    rig, dets, points, _ = take
    chosen = select_labels(points, dets, rig, SelectConfig(window=10))
    views = chosen.views.copy()
    views[2] = False  # something stands before camera 2
    labels = pseudo_labels(points, dets, rig, selection=replace(chosen, views=views))
    assert not labels.keep[2].any()
    assert not labels.visibility[2].any()
    frames = labels.keep.any((0, 2))
    np.testing.assert_array_equal(frames, chosen.hands[:, 0])
    told = np.isfinite(labels.risk)
    np.testing.assert_array_equal(told, chosen.labels)
    np.testing.assert_array_equal(labels.risk[told], chosen.risk.risk[told])
    assert (labels.right[frames] == 1).all()
    assert np.isnan(labels.right[~frames]).all()
    # slots without a side: the hand itself tells
    unnamed = replace(points, hands=("p0",))
    same = replace(dets, hands=("p0",))
    again = pseudo_labels(unnamed, same, rig, selection=chosen)
    assert (again.right[frames] == 1).all()
    low, high = labels.box_px[0, frames][..., :2], labels.xy_px[0, frames].min(-2)
    np.testing.assert_allclose(low, high)


def test_other_skeletons_are_judged_by_what_needs_no_hand(take):
    rig = take[0]
    stick = Skeleton(
        name="stick",
        keypoints=("a", "b", "c"),
        edges=((0, 1), (1, 2)),
        groups={"all": (0, 1, 2)},
        colors=((0, 0, 0),) * 3,
    )
    full = take[1]
    dets = replace(full, xy_px=full.xy_px[..., :3, :], conf=full.conf[..., :3], skeleton=stick)
    from multiview.triangulation import triangulate

    points = triangulate(dets, rig)
    chosen = select_labels(points, dets, rig)
    assert chosen.labels[points.valid].mean() > 0.9
    assert "finger swap" not in {r.name for r in chosen.rejections}
    assert HAND_21.name != stick.name


def test_two_views_are_selected_only_if_asked():
    rig = make_rig(np.random.default_rng(0), 2, view_m=0.5)
    dets, points = seen_by(rig, make_hand_motion(np.random.default_rng(1), 10))
    assert points.valid.any()
    assert not select_labels(points, dets, rig).labels.any()
    assert select_labels(points, dets, rig, allow_unvoted=True).labels.any()
