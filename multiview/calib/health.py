"""Is this rig still true? Footage of a board or of hands against a rig file, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import f as f_distribution

from multiview._shapes import F64
from multiview.calib.board import Board
from multiview.calib.corners import BoardCorners
from multiview.calib.health_faults import FALSE_ALARM, Explained, explain
from multiview.calib.health_footage import board_footage, check_names, hand_footage
from multiview.calib.health_gross import (
    MixUp,
    Setup,
    duplicates,
    find_mix_ups,
    fit_sizes,
    rescaled,
)
from multiview.calib.health_model import view_rows
from multiview.calib.health_result import CameraHealth, Finding, HealthReport
from multiview.calib.health_scale import board_scale, hand_length
from multiview.calib.health_start import (
    T_SCALE,
    UNLIKELY,
    Start,
    corner_noise_px,
    hand_tolerance_px,
    number_all,
)
from multiview.calib.health_statistics import BLOCKS
from multiview.calib.health_words import effect_finding, mix_up_finding, scale_finding
from multiview.calib.threads import one_blas_thread
from multiview.core import Detections, Rig

__all__ = ["BOARD_FLOOR_MM", "HAND_FLOOR_SHARE", "check_corners", "check_detections"]

# What a rig may be off without anyone caring: hands are labelled to a few millimetres.
BOARD_FLOOR_MM = 1.0
# Of a hand's length: keypoints are defined, and detected, no better than that.
HAND_FLOOR_SHARE = 0.02
# Wrist to middle tip along the bones of an adult, metres, and its range (Buryanov and Kotiuk, 2010,
# and common hand lengths): outside, the rig is in other units.
HAND_M, HAND_RANGE = 0.18, 1.4
# A scale that is off by more is settled before anything else is looked at.
GROSS_SCALE = 0.1
# A camera of twice the others' noise counts for a quarter of them.
BLUR_RATIO = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """Everything that the findings are read from."""

    setup: Setup
    begin: Start
    found: Explained
    mix_ups: tuple[MixUp, ...]
    scale: Finding | None
    timing: bool
    floor_mm: float


@one_blas_thread
def check_corners(
    corners: BoardCorners,
    board: Board,
    rig: Rig,
    *,
    times: F64 | None = None,
    sharpness_px: F64 | None = None,
    floor_mm: float = BOARD_FLOOR_MM,
) -> HealthReport:
    """Check a rig with footage of a board.

    Parameters
    ----------
    corners, board
        What was found, and what was filmed.
    rig
        What is to be checked; has every camera of the corners.
    times
        Stamps of the pictures, seconds, shape (V, F) in the corners' order; without them offsets
        are told in frames.
    sharpness_px
        Width of edges at the corners per camera, shape (V,), where the pictures are at hand.
    floor_mm
        Displacements below this, as seen where the board was, are no fault.

    Raises
    ------
    InputError
        If rig and footage have no two cameras in common, or the board is never seen by two.
    """
    names, absent = check_names(corners.camera_names, rig)
    footage = board_footage(corners, board, names, times)
    rig = rig.select(names)
    use = footage.frames_to_use()
    first = Setup(
        rig=rig, footage=footage, use=use, tolerance_px=corner_noise_px(rig, footage, use)
    )
    setup, sizes = fit_sizes(first)
    if sizes:
        setup = replace(setup, tolerance_px=corner_noise_px(setup.rig, footage, use))
    ratio, spread = board_scale(setup)
    scale = None
    if abs(np.log(ratio)) > np.log1p(GROSS_SCALE):
        scale = scale_finding(ratio, spread, names, board)
        setup = replace(setup, rig=rescaled(setup.rig, 1 / ratio))
    checked = _check(setup, sizes, scale, floor_mm)
    edges = None
    if sharpness_px is not None:
        edges = sharpness_px[[corners.camera_names.index(n) for n in names]]
    return _report(checked, absent, board, edges)


@one_blas_thread
def check_detections(dets: Detections, rig: Rig, *, floor_mm: float | None = None) -> HealthReport:
    """Check a rig with hands.

    Parameters
    ----------
    dets
        Detections, as found or ordered into left and right.
    rig
        What is to be checked; has every camera of the detections.
    floor_mm
        Displacements below this are no fault; by default 2 % of the length of a hand.

    Raises
    ------
    InputError
        As in `check_corners`.
    """
    names, absent = check_names(dets.camera_names, rig)
    footage = hand_footage(dets, names)
    rig = rig.select(names)
    use = footage.frames_to_use()
    setup = Setup(rig=rig, footage=footage, use=use, tolerance_px=hand_tolerance_px(footage, use))
    setup, sizes = fit_sizes(setup)
    middle = dets.skeleton.groups.get("middle")
    scale = None
    if middle is not None:
        length, spread = hand_length(setup.start(), (0, *middle))
        ratio = length / HAND_M
        if np.isfinite(ratio) and abs(np.log(ratio)) > np.log(HAND_RANGE):
            if rig.unit == "m":
                scale = scale_finding(ratio, spread / HAND_M, names, None)
            setup = replace(setup, rig=rescaled(setup.rig, 1 / ratio))
    floor = 1000 * HAND_M * HAND_FLOOR_SHARE if floor_mm is None else floor_mm
    return _report(_check(setup, sizes, scale, floor), absent, None, None)


def _check(setup: Setup, sizes: list[MixUp], scale: Finding | None, floor_mm: float) -> _Checked:
    """Mix-ups first, then what can be fitted."""
    twice = duplicates(setup.rig, setup.footage)
    setup, twins = _without_twins(setup, twice)
    setup, _, mix_ups = find_mix_ups(setup, setup.start())
    footage = number_all(setup.rig, setup.footage, setup.tolerance_px)
    setup = replace(setup, footage=footage)
    begin = setup.start()
    noise = begin.model.scale_px / T_SCALE
    timing = begin.scene.tracks.smooth(noise)
    kinds: tuple[str, ...] = ("moved", "turned", "zoom")
    kinds += ("offset", "drift") if timing else ()
    kinds += ("scale",) if setup.footage.solid is not None and scale is None else ()
    found = explain(begin.scene, begin.model, floor_mm=floor_mm, kinds=kinds)
    return _Checked(
        setup=setup,
        begin=begin,
        found=found,
        mix_ups=(*sizes, *twins, *mix_ups),
        scale=scale,
        timing=timing,
        floor_mm=floor_mm,
    )


def _without_twins(setup: Setup, twice: list[MixUp]) -> tuple[Setup, list[MixUp]]:
    """Find which name of a duplicate is wrong, and leave its pictures out of what follows."""
    out = []
    for mix_up in twice:
        losses = []
        for v in mix_up.views:
            blank = setup.with_pixels(v, lambda xy: np.full_like(xy, np.nan))
            left = int(blank.footage.seen[:, setup.use].sum())
            losses.append((blank.start().loss / max(left, 1), v, blank))
        losses.sort(key=lambda t: t[0])
        (_, wrong, setup), right = losses[0], losses[1][1]
        out.append(replace(mix_up, views=(wrong, right)))
    return setup, out


def _report(
    checked: _Checked, absent: tuple[str, ...], board: Board | None, edges: F64 | None
) -> HealthReport:
    names = checked.setup.footage.names
    findings = [mix_up_finding(m, names) for m in checked.mix_ups]
    findings += [checked.scale] if checked.scale else []
    footage, found = checked.setup.footage, checked.found
    interval = checked.begin.scene.tracks.interval_s
    for effect in found.effects:
        if not _insufficient(checked, effect.fault.view):
            findings.append(effect_finding(effect, footage, interval, board))
    findings += _blurred(checked, edges)
    findings += _unexplained(checked, findings)
    seen = footage.seen[:, checked.setup.use]
    return HealthReport(
        findings=tuple(findings),
        cameras=_cameras(checked),
        smallest_mm=found.smallest_mm,
        notes=tuple(_notes(checked, absent)),
        footage=f"{footage.what[0].upper()}{footage.what[1:]} in {len(checked.setup.use)} frames, "
        f"{int(seen.sum())} points in {len(names)} cameras.",
        corrected=_corrected(checked),
    )


def _corrected(checked: _Checked) -> Rig | None:
    """Return the rig with all that was fitted, if the rig was at fault."""
    kinds = {e.fault.kind for e in checked.found.effects}
    if checked.scale is None and not kinds & {"moved", "turned", "zoom", "scale"}:
        return None
    if any(m.kind in {"size", "swapped", "mirrored", "turned pictures"} for m in checked.mix_ups):
        return None
    rig = checked.found.model.rig(checked.begin.scene.rig)
    return replace(rig, about=f"{rig.about}; corrected by multiview calib check".strip("; "))


def _noise(checked: _Checked) -> F64:
    return np.where(checked.found.linear.count > 0, checked.found.model.scale_px / T_SCALE, np.nan)


def _blurred(checked: _Checked, edges: F64 | None) -> list[Finding]:
    """Cameras whose corners are far noisier, or whose edges far wider, than the others'."""
    names, out = checked.setup.footage.names, []
    hands = checked.setup.footage.solid is None
    # of a board each picture tells by itself; hands have no shape that a picture could be held to
    noise = _noise(checked) if hands else checked.setup.tolerance_px
    for v, name in enumerate(names):
        others = np.delete(noise, v)
        if not np.isfinite(noise[v]) or np.isfinite(others).sum() < 2:
            continue
        usual = float(np.nanmedian(others))
        ratio = float(noise[v] / usual)
        blocks = min(BLOCKS, len(checked.setup.use))
        p = f_distribution.sf(ratio**2, blocks, blocks * np.isfinite(others).sum() / 2)
        limit = BLUR_RATIO * max(1.0, _spread(others) if hands else 1.0)
        noisy = ratio > limit and p < FALSE_ALARM / len(names)
        soft = _soft(edges, v)
        if not noisy and not soft:
            continue
        text = f"its points scatter by {noise[v]:.2f} px, the others' by {usual:.2f} px"
        text += f"; {soft}" if soft else ""
        out.append(
            Finding(
                kind="blurred",
                cameras=(name,),
                value=ratio,
                unit="x",
                std=ratio / np.sqrt(2 * blocks),
                severity="look at",
                text=text,
                next_step="look at its focus, exposure time and lens (dirt), then film again",
            )
        )
    return out


def _spread(noise: F64) -> float:
    """Factor by which cameras' noises usually differ: one robust spread of the logarithms."""
    logs = np.log(noise[np.isfinite(noise)])
    return float(np.exp(1.4826 * np.median(np.abs(logs - np.median(logs)))))


def _soft(edges: F64 | None, view: int) -> str:
    if edges is None or not np.isfinite(edges[view]):
        return ""
    others = np.delete(edges, view)
    if not np.isfinite(others).any():
        return ""
    usual = float(np.nanmedian(others))
    if edges[view] < BLUR_RATIO * usual:
        return ""
    return f"its edges are {edges[view]:.1f} px wide, the others' {usual:.1f} px"


def _excess_mm(checked: _Checked) -> F64:
    """Scatter of a board's points beyond their noise, mm where the board was, shape (V,)."""
    scene, model = checked.begin.scene, checked.found.model
    excess = np.sqrt(np.maximum(_noise(checked) ** 2 - checked.setup.tolerance_px**2, 0))
    xyz = model.points(scene)
    for v in range(len(excess)):
        per_px = view_rows(scene, model, v, xyz).mm_per_px
        excess[v] *= np.median(per_px) if len(per_px) else 0.0
    return np.asarray(excess)


def _insufficient(checked: _Checked, view: int) -> bool:
    """Whether a camera fits badly with all that was found: what was found is not the reason."""
    if view < 0 or checked.setup.footage.solid is None:
        return False
    noisy = _noise(checked)[view] > UNLIKELY * checked.setup.tolerance_px[view]
    return bool(noisy and _excess_mm(checked)[view] > checked.floor_mm)


def _unexplained(checked: _Checked, findings: list[Finding]) -> list[Finding]:
    """Boards: errors far above what single pictures show, and no fault that explains them."""
    if checked.setup.footage.solid is None:
        return []
    named = {n for f in findings for n in f.cameras}
    ratio, excess = _noise(checked) / checked.setup.tolerance_px, _excess_mm(checked)
    bad = (ratio > BLUR_RATIO) & (excess > checked.floor_mm)
    names = tuple(
        n for n, b in zip(checked.setup.footage.names, bad, strict=True) if b and n not in named
    )
    if not names:
        return []
    worst = float(excess[bad].max())
    return [
        Finding(
            kind="unexplained",
            cameras=names,
            value=worst,
            unit="mm",
            severity="look at",
            text=f"points scatter by {worst:.1f} mm, {np.nanmax(ratio[bad]):.1f} times what single "
            "pictures of the board show, and no single fault explains it",
            next_step="several cameras may have moved, or the lenses changed: calibrate again",
        )
    ]


def _cameras(checked: _Checked) -> tuple[CameraHealth, ...]:
    found, noise = checked.found, _noise(checked)
    return tuple(
        CameraHealth(
            name=name,
            points=int(found.linear.count[v]),
            noise_px=float(noise[v]),
            error_px=float(checked.begin.error_px[v]),
            off_mm=float(found.rest_mm[v]),
            off_std_mm=float(found.rest_std_mm[v]),
            offset_std_ms=float(1000 * found.timing_std_s[v])
            if checked.timing and checked.setup.footage.timed
            else float("inf"),
        )
        for v, name in enumerate(checked.setup.footage.names)
    )


def _notes(checked: _Checked, absent: tuple[str, ...]) -> list[str]:
    out = [f"{name} is in the rig and was not filmed" for name in absent]
    footage, found = checked.setup.footage, checked.found
    unseen = [n for n, c in zip(footage.names, found.linear.count, strict=True) if not c]
    if unseen:
        out.append(f"nothing is compared for {', '.join(unseen)}: film where its view overlaps")
    if not checked.timing:
        out.append(
            "whether the cameras are in step cannot be told: nothing moved smoothly (a still "
            "target, or poses filmed one by one); film a moving one"
        )
    else:
        half = checked.begin.scene.tracks.interval_s / 2
        vague = [
            n
            for n, s in zip(footage.names, found.timing_std_s, strict=True)
            if not s < half / 3 and n not in unseen
        ]
        if vague:
            out.append(f"too little motion to judge the timing of {', '.join(vague)}")
    if len(footage.names) == 2:
        out.append("with two cameras, one that moved cannot be told from the other")
    if footage.solid is None:
        out.append("hands tell a rig's units, not its scale: check that with a board")
    return out
