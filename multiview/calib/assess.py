"""A calibration judged: everything that its reports say beyond the figures."""

from __future__ import annotations

from dataclasses import dataclass

from multiview.calib.advice import (
    Headline,
    Level,
    camera_findings,
    film_next,
    headlines,
    overall,
    worst,
)
from multiview.calib.evidence import Evidence, gather_evidence
from multiview.calib.result import CalibrationResult
from multiview.calib.structure import BoardShape, ResidualMap, board_shape, residual_map

__all__ = ["Assessment", "assess"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What was found out about a calibration.

    Parameters
    ----------
    evidence
        Corners and sightings.
    maps
        Residuals over each camera's picture.
    shapes
        Of each kind of board.
    heads
        Judged figures of the rig.
    findings
        What is not good about each camera.
    film
        What to film next, the most urgent first.
    level
        The worst of all.
    """

    evidence: Evidence
    maps: tuple[ResidualMap, ...]
    shapes: tuple[BoardShape, ...]
    heads: tuple[Headline, ...]
    findings: tuple[tuple[tuple[Level, str], ...], ...]
    film: tuple[str, ...]
    level: Level

    def camera_level(self, view: int) -> Level:
        """How good a camera is."""
        return worst([f[0] for f in self.findings[view]]) or "good"


def assess(result: CalibrationResult) -> Assessment:
    """Judge a calibration from its own evidence."""
    evidence = gather_evidence(result)
    maps = tuple(residual_map(evidence, v) for v in range(len(result.cameras)))
    shapes = tuple(board_shape(evidence, kind) for kind in range(len(evidence.points)))
    heads = headlines(result, evidence, shapes)
    findings = tuple(
        tuple(camera_findings(c, float(camera.intrinsics.K[0, 0]), m))
        for c, camera, m in zip(result.cameras, result.rig.cameras, maps, strict=True)
    )
    levels = [h.level for h in heads] + [level for per in findings for level, _ in per]
    return Assessment(
        evidence=evidence,
        maps=maps,
        shapes=shapes,
        heads=tuple(heads),
        findings=findings,
        film=tuple(film_next(result, evidence, [worst([x for x, _ in f]) for f in findings])),
        level=overall(levels, warned=bool(result.warnings)),
    )
