"""Plain words about a calibration: good, look at, or film again, and what to film next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from multiview._shapes import F64
from multiview.calib.evidence import Evidence
from multiview.calib.result import CalibrationResult, CameraFigures
from multiview.calib.structure import BoardShape, ResidualMap
from multiview.geometry.project import project_jacobian

__all__ = [
    "Headline",
    "Level",
    "camera_findings",
    "film_next",
    "headlines",
    "overall",
    "tilt_vectors",
    "worst",
]

Level = Literal["good", "look at", "film again", ""]
ORDER: tuple[Level, ...] = ("", "good", "look at", "film again")

# Held-out boards are fitted like the others, so both errors estimate one noise: a third more means
# parameters that follow noise, twice as much a rig that the boards left out would change.
HELDOUT_LOOK, HELDOUT_AGAIN = 1.33, 2.0
# Millimetres against what corner noise alone explains; the same argument, for lengths in 3D.
MM_LOOK, MM_AGAIN = 1.5, 3.0
# Corners found to worse than a pixel are blurred, out of step, or on a bent board.
NOISE_LOOK_PX = 1.0
FEW_VIEWS, MANY_REJECTED = 8, 0.15
# Relative standard deviation of a focal length: 1 % is 1 cm in depth at 1 m.
FOCAL_LOOK, FOCAL_AGAIN = 0.01, 0.05
# Turn of the optical axis, radians: 0.3 degrees.
CENTRE_LOOK = 0.005
LITTLE_FILL = 0.3
# Share of the squared error that is systematic: below a tenth the lens model costs 5 % of the rms.
SYSTEMATIC_LOOK = 0.1
# Boards that a pair of cameras, or a camera with all others, should share: below 3 one wrong board
# is not noticed, below 10 the average gains little on noise.
SHARED_AGAIN, SHARED_LOOK = 3, 10
# Spread of tilts (standard deviation about each axis) that fixes a focal length: half of 30
# degrees.
TILT_DEG = 15.0
# Poses looked at for the millimetres that noise explains.
SAMPLE_POSES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """A figure, its unit, how good it is, and what it means."""

    label: str
    value: str
    unit: str
    level: Level
    text: str


def worst(levels: Sequence[Level]) -> Level:
    """Return the least good of some levels."""
    return max(levels, key=ORDER.index, default="")


def headlines(
    result: CalibrationResult, evidence: Evidence, shapes: Sequence[BoardShape]
) -> list[Headline]:
    """Judge the figures of the whole rig; `shapes` are those of the boards."""
    held, rms = result.heldout, result.rms_px
    boards = len(evidence.pose_t)
    return [
        Headline(
            label="Corners used",
            value=_figure(rms, 3),
            unit="px rms",
            level="",
            text=f"Error of the {int(evidence.inlier.sum()):,} corners that carry the rig, on "
            f"{boards} board poses. It says how well the rig fits, not how true it is.",
        ),
        _heldout(held.rms_px, rms, held.boards),
        Headline(
            label="Predicted from other cameras",
            value=_figure(held.predicted_px, 3),
            unit="px rms",
            level="",
            text="Boards left out: where a camera finds a corner, against where all the other "
            "cameras put it.",
        ),
        _millimetres(held.triangulated_mm, evidence),
        _links(evidence),
        *(_shape(s, evidence.rig.unit) for s in shapes if s.bent and s.share > SYSTEMATIC_LOOK),
    ]


def overall(levels: list[Level], *, warned: bool = False) -> Level:
    """Sum up: the worst of everything that was judged, and at least "look at" for a warning."""
    return worst([*levels, "look at" if warned else "good"])


def _figure(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def _heldout(held: float, rms: float, boards: int) -> Headline:
    head = Headline(
        label="Boards left out", value=_figure(held, 3), unit="px rms", level="look at", text=""
    )
    if np.isnan(held):
        return replace(
            head, text="Too few boards to leave any out: the error is not checked. Film more."
        )
    ratio = held / rms
    if ratio < HELDOUT_LOOK:
        return replace(
            head,
            level="good",
            text=f"The rig fits {boards} boards that it never saw as well as those it was made "
            f"from ({ratio:.2f} times the error).",
        )
    return replace(
        head,
        level="film again" if ratio >= HELDOUT_AGAIN else "look at",
        text=f"Boards that the rig never saw fit {ratio:.1f} times worse than its own: there is "
        "too little footage for so many unknowns, or the board bends or moves between cameras.",
    )


def _millimetres(measured: float, evidence: Evidence) -> Headline:
    unit = "mm" if evidence.rig.unit == "m" else f"1/1000 {evidence.rig.unit}"
    head = Headline(
        label="Corners in 3D",
        value=_figure(measured, 2),
        unit=f"{unit} rms",
        level="look at",
        text="",
    )
    if np.isnan(measured):
        return replace(head, text="No board left out was seen by two cameras: not measured.")
    explained = 1000 * noise_in_space(evidence)
    ratio = measured / explained if explained > 0 else np.nan
    text = (
        "Corners of boards left out, each triangulated by itself, off their board; the noise of "
        f"the corners alone explains {explained:.2f} {unit}."
    )
    level: Level = "good"
    if ratio >= MM_LOOK:
        level = "film again" if ratio >= MM_AGAIN else "look at"
        text += f" The rest ({ratio:.1f} times) is a bent board, bad timing, or the rig."
    return replace(head, level=level, text=text)


def _shape(shape: BoardShape, unit: str) -> Headline:
    milli = "mm" if unit == "m" else f"1/1000 {unit}"
    return Headline(
        label="Bent board",
        value=_figure(1000 * float(np.nanmax(shape.height) - np.nanmin(shape.height)), 1),
        unit=f"{milli} or more",
        level="look at",
        text=f"Corners off the flat board explain {shape.share:.0%} of the squared error. Glue the "
        "print to glass or aluminium, or let the calibration model the bend.",
    )


def noise_in_space(evidence: Evidence) -> float:
    """Length that corner noise gives triangulated corners, root mean square, unit of the rig."""
    chosen = np.linspace(0, max(len(evidence.pose_t) - 1, 0), SAMPLE_POSES).astype(int)
    pose = evidence.pose[evidence.sighting]
    use = (
        evidence.inlier & np.isin(pose, np.unique(chosen)) & np.isfinite(evidence.xyz_corner[:, 0])
    )
    if not use.any():
        return float("nan")
    view, xyz = evidence.corner_view[use], evidence.xyz_corner[use]
    # corners of one board share a world position over views: equal to the last bit
    _, point = np.unique(xyz, axis=0, return_inverse=True)
    point = point.reshape(-1)
    H = np.zeros((point.max() + 1, 3, 3))
    for v, camera in enumerate(evidence.rig.cameras):
        mine = view == v
        lens = camera.intrinsics
        at = camera.cam_from_world.apply(xyz[mine])
        _, J = project_jacobian(at, lens.K, lens.dist, lens.model)
        J = np.nan_to_num(J @ camera.cam_from_world.R) / evidence.noise_px[v]
        np.add.at(H, point[mine], np.swapaxes(J, -1, -2) @ J)
    value = np.linalg.eigvalsh(H)
    fixed = (np.bincount(point) >= 2) & (value[:, 0] > 1e-8 * value[:, 2])
    return float(np.sqrt((1 / value[fixed]).sum(-1).mean())) if fixed.any() else float("nan")


def _links(evidence: Evidence) -> Headline:
    head = Headline(
        label="Weakest link",
        value="–",
        unit="shared boards",
        level="",
        text="One camera: no links to judge.",
    )
    if len(evidence.rig.cameras) < 2:
        return head
    a, b, count = weakest_link(evidence)
    names = evidence.rig.names
    pair = f"{names[a]} and {names[b]}"
    level: Level = "good"
    text = f"Every camera hangs on the others by {count} boards or more; the fewest: {pair}."
    if count < SHARED_LOOK:
        level = "film again" if count < SHARED_AGAIN else "look at"
        text = f"{pair} are held together by {count} boards only: film the board between them."
    return replace(head, value=str(count), level=level, text=text)


def spanning_links(evidence: Evidence) -> list[tuple[int, int, int]]:
    """Links of the strongest tree through all cameras: (a, b, boards that agree)."""
    shared = evidence.shared(evidence.agrees)
    joined, links = [0], []
    left = set(range(1, len(shared)))
    while left:
        rest = sorted(left)
        block = shared[np.ix_(joined, rest)]
        i, j = np.unravel_index(int(block.argmax()), block.shape)
        links.append((joined[i], rest[j], int(block[i, j])))
        joined.append(rest[j])
        left.remove(rest[j])
    return links


def weakest_link(evidence: Evidence) -> tuple[int, int, int]:
    """Return the link of `spanning_links` with the fewest boards."""
    return min(spanning_links(evidence), key=lambda link: link[2])


def camera_findings(
    c: CameraFigures, focal_px: float, residuals: ResidualMap
) -> list[tuple[Level, str]]:
    """Say what is not good about a camera, in the words of its row."""
    out: list[tuple[Level, str]] = []
    if c.views < FEW_VIEWS:
        out.append(("film again", f"{c.views} board views only"))
    if c.rejected > MANY_REJECTED * c.corners:
        out.append(("look at", f"{c.rejected / c.corners:.0%} of its corners dropped"))
    if c.noise_px > NOISE_LOOK_PX:
        out.append(("look at", f"corners found to {c.noise_px:.1f} px only"))
    if c.focal_std > FOCAL_LOOK:
        level: Level = "film again" if c.focal_std > FOCAL_AGAIN else "look at"
        out.append((level, f"focal length known to {c.focal_std:.1%}"))
    if c.centre_std_px > CENTRE_LOOK * focal_px:
        out.append(("look at", f"optical axis known to {c.centre_std_px:.0f} px"))
    if c.fill < LITTLE_FILL:
        out.append(("look at", f"corners in {c.fill:.0%} of the picture"))
    if residuals.structured and residuals.share > SYSTEMATIC_LOOK:
        out.append(
            ("look at", f"errors follow a pattern of {residuals.systematic_px:.2f} px: lens model?")
        )
    return out


def film_next(result: CalibrationResult, evidence: Evidence, levels: Sequence[Level]) -> list[str]:
    """Sentences on what further footage would help most, the most urgent first.

    `levels` says how good each camera is.
    """
    out = []
    names = evidence.rig.names
    for a, b, count in sorted(spanning_links(evidence), key=lambda link: link[2]):
        if count < SHARED_LOOK:
            out.append(
                f"Hold the board where {names[a]} and {names[b]} both see it, in "
                f"{SHARED_LOOK - count} or more new places: they share {count}."
            )
    tilts = tilt_vectors(evidence)
    urgent = sorted(range(len(levels)), key=lambda v: -ORDER.index(levels[v]))
    for v in urgent:
        out += _camera_wishes(result.cameras[v], evidence, v, tilts)
    return out


def _camera_wishes(c: CameraFigures, evidence: Evidence, v: int, tilts: F64) -> list[str]:
    out = []
    if c.views < FEW_VIEWS:
        out.append(
            f"Show the board to {c.name} {FEW_VIEWS - c.views} more times or more: it saw it "
            f"{c.views} times."
        )
    if c.rejected > MANY_REJECTED * c.corners:
        out.append(
            f"Move the board more slowly in {c.name}, with more light, and check that the cameras "
            f"run in step: {c.rejected} of {c.corners} corners did not fit."
        )
    places = empty_places(evidence, v)
    if places:
        out.append(
            f"Hold the board in {_listed(places)} of the picture of {c.name}: no corner lies there."
        )
    missing = _missing_tilts(tilts[(evidence.view == v) & evidence.agrees])
    if missing and c.focal_std > FOCAL_LOOK / 2:
        out.append(
            f"Tilt the board by 30-45° {_listed(missing)} in front of {c.name}: its focal length "
            f"is known to {c.focal_std:.1%} only."
        )
    elif c.centre_std_px > CENTRE_LOOK * evidence.rig.cameras[v].intrinsics.K[0, 0]:
        out.append(
            f"Hold the board close to {c.name}, so that it fills half of the picture: its optical "
            f"axis is known to {c.centre_std_px:.0f} px only."
        )
    return out


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def empty_places(evidence: Evidence, view: int) -> list[str]:
    """Name the ninths of a camera's picture in which no corner was kept; sides joined up."""
    at = evidence.of_view(view)
    at = at[evidence.inlier[at]]
    size = np.array(evidence.rig.cameras[view].intrinsics.size_wh)
    cell = np.floor((evidence.xy_px[at] + 0.5) / size * 3).astype(int).clip(0, 2)
    empty = np.ones((3, 3), bool)
    empty[cell[:, 1], cell[:, 0]] = False
    if empty.all():
        return []
    out = []
    for name, index in (
        ("the left third", (slice(None), 0)),
        ("the right third", (slice(None), 2)),
        ("the top third", (0, slice(None))),
        ("the bottom third", (2, slice(None))),
    ):
        if empty[index].all():
            out.append(name)
            empty[index] = False
    across, down = ("left", "middle", "right"), ("top", "middle", "bottom")
    for y, x in np.argwhere(empty).tolist():
        out.append(f"the {down[y]} {across[x]}" if (y, x) != (1, 1) else "the middle")
    return out


def tilt_vectors(evidence: Evidence) -> F64:
    """Tilt of the board against the line of sight, degrees, shape (S, 2).

    The vector points, in the picture (x right, y down), to the side on which the board is further
    away; a turn about the vertical axis moves it along x. NaN where the pose is unknown.
    """
    R, t = evidence.board_in_camera()
    sight = t / np.linalg.norm(t, axis=-1, keepdims=True)
    normal = R[..., 2]
    normal = normal * np.sign((normal * sight).sum(-1, keepdims=True))
    cosine = np.clip((normal * sight).sum(-1), -1, 1)
    # the board is nearer where its normal, pointing away from the camera, leans to
    lean = -(normal - cosine[:, None] * sight)[:, :2]
    size = np.linalg.norm(lean, axis=-1, keepdims=True)
    unit = np.divide(lean, size, out=np.zeros_like(lean), where=size > 0)
    return np.asarray(np.degrees(np.arccos(cosine))[:, None] * unit)


def _missing_tilts(tilts: F64) -> list[str]:
    if len(tilts) < 2:
        return ["about both axes"]
    spread = tilts.std(0)
    names = ("about its upright axis", "about its level axis")
    return [n for n, s in zip(names, spread, strict=True) if s < TILT_DEG]
