from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from calib_scenes import Scene, film, gauge_free, pose_errors, ring

from multiview.calib import Board
from multiview.calib.edges import pair_edges
from multiview.calib.extrinsics import chain_cameras, check_connected, pose_boards
from multiview.calib.gather import gather_sightings
from multiview.calib.pnp import Candidates, fit_planes, pose_candidates
from multiview.calib.problem import Sightings
from multiview.calib.targets import gather_targets
from multiview.core import Camera, Pose, Rig

BOARD = Board(kind="chessboard", columns=8, rows=6, square_m=0.02)
NOISE = 0.3
# Relative poses from tens of single boards at 0.3 px, before any adjustment: a few tenths of a
# degree; a wrong vote is tens of degrees off.
START_DEG, START_MM = 1.0, 40.0


@pytest.fixture(scope="module")
def scene() -> Scene:
    rng = np.random.default_rng(20)
    return film(ring(rng, 5, arc=np.pi), BOARD, rng, frames=80, noise=NOISE)


def posed(scene: Scene, turned: tuple[int, ...] = ()) -> tuple[Sightings, Candidates]:
    """Sightings and candidates with the true lenses; some cameras number from the other end."""
    xy = scene.corners.xy_px.copy()
    xy[list(turned)] = xy[list(turned), :, ::-1]
    seen = gather_sightings([replace(scene.corners, xy_px=xy)], [BOARD]).seen
    lenses = tuple(c.intrinsics for c in scene.rig.cameras)
    return seen, pose_candidates(seen, fit_planes(seen), lenses, np.full(5, NOISE))


def chained(scene: Scene, seen: Sightings, poses: Candidates) -> Rig:
    edges = pair_edges(seen, poses, 5)
    R, t, _ = chain_cameras(edges, scene.rig.names)
    return Rig(
        cameras=tuple(
            Camera(name=c.name, intrinsics=c.intrinsics, cam_from_world=Pose(R=a, t=b))
            for c, a, b in zip(scene.rig.cameras, R, t, strict=True)
        )
    )


def test_votes_bear_boards_taken_for_their_other_planar_pose(scene: Scene) -> None:
    seen, poses = posed(scene)
    swap = np.random.default_rng(21).random(len(seen.view)) < 0.7
    mixed = {n: getattr(poses, n).copy() for n in poses.__slots__}
    for values in mixed.values():
        values[swap] = values[swap, ::-1]
    angle, shift = pose_errors(chained(scene, seen, Candidates(**mixed)), scene.rig)
    assert angle < START_DEG
    assert shift < START_MM


@pytest.mark.parametrize("turned", [(), (1,), (0, 2, 4)])
def test_votes_bear_cameras_that_number_from_the_other_end(
    scene: Scene, turned: tuple[int, ...]
) -> None:
    seen, poses = posed(scene, turned)
    rig = chained(scene, seen, poses)
    angle, shift = pose_errors(rig, scene.rig)
    assert angle < START_DEG
    assert shift < START_MM
    lenses = tuple(c.intrinsics for c in rig.cameras)
    _, numbered = pose_boards(seen, poses, lenses, rig.cam_from_world)
    original = gather_sightings([scene.corners], [BOARD]).seen
    same = (numbered.xy_px == original.xy_px).all((1, 2))
    # either all views of a board are as filmed, or all are turned
    for b in np.unique(seen.board):
        assert np.unique(same[seen.board == b]).size == 1


def test_the_surest_path_is_taken_around_a_bad_pair(scene: Scene) -> None:
    seen, poses = posed(scene)
    edges = pair_edges(seen, poses, 5)
    direct = edges[0, 1]
    edges[0, 1] = replace(direct, R=np.eye(3), t=np.ones(3), variance=1e6 * direct.variance)
    _, _, used = chain_cameras(edges, scene.rig.names)
    assert (0, 1) not in used
    assert len(used) == 4


def test_variance_of_a_pair_is_its_error(scene: Scene) -> None:
    seen, poses = posed(scene)
    truth = gauge_free(scene.rig).cameras
    for (a, b), edge in pair_edges(seen, poses, 5).items():
        if edge.agree < 5:
            continue
        true = truth[a].cam_from_world @ truth[b].cam_from_world.inv
        trace = np.trace(edge.R @ true.R.T)
        angle = np.arccos(np.clip((trace - 1) / 2, -1, 1))
        # the variance is a cautious one: it holds a floor for lenses that are not exact
        assert angle < 3 * np.sqrt(edge.variance)


def test_connected_through_others_is_connected() -> None:
    chain = Sightings(
        view=np.array([0, 1, 1, 2, 2, 3]),
        board=np.array([0, 0, 1, 1, 2, 2]),
        target=np.zeros(6, np.int64),
        xy_px=np.zeros((6, len(BOARD.object_points), 2)),
        targets=gather_targets([BOARD]),
    )
    check_connected(chain, ("a", "b", "c", "d"))
