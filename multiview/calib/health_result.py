"""What a check of a rig returns, as values, text and plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from multiview.core import Rig

__all__ = ["CameraHealth", "Finding", "HealthReport", "health_data", "health_markdown"]

Severity = Literal["fault", "look at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong.

    Parameters
    ----------
    kind
        ``moved``, ``turned``, ``zoom``, ``offset``, ``drift``, ``scale``, ``unit``, ``size``,
        ``swapped``, ``duplicate``, ``mirrored``, ``turned pictures``, ``blurred``,
        ``unexplained``.
    cameras
        Whose.
    value, unit, std
        How much, with its standard deviation; NaN and empty where nothing is measured.
    severity
        ``fault``, or ``look at`` where what to do is for a person to judge.
    text
        One sentence for people.
    next_step
        What to do.
    rivals
        What else would explain the same errors, with how much worse it does (difference of the
        information criterion; below 10 the two cannot be told apart).
    """

    kind: str
    cameras: tuple[str, ...]
    text: str
    next_step: str
    value: float = float("nan")
    unit: str = ""
    std: float = float("nan")
    severity: Severity = "fault"
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraHealth:
    """Figures of one camera.

    Parameters
    ----------
    name
        As in the rig.
    points
        Points that were compared.
    noise_px
        Standard deviation of a coordinate once the faults are explained.
    error_px
        Median distance from where the rig says, before any fault is explained.
    off_mm, off_std_mm
        How far a move of this camera would still shift what it sees, and its standard deviation.
    offset_std_ms
        How surely its clock could be judged; infinite where the motion does not tell.
    """

    name: str
    points: int
    noise_px: float
    error_px: float
    off_mm: float
    off_std_mm: float
    offset_std_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """Whether a rig is still true.

    Parameters
    ----------
    findings
        Faults, the largest first; empty for a healthy rig.
    cameras
        Figures of every camera that was compared.
    smallest_mm
        The smallest move of a camera (across the line of sight, where things were filmed) that
        this footage would have shown.
    notes
        What could not be told, and from what.
    footage
        What was looked at.
    corrected
        The rig with what was fitted (moved, turned, zoom, scale, unit); None where the rig is not
        at fault.
    """

    findings: tuple[Finding, ...]
    cameras: tuple[CameraHealth, ...]
    smallest_mm: float
    notes: tuple[str, ...]
    footage: str
    corrected: Rig | None = None

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def health_data(report: HealthReport) -> dict[str, Any]:
    """Plain numbers and strings, fit for JSON; what is not known is None."""
    plain = asdict(replace(report, corrected=None))
    del plain["corrected"]
    return {"healthy": report.healthy} | dict(_plain(plain))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figure(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def health_markdown(report: HealthReport) -> str:
    """Return the report as Markdown."""
    verdict = "The rig is as it was." if report.healthy else "The rig is not as its file says."
    lines = ["# Health of the rig", "", f"{verdict} {report.footage}", ""]
    for number, finding in enumerate(report.findings, 1):
        lines += [
            f"{number}. **{finding.kind}** ({', '.join(finding.cameras)}): {finding.text}",
            f"   Next: {finding.next_step}.",
            *(f"   Else: {rival}." for rival in finding.rivals),
        ]
    lines += [
        "",
        "| camera | points | error px | noise px | still off mm | +- mm | clock known to ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_row(c) for c in report.cameras),
        "",
        f"A camera that moved by {_figure(report.smallest_mm, 1)} mm or more (as seen where things "
        "were filmed) would have been named.",
        *(f"- {note}" for note in report.notes),
    ]
    return "\n".join(lines) + "\n"


def _row(c: CameraHealth) -> str:
    cells = [
        c.name,
        str(c.points),
        _figure(c.error_px),
        _figure(c.noise_px),
        _figure(c.off_mm),
        _figure(c.off_std_mm),
        _figure(c.offset_std_ms, 1),
    ]
    return "| " + " | ".join(cells) + " |"
