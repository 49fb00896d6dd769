"""Statistics of faults: how sure, how large, and what each would cost as an explanation.

Standard deviations and effective numbers of parameters come from the scatter of the score over
blocks of time (batch means), so that errors which go together in a detector count as what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2
from scipy.stats import f as f_distribution

from multiview._shapes import F64
from multiview.calib.health_model import (
    DRIFT,
    FOCAL,
    OFFSET,
    PARAMETERS,
    SHIFT,
    TURN,
    Linear,
    Model,
    Scene,
    read_views,
    view_rows,
)

__all__ = [
    "BLOCKS",
    "SINGLE",
    "Fault",
    "alone",
    "complexity",
    "covariance",
    "criterion",
    "joined",
    "nested",
    "offset_std",
    "reach_mm",
    "scale_fault",
    "search_offset",
    "single_fault",
    "tail",
]

# Blocks of time whose scores are compared; each must outlast the memory of the detector's errors.
BLOCKS = 32
# Directions of each kind of fault of one camera.
SINGLE: dict[str, tuple[int, ...]] = {
    "moved": (*range(TURN.start, TURN.stop), *range(SHIFT.start, SHIFT.stop)),
    "turned": tuple(range(TURN.start, TURN.stop)),
    "zoom": (FOCAL,),
    "offset": (OFFSET,),
    "drift": (OFFSET, DRIFT),
}
# Offsets looked through before fitting, in frames to either side.
SEARCHED = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A hypothesis: a kind, its camera (-1: the whole rig), and its directions (9 V, k)."""

    kind: str
    view: int
    columns: F64


def single_fault(kind: str, view: int, views: int) -> Fault:
    """Make a fault of one camera."""
    columns = np.zeros((views * PARAMETERS, len(SINGLE[kind])))
    for k, parameter in enumerate(SINGLE[kind]):
        columns[view * PARAMETERS + parameter, k] = 1
    return Fault(kind=kind, view=view, columns=columns)


def scale_fault(model: Model) -> Fault:
    """All distances of the rig too long or too short by one factor."""
    columns = np.zeros((len(model.t), PARAMETERS))
    columns[:, SHIFT] = model.t
    return Fault(kind="scale", view=-1, columns=columns.reshape(-1, 1))


def _blocks(score: F64) -> F64:
    """Scores summed over blocks of time, shape (blocks, 9 V)."""
    count = min(BLOCKS, len(score))
    edges = np.linspace(0, len(score), count + 1).astype(int)[:-1]
    return np.asarray(np.add.reduceat(score, edges, axis=0))


def _curvatures(linear: Linear, columns: F64) -> tuple[F64, F64]:
    """Curvature S (k, k), and scatter of the score M (k, k), along directions."""
    S = columns.T @ linear.S @ columns
    blocks = _blocks(linear.score) @ columns
    blocks = blocks - blocks.mean(0)
    count = len(blocks)
    M = blocks.T @ blocks * (count / max(count - 1, 1))
    return S, M


def covariance(linear: Linear, columns: F64) -> F64:
    """Sandwich covariance of the parameters along directions, shape (k, k)."""
    S, M = _curvatures(linear, columns)
    inverse = np.linalg.pinv(S, hermitian=True)
    # never below what independent errors would give: few blocks may agree by luck
    sandwich = inverse @ M @ inverse
    naive_share = np.trace(inverse @ S) / max(np.trace(inverse @ M), 1e-300)
    return np.asarray(sandwich * max(1.0, naive_share) / linear.softness**2)


def complexity(linear: Linear, columns: F64) -> float:
    """Effective number of parameters, tr(S^-1 M): more than k where errors go together."""
    if not columns.shape[1]:
        return 0.0
    S, M = _curvatures(linear, columns)
    trace = float(np.trace(np.linalg.pinv(S, hermitian=True) @ M)) / linear.softness
    return max(trace, float(columns.shape[1]))


def criterion(linear: Linear, columns: F64) -> float:
    """Composite likelihood BIC; smaller is better."""
    penalty = complexity(linear, columns) * float(np.log(max(linear.count.sum(), 2)))
    return linear.loss + penalty


def joined(faults: list[Fault], size: int) -> F64:
    """Directions of several faults, shape (size, k)."""
    return np.concatenate([np.zeros((size, 0)), *(f.columns for f in faults)], axis=1)


def tail(value: F64, cov: F64, blocks: int) -> float:
    """Probability of a larger deviation by chance (Hotelling's T squared)."""
    k = len(value)
    squared = float(value @ np.linalg.pinv(cov, hermitian=True) @ value)
    if blocks <= k + 1:
        return float(chi2.sf(squared, k))
    return float(f_distribution.sf(squared * (blocks - k) / (k * (blocks - 1)), k, blocks - k))


def reach_mm(scene: Scene, model: Model, fault: Fault, value: F64) -> float:
    """How far a fault moves what its cameras see, mm across the line of sight, r.m.s."""
    step = (fault.columns @ value).reshape(-1, PARAMETERS)
    xyz, total, count = model.points(scene), 0.0, 0
    for v in np.flatnonzero(np.abs(step).any(1)):
        rows = view_rows(scene, model, int(v), xyz)
        moved = rows.by_camera @ step[v] * rows.mm_per_px[:, None]
        total, count = total + float((moved**2).sum()), count + len(moved)
    if fault.kind == "scale":  # it also moves what is seen: its effect is on lengths
        points = xyz[np.isfinite(xyz[..., 0])]
        return float(
            1000 * abs(value[0]) * np.sqrt(((points - points.mean(0)) ** 2).sum(-1).mean())
        )
    return float(np.sqrt(total / count)) if count else 0.0


def alone(linear: Linear, fault: Fault) -> tuple[F64, float]:
    """Values of a fault to first order, and the fall of the loss that it promises."""
    S = fault.columns.T @ linear.S @ fault.columns
    g = fault.columns.T @ linear.gradient
    value = -np.linalg.pinv(S, hermitian=True) @ g / linear.softness
    return value, float(-g @ value)


def search_offset(scene: Scene, model: Model, view: int) -> float:
    """Offset of a camera among whole frames that fits best, seconds."""
    interval = scene.tracks.interval_s
    predicted = model.rig(scene.rig).cameras[view].project(model.points(scene))
    best, least = 0.0, np.inf
    for k in sorted(range(-SEARCHED, SEARCHED + 1), key=abs):
        clock = model.clock.copy()
        clock[view, 0] += k * interval
        xy = read_views(scene, replace(model, clock=clock), view)[0]
        gap = np.linalg.norm(xy - predicted, axis=-1)
        gap = gap[np.isfinite(gap)]
        # a shift that leaves half of the take without a partner proves nothing
        if len(gap) < 0.5 * np.isfinite(predicted[..., 0]).sum() * 0.1:
            continue
        cost = float(np.median(gap))
        if cost < 0.9 * least or (k == 0 and cost < least):
            best, least = k * interval, cost
    return best


def nested(a: Fault, b: Fault) -> bool:
    """Whether one fault is a special case of the other."""
    if a.view != b.view:
        return False
    return {a.kind, b.kind} in ({"offset", "drift"}, {"moved", "turned"})


def offset_std(linear: Linear, views: int) -> F64:
    """Spread of each camera's clock by itself, shape (V,), s; infinite where nothing tells."""
    out = np.full(views, np.inf)
    for v in range(views):
        columns = single_fault("offset", v, views).columns
        if float((columns.T @ linear.S @ columns)[0, 0]) > 0:
            out[v] = np.sqrt(covariance(linear, columns)[0, 0])
    return out
