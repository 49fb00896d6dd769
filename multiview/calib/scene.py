"""Calibrate a rig without a board: from the hands, wand or person that all cameras see.

Lenses are known; poses come from the scene. Pairs of cameras give relative poses, their rotations
are averaged and checked against one another, cameras are posed one by one, and everything is
adjusted together. Two hands are told apart by geometry, first pair by pair, then by the whole rig.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.scene_config import SceneConfig
from multiview.calib.scene_covariance import known_rig, scene_covariance, similar_covariance
from multiview.calib.scene_grow import grow
from multiview.calib.scene_hands import order_by_opinion, turned_views, with_turned
from multiview.calib.scene_pairs import MIN_SHARED
from multiview.calib.scene_pick import Takes, pick
from multiview.calib.scene_problem import (
    Ints,
    SceneState,
    Tracks,
)
from multiview.calib.scene_result import SceneCamera, SceneResult
from multiview.calib.scene_scale import (
    KnownBaseline,
    KnownLength,
    Scale,
    align_poses,
    measure_length,
)
from multiview.calib.scene_solve import Solved, chosen_lenses, confident, make_tracks, posed_rig
from multiview.calib.scene_start import check_tracks, find_pairs, focal_px, relate
from multiview.calib.threads import one_blas_thread
from multiview.core import Detections, Rig
from multiview.errors import CalibrationError, InputError

__all__ = ["calibrate_scene", "finish"]

# Figures that are worth a warning.
MANY_REJECTED, ALIKE = 0.3, 4.0
# Contradicting pairs that are named.
FEW = 3


@one_blas_thread
def calibrate_scene(
    dets: Detections,
    lenses: Rig,
    *,
    scale: Scale | None = None,
    config: SceneConfig | None = None,
) -> SceneResult:
    """Find the poses of all cameras from what they saw.

    Parameters
    ----------
    dets
        Detections of a take: candidates, or hands in order.
    lenses
        A rig with the intrinsics of every camera of ``dets``; its poses are not used.
    scale
        A known length between two keypoints, a known distance between two cameras, or a rig to lay
        the result onto. Without it the unit is the distance of two cameras, and the rig says so.
    config
        See `SceneConfig`.

    Raises
    ------
    CalibrationError
        If the scene does not determine the rig: too few common points, cameras without common
        points (groups are named), no depth, or a length that was never seen.
    InputError
        If a camera has no lens, or lenses are for another picture size.
    """
    config = config or SceneConfig()
    rig = chosen_lenses(dets, lenses)
    dets = confident(order_by_opinion(dets), config.min_conf)
    tracks, at = make_tracks(dets, rig)
    check_tracks(tracks)
    if not dets.hands and dets.conf.shape[2] > 1:
        dets = _unturned(dets, tracks, at, rig)
        tracks, at = make_tracks(dets, rig)
    pairs, R, against = relate(tracks, rig)
    # pairs that went wrong are noisier: the lower quartile is that of the good ones
    noise = float(np.quantile([p.sigma_px for p in pairs.values()], 0.25))
    grown = grow(tracks, pairs, R, noise)
    solved = pick(grown, Takes(tracks=tracks, at=at, detections=dets, lenses=rig), noise, config)
    names = tracks.names
    contradictions = tuple((names[i], names[j], a) for (i, j), a in sorted(against.items()))
    return finish(solved, rig, scale, contradictions)


def _unturned(dets: Detections, tracks: Tracks, at: Ints, rig: Rig) -> Detections:
    """Exchange left and right in views where the pairs of cameras say so."""
    V, F, H, K = dets.conf.shape
    pairs = find_pairs(tracks, rig)
    if not pairs:
        return dets
    whole = Tracks.of(rig, dets.xy_px.reshape(V, -1, 2), np.repeat(np.arange(F), H * K))
    return with_turned(dets, turned_views(whole, pairs, (F, K), focal_px(rig)))


def finish(
    solved: Solved,
    lenses: Rig,
    scale: Scale | None,
    contradictions: Sequence[tuple[str, str, float]] = (),
) -> SceneResult:
    """Give the fit its scale and world, its figures and its warnings."""
    fit, obs = solved.fit, solved.obs
    _check_carried(solved, lenses.names)
    covariance, alike = scene_covariance(fit, obs, solved.free)
    covariance = covariance * max(alike, 1.0)
    xyz = _points(solved)
    factor, turn, shift, unit, frame, scale_std = _metres(fit.state, xyz, solved, lenses, scale)
    R = fit.state.R @ turn.T
    state = replace(fit.state, R=R, t=factor * fit.state.t - np.einsum("vij,j->vi", R, shift))
    covariance = similar_covariance(covariance, R, factor, shift)
    length = np.linalg.norm(fit.residual_px, axis=-1)[fit.inlier]
    rms = float(np.sqrt((length**2).mean()))
    about = (
        f"{frame}; poses from the scene ({len(np.unique(obs.frame))} frames, "
        f"{int(fit.inlier.sum())} observations, {solved.detections.source}), rms {rms:.2f} px"
    )
    V, F, H, K = solved.detections.conf.shape
    inlier = np.zeros((V, F * H * K), bool)
    inlier[obs.view[fit.inlier], solved.at[obs.point[fit.inlier]]] = True
    figures = _figures(solved, covariance, lenses.names)
    return SceneResult(
        rig=known_rig(posed_rig(state, lenses, unit, about), covariance),
        covariance=covariance,
        scale_std=scale_std,
        alike=alike,
        rms_px=rms,
        cameras=figures,
        xyz_world=factor * xyz @ turn.T + shift,
        inlier=inlier.reshape(V, F, H, K),
        detections=solved.detections,
        contradicting=tuple(contradictions),
        warnings=_warnings(solved, figures, alike, unit, contradictions),
    )


def _check_carried(solved: Solved, names: Sequence[str]) -> None:
    """Refuse a camera that hardly anything holds in its place."""
    fit = solved.fit
    count = np.bincount(solved.obs.view[fit.inlier], minlength=len(names))
    lost = [n for n, c in zip(names, count, strict=True) if c < MIN_SHARED // 2]
    if lost:
        raise CalibrationError(
            f"camera {', '.join(lost)}: what it saw does not agree with the other cameras",
            "check that it is in step with the others, that its intrinsics are its own, and that "
            "it did not move during the take",
        )


def _points(solved: Solved) -> F64:
    """Points that carry the fit, shape (F, H, K, 3); NaN elsewhere."""
    _, F, H, K = solved.detections.conf.shape
    fit = solved.fit
    carried = np.bincount(solved.obs.point[fit.inlier], minlength=len(fit.state.xyz)) >= 2
    out = np.full((F * H * K, 3), np.nan)
    out[solved.at[carried]] = fit.state.xyz[carried]
    return out.reshape(F, H, K, 3)


def _metres(
    state: SceneState, xyz: F64, solved: Solved, lenses: Rig, scale: Scale | None
) -> tuple[float, F64, F64, str, str, float]:
    """Similarity from the fit's world to the rig's, unit, name of the frame, error of the scale."""
    first = f"world = frame of camera {lenses.names[0]} (x right, y down, z forward)"
    centres = -np.einsum("vji,vj->vi", state.R, state.t)
    still = np.eye(3), np.zeros(3)
    if isinstance(scale, Rig):
        old = scale.select(lenses.names)
        s, R, t = align_poses(state, old)
        return s, R, t, scale.unit, "world and scale of the rig it was laid onto", 0.0
    if isinstance(scale, KnownLength):
        length, error = measure_length(xyz, solved.detections.skeleton, scale)
        about = f"{first}, metres from {scale.first}-{scale.second} = {scale.metres:g} m"
        return scale.metres / length, *still, "m", f"{about} (to {error:.2%})", error
    if isinstance(scale, KnownBaseline):
        a, b = (_camera_number(lenses, n) for n in (scale.first, scale.second))
        length = float(np.linalg.norm(centres[a] - centres[b]))
        about = f"{first}, metres from {scale.first} to {scale.second} = {scale.metres:g} m"
        return scale.metres / length, *still, "m", about, 0.0
    far = int(np.linalg.norm(centres - centres[0], axis=-1).argmax())
    unit = f"distance {lenses.names[0]} to {lenses.names[far]}"
    length = float(np.linalg.norm(centres[far] - centres[0]))
    return 1 / length, *still, unit, f"{first}, scale unknown: the unit is the {unit}", float("nan")


def _camera_number(rig: Rig, name: str) -> int:
    if name not in rig.names:
        raise InputError(
            f"camera {name} of the known distance is not in the detections",
            f"cameras are {', '.join(rig.names)}",
        )
    return rig.names.index(name)


def _figures(solved: Solved, covariance: F64, names: Sequence[str]) -> tuple[SceneCamera, ...]:
    fit, obs = solved.fit, solved.obs
    variance = np.diag(covariance).reshape(-1, 2, 3).sum(-1)
    out = []
    for v, name in enumerate(names):
        mine, kept = obs.view == v, (obs.view == v) & fit.inlier
        square = (fit.residual_px[kept] ** 2).sum(-1)
        out.append(
            SceneCamera(
                name=name,
                points=int(mine.sum()),
                rejected=int((mine & ~fit.inlier).sum()),
                rms_px=float(np.sqrt(square.mean())) if square.size else float("nan"),
                noise_px=float(fit.sigma_px[v]),
                rotation_std=float(np.sqrt(variance[v, 0])),
                position_std=float(np.sqrt(variance[v, 1])),
                focal_scale=float(np.exp(fit.state.log_focal[v])),
            )
        )
    return tuple(out)


def _warnings(
    solved: Solved,
    figures: Sequence[SceneCamera],
    alike: float,
    unit: str,
    contradictions: Sequence[tuple[str, str, float]],
) -> tuple[str, ...]:
    out = [
        f"{c.name}: {c.rejected} of {c.points} observations dropped: out of step, moved during the "
        "take, or a wrong lens?"
        for c in figures
        if c.rejected > MANY_REJECTED * c.points
    ]
    worst = sorted(contradictions, key=lambda c: -c[2])
    out += [
        f"{a} and {b} by themselves contradict the other pairs by {np.rad2deg(angle):.1f} degrees"
        for a, b, angle in worst[:FEW]
    ]
    if len(worst) > FEW:
        out.append(f"{len(worst) - FEW} more pairs of cameras contradict the others")
    if alike > ALIKE:
        out.append(
            f"errors of one frame are alike (variance x {alike:.0f}): the detector errs on whole "
            "hands, and a bias that lasts is in no standard deviation here"
        )
    if unit.startswith("distance"):
        out.append(f"the scale is unknown: lengths are in units of the {unit}; give --scale")
    if not solved.fit.converged:
        out.append("the choice of observations did not settle")
    return tuple(out)
