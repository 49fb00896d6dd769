"""From detections to cameras that an adjustment can start from: pairs, groups, rotations."""

from __future__ import annotations

import numpy as np

from multiview._shapes import F64
from multiview.calib.scene_graph import average_rotations, contradicting, groups, triangle_votes
from multiview.calib.scene_pairs import MIN_PARALLAX, MIN_SHARED, Pair, estimate_pair
from multiview.calib.scene_problem import Ints, Tracks
from multiview.core import Rig
from multiview.errors import CalibrationError

__all__ = ["check_tracks", "find_pairs", "relate"]

# With many cameras, each is paired with this many: triangles enough to outvote wrong pairs.
PARTNERS = 6
# A rotation less sure than this says nothing.
VAGUE = np.deg2rad(15.0)
# Triangles that must close for a pair to stay, and how many make a vote.
CLOSING, MIN_TRIANGLES = 0.25, 3


def check_tracks(tracks: Tracks) -> None:
    """Refuse what cannot be calibrated before anything is tried.

    Raises
    ------
    CalibrationError
        Fewer than two cameras, or a camera without points.
    """
    if len(tracks.names) < 2:
        raise CalibrationError(
            f"a rig needs at least two cameras, the detections have {len(tracks.names)}",
            "detect in the footage of all cameras",
        )
    shared = tracks.seen & (tracks.seen.sum(0) >= 2)
    blind = [n for n, c in zip(tracks.names, shared.sum(1), strict=True) if c < MIN_SHARED]
    if blind:
        raise CalibrationError(
            f"camera {', '.join(blind)} shares fewer than {MIN_SHARED} points with any other",
            "film the hand (or wand) where this camera and another see it at the same time, or "
            "leave the camera out",
        )


def find_pairs(
    tracks: Tracks, rig: Rig, *, everything: bool = False
) -> dict[tuple[int, int], Pair]:
    """Relative poses of pairs of cameras that share enough points and are worth using.

    Parameters
    ----------
    tracks
        What was seen.
    rig
        Lenses.
    everything
        All pairs; otherwise, with many cameras, some partners for each.
    """
    focal = focal_px(rig)
    seen = tracks.seen
    found = {}
    for i, j in _choice(seen.astype(np.int64) @ seen.T, everything):
        both = seen[i] & seen[j]
        pair = estimate_pair(
            tracks.xy_norm[i, both],
            tracks.xy_norm[j, both],
            (float(focal[i]), float(focal[j])),
            rig.cameras[j].intrinsics.size_wh,
            seed=i * len(focal) + j,
        )
        if pair is not None and pair.rotation_std < VAGUE:
            found[i, j] = pair
    return found


def focal_px(rig: Rig) -> F64:
    """Mean focal length of every camera, shape (V,), pixels."""
    return np.array([np.sqrt(c.intrinsics.K[0, 0] * c.intrinsics.K[1, 1]) for c in rig.cameras])


def _choice(shared: Ints, everything: bool) -> list[tuple[int, int]]:
    """Pairs to try, in order; drawn with many common points first."""
    V = len(shared)
    i, j = np.triu_indices(V, k=1)
    enough = shared[i, j] >= MIN_SHARED
    i, j = i[enough], j[enough]
    if everything or V <= 2 * PARTNERS:
        return list(zip(i.tolist(), j.tolist(), strict=True))
    # partners that share the most may all stand together: chance mixes near and far
    luck = np.random.default_rng(0).uniform(0.3, 1, len(i))
    degree, chosen = np.zeros(V, int), []
    for k in np.argsort(-shared[i, j] * luck):
        a, b = int(i[k]), int(j[k])
        if min(degree[a], degree[b]) < PARTNERS:
            chosen.append((a, b))
            degree[[a, b]] += 1
    return sorted(chosen)


def relate(
    tracks: Tracks, rig: Rig
) -> tuple[dict[tuple[int, int], Pair], F64, dict[tuple[int, int], float]]:
    """Find pairs that connect all cameras, their averaged rotations, and what contradicts them.

    Raises
    ------
    CalibrationError
        If cameras fall into groups (named, with what to film), or no pair has depth.
    """
    V = len(tracks.names)
    pairs = find_pairs(tracks, rig)
    if len(_parts(pairs, V)) > 1:
        pairs = find_pairs(tracks, rig, everything=True)
    _check_connected(pairs, tracks)
    _check_depth(pairs, tracks)
    kept = _confirmed(pairs, V)
    R = average_rotations(kept, V)
    return kept, R, contradicting(pairs, R)


def _confirmed(pairs: dict[tuple[int, int], Pair], views: int) -> dict[tuple[int, int], Pair]:
    """Drop pairs that most triangles contradict, if the others still connect all cameras."""
    votes = triangle_votes(pairs, views)
    kept = {
        k: p
        for k, p in pairs.items()
        if votes[k][1] < MIN_TRIANGLES or votes[k][0] >= CLOSING * votes[k][1]
    }
    return kept if len(_parts(kept, views)) == 1 else pairs


def _parts(pairs: dict[tuple[int, int], Pair], views: int) -> list[list[int]]:
    if not pairs:
        return [[v] for v in range(views)]
    number = groups(pairs, views)
    return [np.flatnonzero(number == n).tolist() for n in np.unique(number)]


def _check_connected(pairs: dict[tuple[int, int], Pair], tracks: Tracks) -> None:
    parts = _parts(pairs, len(tracks.names))
    if len(parts) == 1:
        return
    text = " | ".join(", ".join(tracks.names[v] for v in part) for part in parts)
    raise CalibrationError(
        f"cameras fall into groups without a usable pair between them: {text}",
        "film the hand (or wand) moving through the whole volume where one camera of each group "
        "sees it at the same time; check that the cameras are in step and that the lenses are "
        "theirs",
    )


def _check_depth(pairs: dict[tuple[int, int], Pair], tracks: Tracks) -> None:
    if all(p.parallax < MIN_PARALLAX for p in pairs.values()):
        raise CalibrationError(
            f"all rays of the cameras {', '.join(tracks.names)} meet at less than "
            f"{np.rad2deg(MIN_PARALLAX):.0f} degrees: depth cannot be told",
            "move the cameras apart, or film closer to them",
        )
    if all(p.shallow for p in pairs.values()):
        raise CalibrationError(
            "the points lie in a plane or hardly move: every pair of cameras has two solutions",
            "move the hand (or wand) through the whole volume, towards the cameras and away",
        )
