from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from calib_scenes import CHARUCO, CHESS, SIZE, Scene, film, gauge_free, pose_errors, ring

from multiview.calib import (
    Board,
    BoardCorners,
    CalibrationResult,
    calibrate_corners,
    report_data,
    report_markdown,
)
from multiview.calib.bundle import adjust
from multiview.calib.gather import gather_sightings
from multiview.calib.layout import lay_out
from multiview.calib.lens_choice import lens_mask
from multiview.calib.problem import State
from multiview.calib.targets import BENDS
from multiview.core import Intrinsics, Rig
from multiview.errors import CalibrationError, InputError

NOISE = 0.3
# The length of a corner error of 0.3 px per coordinate, root mean square; fitted parameters take
# up to 10 % of it.
RMS = NOISE * 2**0.5


@pytest.fixture(scope="module")
def ring8() -> Scene:
    """Eight cameras around a room that only share views with neighbours, and a lot wrong."""
    rng = np.random.default_rng(7)
    return film(ring(rng, 8), CHESS, rng, frames=120, noise=NOISE, outliers=0.02, flips=0.04)


@pytest.fixture(scope="module")
def ring8_result(ring8: Scene) -> CalibrationResult:
    return calibrate_corners(ring8.corners, ring8.board)


def known_inlier_optimum(scene: Scene) -> Rig:
    """Adjust from the truth with the good corners only: no method can expect to do better."""
    xy = np.where(scene.clean[..., None], scene.corners.xy_px, np.nan)
    flipped = [o for o, _ in scene.board.symmetries[1:]]
    truth = np.stack(
        [scene.rig.project(p.apply(_centred(scene.board))) for p in scene.world_from_board], 1
    )
    for order in flipped:  # undo the renumbering, which the truth tells
        far = np.ma.masked_invalid(np.linalg.norm(xy - truth, axis=-1))
        turned = np.ma.median(far, axis=-1).filled(0) > 20
        xy[turned] = xy[turned][:, order]
    gathered = gather_sightings([replace(scene.corners, xy_px=xy)], [scene.board])
    seen = gathered.seen
    frames = np.unique(gathered.frame)
    world = scene.rig.cameras[0].cam_from_world
    poses = [world @ scene.world_from_board[f] for f in frames]
    rig = gauge_free(scene.rig)
    state = State(
        lenses=tuple(c.intrinsics for c in rig.cameras),
        cam_R=rig.cam_from_world[0],
        cam_t=rig.cam_from_world[1],
        board_R=np.stack([p.R for p in poses]),
        board_t=np.stack([p.t for p in poses]),
        bend=np.zeros((1, BENDS)),
    )
    V = len(rig.cameras)
    layout = lay_out(np.arange(V) > 0, np.tile(lens_mask("brown"), (V, 1)))
    end = adjust(state, seen, seen.seen, np.full(V, NOISE), layout, robust=False)
    return Rig(
        cameras=tuple(
            replace(c, intrinsics=i, cam_from_world=replace(c.cam_from_world, R=R, t=t))
            for c, i, R, t in zip(rig.cameras, end.lenses, end.cam_R, end.cam_t, strict=True)
        )
    )


def _centred(board: Board) -> np.ndarray:
    return board.object_points - board.object_points.mean(0)


def test_a_ring_of_cameras_is_as_good_as_if_the_outliers_were_known(
    ring8: Scene, ring8_result: CalibrationResult
) -> None:
    result = ring8_result
    angle, shift = pose_errors(result.rig, ring8.rig)
    best_angle, best_shift = pose_errors(known_inlier_optimum(ring8), ring8.rig)
    # both err by the same noise; the turned views' corners and the odd corner dropped differ
    assert angle < 1.3 * best_angle + 0.01
    assert shift < 1.3 * best_shift + 0.1
    assert result.rms_px == pytest.approx(RMS, rel=0.1)
    assert result.rig.names == ring8.rig.names
    kept = result.inlier
    bad = result.corners.valid & ~_clean_as_numbered(ring8, result.corners)
    assert (kept & bad).sum() <= 0.02 * bad.sum()  # gross outliers start at 6 px, 20 sigma
    assert (~kept & result.corners.valid & ~bad).sum() <= 1e-3 * kept.sum()
    assert [c.rejected for c in result.cameras] == (result.corners.valid & ~kept).sum(
        (1, 2)
    ).tolist()


def _clean_as_numbered(scene: Scene, corners: BoardCorners) -> np.ndarray:
    clean = scene.clean.copy()
    turned = np.nansum(np.abs(corners.xy_px - scene.corners.xy_px), axis=(-1, -2)) > 0
    clean[turned] = clean[turned][:, ::-1]
    return clean


def test_held_out_figures_are_those_of_the_noise(ring8_result: CalibrationResult) -> None:
    held = ring8_result.heldout
    assert held.boards > 5
    # boards left out fit as well as the others, up to the cameras' own error
    assert held.rms_px == pytest.approx(RMS, rel=0.15)
    # posed from other views, a board is predicted with more error than noise, but not wildly
    assert RMS < held.predicted_px < 4 * RMS
    assert 0 < held.triangulated_mm < 5


def test_board_poses_belong_to_the_rig(ring8: Scene, ring8_result: CalibrationResult) -> None:
    result = ring8_result
    R, t = result.world_from_board_R, result.world_from_board_t
    xyz = np.einsum("fij,cj->fci", R, result.boards[0].xyz_board) + t[:, None]
    error = result.rig.project(xyz) - result.corners.xy_px
    np.testing.assert_allclose(error[result.inlier], result.residual_px[result.inlier], atol=1e-6)


def test_chessboards_numbered_from_either_end_at_random() -> None:
    rng = np.random.default_rng(17)
    board = Board(kind="chessboard", columns=8, rows=6, square_m=0.02)
    scene = film(ring(rng, 5, arc=np.pi), board, rng, frames=60, noise=NOISE, flips=0.5)
    result = calibrate_corners(scene.corners, board)
    angle, shift = pose_errors(result.rig, scene.rig)
    best_angle, best_shift = pose_errors(known_inlier_optimum(scene), scene.rig)
    assert angle < 1.3 * best_angle + 0.01
    assert shift < 1.3 * best_shift + 0.1
    assert result.inlier.sum() > 0.999 * result.corners.valid.sum()


def test_boards_left_out_are_left_out() -> None:
    """With little footage the cameras bend to the boards they are fitted to, not to the others."""
    ratios = []
    for seed in range(6):
        rng = np.random.default_rng(200 + seed)
        board = Board(kind="chessboard", columns=4, rows=3, square_m=0.06)
        scene = film(ring(rng, 2, arc=0.6), board, rng, frames=24, noise=NOISE)
        result = calibrate_corners(scene.corners, board)
        ratios.append(result.heldout.rms_px / result.rms_px)
    # 24 boards of 12 corners in 2 views leave 1100 equations for 165 unknowns, so fitted errors are
    # about 8 % below the noise; those left out carry 6 unknowns in 48 and the cameras' error
    assert np.mean(ratios) > 1.04


def test_charuco_in_parts_with_outliers() -> None:
    rng = np.random.default_rng(8)
    scene = film(ring(rng, 4, arc=np.pi), CHARUCO, rng, frames=60, noise=NOISE, outliers=0.02)
    result = calibrate_corners(scene.corners, scene.board)
    angle, shift = pose_errors(result.rig, scene.rig)
    best_angle, best_shift = pose_errors(known_inlier_optimum(scene), scene.rig)
    assert angle < 1.3 * best_angle + 0.01
    assert shift < 1.3 * best_shift + 0.1


def test_exact_corners_give_the_exact_rig() -> None:
    rng = np.random.default_rng(9)
    scene = film(ring(rng, 3, arc=1.5), CHARUCO, rng, frames=40, noise=0)
    result = calibrate_corners(scene.corners, scene.board)
    angle, shift = pose_errors(result.rig, scene.rig)
    # only the priors on the lenses stand between this and zero: 1e-4 of the noise floor's weight
    assert angle < 1e-3
    assert shift < 0.01
    for ours, true in zip(result.rig.cameras, scene.rig.cameras, strict=True):
        np.testing.assert_allclose(ours.intrinsics.K, true.intrinsics.K, atol=0.05)


def test_the_order_of_cameras_does_not_matter(
    ring8: Scene, ring8_result: CalibrationResult
) -> None:
    order = [3, 0, 6, 1, 2, 7, 5, 4]
    c = ring8.corners
    shuffled = replace(
        c,
        xy_px=c.xy_px[order],
        camera_names=tuple(c.camera_names[i] for i in order),
        sizes_wh=tuple(c.sizes_wh[i] for i in order),
    )
    first = ring8_result.rig.select([c.camera_names[i] for i in order])
    second = calibrate_corners(shuffled, CHESS).rig
    # the same minimum reached another way, to a fraction of the parameters' spread
    angle, shift = pose_errors(second, first)
    assert angle < 0.01
    assert shift < 0.2


def test_known_lenses_stay_as_they_are_unless_asked(ring8: Scene) -> None:
    given = {c.name: c.intrinsics for c in ring8.rig.cameras[:3]}
    rig = calibrate_corners(ring8.corners, CHESS, intrinsics=given).rig
    for name, lens in given.items():
        assert rig.select([name]).cameras[0].intrinsics is lens
    moved = calibrate_corners(ring8.corners, CHESS, intrinsics=given, refine_intrinsics=True).rig
    assert not np.array_equal(moved.cameras[0].intrinsics.K, given["cam0"].K)
    np.testing.assert_allclose(moved.cameras[0].intrinsics.K, given["cam0"].K, atol=8)


@pytest.mark.parametrize(
    ("change", "words"), [({"nobody": SIZE}, "nobody"), ({"cam0": (640, 480)}, "640")]
)
def test_lenses_of_other_footage_are_refused(
    ring8: Scene, change: dict[str, tuple[int, int]], words: str
) -> None:
    lens = ring8.rig.cameras[0].intrinsics
    given = {n: replace(lens, size_wh=s) for n, s in change.items()}
    with pytest.raises(InputError, match=words):
        calibrate_corners(ring8.corners, CHESS, intrinsics=given)


def test_a_fisheye_rig() -> None:
    rng = np.random.default_rng(10)
    rig = ring(rng, 3, arc=1.5)
    K = np.array([[420.0, 0, 640], [0, 420, 480], [0, 0, 1]])
    lens = Intrinsics(K=K, dist=np.array([0.03, -0.01, 0.002, 0]), size_wh=SIZE, model="fisheye")
    rig = Rig(cameras=tuple(replace(c, intrinsics=lens) for c in rig.cameras))
    scene = film(rig, CHARUCO, rng, frames=60, noise=0.1)
    result = calibrate_corners(scene.corners, CHARUCO, lens="fisheye")
    angle, shift = pose_errors(result.rig, rig)
    # a third of the ring's noise at 0.42 of its focal length
    assert angle < 0.3
    assert shift < 5
    assert result.rms_px == pytest.approx(0.1 * 2**0.5, rel=0.1)


def test_one_camera_alone_is_a_rig() -> None:
    rng = np.random.default_rng(11)
    scene = film(ring(rng, 1), CHARUCO, rng, frames=30, noise=0.2)
    result = calibrate_corners(scene.corners, CHARUCO)
    lens, true = result.rig.cameras[0].intrinsics, scene.rig.cameras[0].intrinsics
    std = result.cameras[0].focal_std
    assert abs(lens.K[0, 0] / true.K[0, 0] - 1) < 4 * std
    assert np.isnan(result.heldout.rms_px)
    given = calibrate_corners(scene.corners, CHARUCO, intrinsics={"cam0": true})
    assert given.rig.cameras[0].intrinsics is true
    assert "given" in report_markdown(given)


def test_the_stated_spread_is_the_real_one() -> None:
    """Errors of focal lengths over their stated standard deviations are of size one."""
    ratios = []
    for seed in range(4):
        rng = np.random.default_rng(100 + seed)
        scene = film(ring(rng, 4, arc=np.pi), CHARUCO, rng, frames=40, noise=NOISE)
        result = calibrate_corners(scene.corners, CHARUCO)
        for c, ours, true in zip(
            result.cameras, result.rig.cameras, scene.rig.cameras, strict=True
        ):
            error = ours.intrinsics.K[0, 0] / true.intrinsics.K[0, 0] - 1
            ratios.append(error / c.focal_std)
    # 16 draws: their root mean square is 1 within 0.18 per sigma; three sigmas
    assert 0.45 < np.sqrt(np.mean(np.square(ratios))) < 1.6


def test_cameras_that_never_share_a_view_are_named() -> None:
    rng = np.random.default_rng(12)
    scene = film(ring(rng, 4, arc=np.pi), CHARUCO, rng, frames=60)
    xy = scene.corners.xy_px.copy()
    both = ~np.isnan(xy[:2]).all((0, 2, 3)) & ~np.isnan(xy[2:]).all((0, 2, 3))
    xy[2:, both] = np.nan
    with pytest.raises(CalibrationError) as caught:
        calibrate_corners(replace(scene.corners, xy_px=xy), CHARUCO)
    assert "cam0, cam1 | cam2, cam3" in caught.value.what
    assert "cam1 and cam2" in caught.value.next_step


def test_a_camera_that_never_sees_the_board_is_named() -> None:
    rng = np.random.default_rng(13)
    scene = film(ring(rng, 3, arc=1.5), CHARUCO, rng, frames=12)
    xy = scene.corners.xy_px.copy()
    xy[1] = np.nan
    hints = ("", "the board is found with inverted: true", "")
    with pytest.raises(CalibrationError) as caught:
        calibrate_corners(replace(scene.corners, xy_px=xy, hints=hints), CHARUCO)
    assert all(w in caught.value.what for w in ["cam1", "12 frames", "inverted: true", "7x5"])
    assert "cam0" not in caught.value.what


def test_boards_seen_face_on_only_are_refused() -> None:
    rng = np.random.default_rng(14)
    scene = film(ring(rng, 2, arc=0.4), CHARUCO, rng, frames=4)
    xyz = _centred(CHARUCO)
    # two cameras in one place, which is all the harder
    facing = gauge_free(scene.rig).cameras[0]
    xy = np.full((2, 20, len(xyz), 2), np.nan)
    for f in range(20):
        shift = np.append(rng.uniform(-0.2, 0.2, 2), 1 + 0.02 * f)
        xy[:, f] = facing.project(xyz + shift)
    xy += rng.normal(0, NOISE, xy.shape)
    corners = replace(scene.corners, xy_px=xy, frame_ids=np.arange(20))
    with pytest.raises(CalibrationError, match=r"cam0: .* leave the focal length open") as caught:
        calibrate_corners(corners, CHARUCO)
    assert "tilted" in caught.value.next_step
    # with the lens known the same footage will do
    lens = facing.intrinsics
    calibrate_corners(corners, CHARUCO, intrinsics={"cam0": lens, "cam1": lens})


def test_two_boards_are_too_few() -> None:
    rng = np.random.default_rng(15)
    scene = film(ring(rng, 2, arc=0.4), CHARUCO, rng, frames=2)
    with pytest.raises(CalibrationError, match="in 2 frames; its lens needs 3"):
        calibrate_corners(scene.corners, CHARUCO)


def test_corners_of_another_board_are_refused(ring8: Scene) -> None:
    with pytest.raises(InputError, match="54 per frame"):
        calibrate_corners(ring8.corners, CHARUCO)


def test_a_wrong_square_size_only_scales() -> None:
    rng = np.random.default_rng(16)
    scene = film(ring(rng, 3, arc=1.5), CHARUCO, rng, frames=30)
    big = CHARUCO.model_copy(update={"square_m": 0.08, "marker_m": 0.06})
    small_rig = calibrate_corners(scene.corners, CHARUCO).rig
    big_rig = calibrate_corners(scene.corners, Board(**big.model_dump())).rig
    np.testing.assert_allclose(big_rig.centres_world, 2 * small_rig.centres_world, atol=1e-3)


def test_the_report_holds_every_camera_and_is_plain(
    ring8_result: CalibrationResult,
) -> None:
    result = ring8_result
    data = json.loads(json.dumps(report_data(result), allow_nan=False))
    assert [c["name"] for c in data["cameras"]] == list(result.rig.names)
    assert data["rms_px"] == result.rms_px
    text = report_markdown(result)
    assert all(f"| {name} |" in text for name in result.rig.names)
    assert "calibrated with chessboard" in result.rig.about
