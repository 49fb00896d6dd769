"""Which single change of the rig explains the errors: hypotheses, tests, and their choice.

Faults are added one at a time, the best first, as long as one is significant, large enough to
matter, and larger than what every other camera shows too. Rivals are compared by the composite
likelihood BIC (Gao and Song, "Composite likelihood Bayesian information criteria for model
selection in high-dimensional data", JASA 2010): its penalty grows where errors of neighbouring
points and frames go together, as those of detectors do. Standard deviations come from the same
source, the scatter of the score over blocks of time (batch means).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2
from scipy.stats import f as f_distribution

from multiview._shapes import F64
from multiview.calib.health_fit import fit, scene_fit
from multiview.calib.health_model import PARAMETERS, Linear, Model, Scene
from multiview.calib.health_statistics import (
    BLOCKS,
    SINGLE,
    Fault,
    alone,
    covariance,
    criterion,
    joined,
    nested,
    offset_std,
    reach_mm,
    scale_fault,
    search_offset,
    single_fault,
    tail,
)

__all__ = ["Effect", "Explained", "Fault", "explain"]

# Probability of any false alarm on a healthy rig, shared among all hypotheses (Bonferroni).
FALSE_ALARM = 1e-3
# Hypotheses of a kind that are fitted in full, the most promising by their score.
TRIED = 2
# An offset of half a frame pairs the wrong pictures, however slowly things move.
HALF_FRAME = 0.5
# Explanations whose criteria differ by less than this are not told apart ("very strong" evidence
# begins at 10: Kass and Raftery, "Bayes factors", JASA 1995).
UNDECIDED = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A fitted fault.

    Parameters
    ----------
    fault
        What.
    value, cov
        Its parameters (k,) and their covariance (k, k).
    mm
        How far it moves what the camera sees, across the line of sight, root mean square.
    gain
        Fall of the information criterion (about twice the log odds) by this fault.
    p
        Probability of as much by chance, before the share for many hypotheses.
    rivals
        Other explanations of the same errors with their own gain.
    """

    fault: Fault
    value: F64
    cov: F64
    mm: float
    gain: float
    p: float
    rivals: tuple[tuple[Fault, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """All faults found, the model with them, and how far each camera is still off.

    Parameters
    ----------
    effects
        In the order found.
    model, linear
        Fitted with all of them.
    rest_mm, rest_std_mm
        What a move of each camera would still explain, and its standard deviation, mm across the
        line of sight, shape (V,).
    smallest_mm
        Smallest move that would be called one in this footage.
    timing_std_s
        Standard deviation of each camera's offset by itself, shape (V,); infinite where the
        motion does not tell.
    """

    effects: tuple[Effect, ...]
    model: Model
    linear: Linear
    rest_mm: F64
    rest_std_mm: F64
    smallest_mm: float
    timing_std_s: F64


_Trial = tuple[float, Fault, Model, Linear]


class _Search:
    """Forward selection of faults."""

    def __init__(self, scene: Scene, model: Model, floor_mm: float, kinds: tuple[str, ...]) -> None:
        self.scene, self.floor_mm, self.kinds = scene, floor_mm, kinds
        self.size = len(model.R) * PARAMETERS
        self.model, self.linear = scene_fit(scene, model)
        self.effects: list[Effect] = []
        self.blocks = min(BLOCKS, len(scene.use))

    @property
    def faults(self) -> list[Fault]:
        return [e.fault for e in self.effects]

    def hypotheses(self) -> list[Fault]:
        """Return the most promising faults of each kind that are not yet in the model."""
        taken = {(f.kind, f.view) for f in self.faults}
        out = []
        for kind in self.kinds:
            if kind == "scale":
                if ("scale", -1) not in taken:
                    out.append(scale_fault(self.model))
                continue
            some = [
                single_fault(kind, v, len(self.model.R))
                for v in range(len(self.model.R))
                if (kind, v) not in taken and self.linear.count[v]
            ]
            some.sort(key=lambda f: -alone(self.linear, f)[1])
            out += some[:TRIED]
        return [f for f in out if self.promises(f)]

    def promises(self, fault: Fault) -> bool:
        """Whether a fault is worth a fit: to first order it must pay for its parameters."""
        penalty = fault.columns.shape[1] * np.log(self.linear.count.sum())
        if alone(self.linear, fault)[1] > penalty:
            return True
        if fault.kind not in {"offset", "drift"}:
            return False
        return search_offset(self.scene, self.model, fault.view) != 0

    def tried(self, fault: Fault) -> tuple[Model, Linear, F64]:
        """Fit the model with one more fault."""
        columns = joined([*self.faults, fault], self.size)
        begin = self.model
        if fault.kind in {"offset", "drift"}:
            clock = begin.clock.copy()
            clock[fault.view, 0] += search_offset(self.scene, begin, fault.view)
            begin = replace(begin, clock=clock)
        model, linear = fit(self.scene, begin, columns)
        return model, linear, columns

    def step(self) -> bool:
        """Add the best fault, if one is needed."""
        before = criterion(self.linear, joined(self.faults, self.size))
        trials: list[_Trial] = []
        for fault in self.hypotheses():
            model, linear, columns = self.tried(fault)
            trials.append((before - criterion(linear, columns), fault, model, linear))
        trials.sort(key=lambda t: -t[0])
        near = self.candidates(trials)
        for gain, fault, model, linear in near:
            if gain <= 0:
                return False
            effect = self.effect(fault, model, linear, gain)
            if self.matters(effect, model, linear, len(trials)):
                rivals = tuple(
                    (f, g)
                    for g, f, *_ in trials
                    if g > 0 and f is not fault and (not nested(f, fault) or gain - g < UNDECIDED)
                )
                self.effects.append(replace(effect, rivals=rivals[:3]))
                self.model, self.linear = model, linear
                return True
        return False

    def candidates(self, trials: list[_Trial]) -> list[_Trial]:
        """Order the explanations that may be called: the simplest of those that are as good.

        As good are those that cannot be told apart, and simpler ones of the same camera that leave
        no more unexplained than the other cameras have too: no rig is perfect.
        """
        if not trials:
            return []
        top, view = trials[0][0], trials[0][1].view
        size = trials[0][1].columns.shape[1]
        # what the others show once the best is explained
        enough = self.usual(*trials[0][1:])
        near, special = [], []
        for trial in trials:
            gain, fault, model, linear = trial
            simpler = fault.view == view >= 0 and fault.columns.shape[1] < size
            rest = self.rest_mm(fault, model, linear) if simpler and gain > 0 else np.inf
            if gain > top - UNDECIDED or rest <= enough:
                near.append(trial)
            elif nested(fault, trials[0][1]):
                # stands in where the rest of the best does not matter
                special.append(trial)
        return sorted(near, key=lambda t: (t[1].columns.shape[1], -t[0])) + special

    def rest_mm(self, fault: Fault, model: Model, linear: Linear) -> float:
        """How far the camera of a fault, with that explained, is still off."""
        rest = single_fault("moved", fault.view, len(model.R))
        return reach_mm(self.scene, model, rest, alone(linear, rest)[0])

    def effect(self, fault: Fault, model: Model, linear: Linear, gain: float) -> Effect:
        """Read a fault from a fitted model."""
        faults = self.faults if fault in self.faults else [*self.faults, fault]
        columns = joined(faults, self.size)
        cov = covariance(linear, columns)
        at = sum(f.columns.shape[1] for f in faults[: faults.index(fault)])
        mine = slice(at, at + fault.columns.shape[1])
        value = self.values(columns, model)[mine]
        return Effect(
            fault=fault,
            value=value,
            cov=cov[mine, mine],
            mm=reach_mm(self.scene, model, fault, value),
            gain=gain,
            p=tail(value, cov[mine, mine], self.blocks),
        )

    def values(self, columns: F64, model: Model) -> F64:
        """Parameters of all faults together, from how far the cameras are from the rig."""
        deviation = model.deviation(self.scene.rig).ravel()
        # radians and metres share the columns: each is a direction of its own, or the rig's scale
        return np.asarray(np.linalg.lstsq(columns, deviation, rcond=None)[0])

    def matters(self, effect: Effect, model: Model, linear: Linear, tried: int) -> bool:
        """Whether a fault is sure and large; whether it stands out is asked of all together."""
        V = len(self.model.R)
        if effect.p > FALSE_ALARM / max(V * len(SINGLE) + 1, tried):
            return False
        if effect.fault.kind == "offset":
            half = HALF_FRAME * self.scene.tracks.interval_s
            if abs(effect.value[0]) < half and effect.mm < self.floor_mm:
                return False
        elif effect.fault.kind == "drift":
            if not self.drifts(effect, model, linear):
                return False
        elif effect.mm < self.floor_mm:
            return False
        return True

    def drifts(self, effect: Effect, model: Model, linear: Linear) -> bool:
        """Whether the drift by itself is sure, and pairs wrong pictures or moves things."""
        when = self.scene.tracks.set_times
        reach_s = abs(effect.value[1]) * float(np.nanmax(when) - np.nanmin(when)) / 2
        ramp = effect.value * [0.0, 1.0]
        mm = reach_mm(self.scene, model, effect.fault, ramp)
        sure = tail(effect.value[1:], effect.cov[1:, 1:], self.blocks) < FALSE_ALARM
        return sure and (reach_s > HALF_FRAME * self.scene.tracks.interval_s or mm > self.floor_mm)

    def usual(self, fault: Fault, model: Model, linear: Linear) -> float:
        """Reach that a fault of this kind needs to stand out among the other cameras, mm.

        Detectors err differently from every side and no rig is perfect, so every camera seems a
        little off. These reaches are taken as one random sample with unknown spread: squared and
        over their mean, the largest follows an F distribution.
        """
        if fault.view < 0:
            return 0.0
        named = {f.view for f in [*self.faults, fault]}
        others = [v for v in range(len(model.R)) if v not in named and linear.count[v]]
        if len(others) < 2:
            return 0.0
        k = len(SINGLE["moved"])
        reach = []
        for v in others:
            other = single_fault("moved", v, len(model.R))
            reach.append(reach_mm(self.scene, model, other, alone(linear, other)[0]))
        middle, level = (
            np.median(np.square(reach)) * k / chi2.ppf(0.5, k),
            FALSE_ALARM / len(model.R),
        )
        # the median of m squares is worth about m / 2 of them
        return float(np.sqrt(middle * f_distribution.isf(level, k, max(k * len(others) / 2, 1))))


def explain(
    scene: Scene,
    model: Model,
    *,
    floor_mm: float,
    kinds: tuple[str, ...],
    most: int = 6,
) -> Explained:
    """Find the faults of a rig.

    Parameters
    ----------
    scene, model
        What was filmed, and the start.
    floor_mm
        Smaller displacements of what is seen do not matter.
    kinds
        Faults to look for: ``moved turned zoom offset drift scale``.
    most
        Stop after so many.
    """
    search = _Search(scene, model, floor_mm, kinds)
    while len(search.effects) < most and search.step():
        pass
    effects = _pruned(search)
    V = len(model.R)
    free = [single_fault("moved", v, V) for v in range(V)]
    rest, spread = np.zeros(V), np.full(V, np.inf)
    for v, fault in enumerate(free):
        if search.linear.count[v]:
            value, _ = alone(search.linear, fault)
            rest[v] = reach_mm(scene, search.model, fault, value)
            cov = covariance(search.linear, fault.columns)
            spread[v] = _reach_std(scene, search, fault, cov)
    usual = search.usual(free[0], search.model, search.linear) if V > 2 else 0.0
    return Explained(
        effects=effects,
        model=search.model,
        linear=search.linear,
        rest_mm=rest,
        rest_std_mm=spread,
        smallest_mm=max(floor_mm, usual, _detectable(spread, V)),
        timing_std_s=offset_std(search.linear, V),
    )


def _pruned(search: _Search) -> tuple[Effect, ...]:
    """Drop what later faults made needless or what does not stand out; read the rest again."""
    for effect in list(search.effects):
        rest = [f for f in search.faults if f is not effect.fault]
        columns = joined(rest, search.size)
        now = search.effect(effect.fault, search.model, search.linear, effect.gain)
        usual = search.usual(effect.fault, search.model, search.linear)
        if now.mm > usual and effect is search.effects[-1]:
            continue
        model, linear = fit(search.scene, _without(search, effect.fault), columns)
        worse = criterion(search.linear, joined(search.faults, search.size))
        if now.mm <= usual or criterion(linear, columns) <= worse:
            search.effects = [e for e in search.effects if e is not effect]
            search.model, search.linear = model, linear
    return tuple(
        replace(search.effect(e.fault, search.model, search.linear, e.gain), rivals=e.rivals)
        for e in search.effects
    )


def _without(search: _Search, fault: Fault) -> Model:
    """Put the parameters of one fault back to the rig's values."""
    model, rig = search.model, search.scene.rig
    if fault.view < 0:
        return model
    R0, t0 = rig.cam_from_world
    v = fault.view
    if fault.kind in {"moved", "turned"}:
        R, t = model.R.copy(), model.t.copy()
        R[v], t[v] = R0[v], t0[v]
        return replace(model, R=R, t=t)
    if fault.kind == "zoom":
        return replace(model, focal=np.where(np.arange(len(model.focal)) == v, 0, model.focal))
    clock = model.clock.copy()
    clock[v] = 0
    return replace(model, clock=clock)


def _reach_std(scene: Scene, search: _Search, fault: Fault, cov: F64) -> float:
    """Spread of a camera's displacement, mm: root of the mean variance over what it sees."""
    values, vectors = np.linalg.eigh(cov)
    reach = [
        reach_mm(scene, search.model, fault, vectors[:, k] * np.sqrt(max(x, 0)))
        for k, x in enumerate(values)
    ]
    return float(np.sqrt(np.square(reach).sum()))


def _detectable(spread: F64, views: int) -> float:
    """Displacement that the least sure camera would need to be significant, mm."""
    finite = spread[np.isfinite(spread)]
    if not finite.size:
        return float("inf")
    k = len(SINGLE["moved"])
    level = chi2.isf(FALSE_ALARM / (views * len(SINGLE)), k) / k
    return float(np.median(finite) * np.sqrt(level))
