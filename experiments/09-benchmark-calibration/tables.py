"""Records to tables."""

from __future__ import annotations

import numpy as np
from runner import busy
from tools import BOARD_SCENES, OURS, reference

NORMAL_95 = 1.959964
GROUPS = {
    "rotation": slice(0, 3),
    "translation": slice(3, 6),
    "focal lengths": slice(6, 8),
    "centre": slice(8, 10),
    "distortion": slice(10, 15),
}
SCENE_HEAD = (
    "tool",
    "cameras",
    "rms px",
    "3D mm",
    "turn deg",
    "place mm",
    "wall s",
    "CPU s",
    "MB",
    "",
)
RATIOS = ("rms_in_px", "vol_rms_mm", "rot_deg", "tr_mm")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(r) + " |" for r in (head, ("---",) * len(head), *rows)]
    return "\n".join(lines) + "\n"


def number(value: float | None) -> str:
    """Three digits; never a bare zero for something small."""
    if value is None or not np.isfinite(value):
        return "-"
    if abs(value) >= 1e5:
        return f"{value:.0e}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def wall(record: dict) -> str:
    """Wall seconds of the calibration; ``~`` where other programs were busy meanwhile."""
    seconds = record["output"].get("seconds")
    return f"{'~' if busy(record) else ''}{number(seconds)}"


def scene_table(scene: str, records: dict[str, dict]) -> str:
    """One scene: all tools, each with its ratio to the known-inlier optimum."""
    best = records.get(reference(scene), {}).get("score", {})
    rows = []
    for tool, record in records.items():
        if "error" in record:
            rows.append((tool, record["error"], *("-",) * (len(SCENE_HEAD) - 3), record["date"]))
            continue
        score, output = record["score"], record["output"]
        if "rms_in_px" not in score:
            why = f"{score.get('posed', 0)} of {score.get('of', '?')}: too few to score"
            rows.append((tool, why, *("-",) * (len(SCENE_HEAD) - 3), record["date"]))
            continue
        cells = [with_ratio(score[k], best.get(k)) for k in RATIOS]
        own = [wall(record), number(output.get("cpu_s")), f"{output['peak_mb']:.0f}"]
        rows.append((tool, f"{score['posed']}/{score['of']}", *cells, *own, record["date"]))
    return f"**{scene}**\n\n" + table(SCENE_HEAD, rows)


def with_ratio(value: float, best: float | None) -> str:
    """A figure and how many times the optimum's it is."""
    ratio = f" ({number(value / best)})" if best and np.isfinite(value) else ""
    return number(value) + ratio


def kept_table(records: dict[str, dict[str, dict]]) -> str:
    """What ours did with corners whose truth is known."""
    rows = []
    for scene, tools in records.items():
        what = tools.get("ours", {}).get("output", {}).get("kept")
        if what:
            turned = f"{what['flipped_kept']} of {what['flipped']}"
            lost = f"{100 * what['good_lost']:.3f} %"
            rows.append((scene, turned, lost, str(what["bad_kept"])))
    head = ("scene", "wrongly numbered boards kept", "good corners lost", "gross outliers kept")
    return table(head, rows) if rows else ""


def real_table(name: str, records: dict[str, dict]) -> str:
    """Real footage: errors on the frames held out."""
    head = ("rig", "cameras", "px rms", "px median", "mm rms", "mm median", "frames", "CPU s", "")
    rows = []
    for tool, record in records.items():
        if "error" in record:
            rows.append((tool, record["error"], *("-",) * (len(head) - 3), record["date"]))
            continue
        s = record["score"]
        cells = [
            number(s.get(k)) for k in ("tri_rms_px", "tri_med_px", "board_rms_mm", "board_med_mm")
        ]
        cpu = number(record["output"].get("cpu_s"))
        frames = str(s.get("frames", "-"))
        rows.append((tool, f"{s['posed']}/{s['of']}", *cells, frames, cpu, record["date"]))
    return f"**{name}**\n\n" + table(head, rows)


def adjust_table(records: dict[str, dict]) -> str:
    """Bundle adjusters on one problem."""
    head = ("adjuster", "wall s", "CPU s", "MB", "rms px", "3D mm", "corners", "note", "")
    rows = []
    for method, r in records.items():
        if "error" in r:
            rows.append((method, r["error"], *("-",) * (len(head) - 3), r["date"]))
            continue
        o = r["output"]
        cells = [wall(r), number(o["cpu_s"]), str(o["peak_mb"]), f"{o['rms']:.5f}"]
        note = o["note"].replace("|", ";")[:70]
        rows.append((method, *cells, number(o["vol_rms_mm"]), str(o["corners"]), note, r["date"]))
    return table(head, rows)


def coverage_table(runs: list[dict]) -> str:
    """How often the truth lies in the 95 % interval, and how large errors are for their spread."""
    step = np.array([r["step"] for r in runs], float)
    std = np.array([r["std"] for r in runs], float)
    z = step / std
    rows = []
    for name, part in {**GROUPS, "all": slice(0, 15)}.items():
        known = z[..., part][np.isfinite(z[..., part])]
        if known.size:
            share = float((np.abs(known) <= NORMAL_95).mean())
            # parameters of one run go together, so the spread is taken over runs
            by_run = [np.abs(x[np.isfinite(x)]) <= NORMAL_95 for x in z[..., part]]
            doubt = np.std([b.mean() for b in by_run if b.size], ddof=1) / np.sqrt(len(by_run))
            rms = float(np.sqrt((known**2).mean()))
            cells = f"{100 * share:.1f} ± {100 * doubt:.1f} %", f"{rms:.2f}"
            rows.append((name, *cells, str(known.size)))
        else:
            rows.append((name, "skipped: the result has no covariance of these", "-", "0"))
    text = table(("parameters", "truth in the 95 % interval", "error / std, rms", "values"), rows)
    return text + "\n" + volume_line(runs)


def volume_line(runs: list[dict]) -> str:
    """Predicted against true 3D error over the volume."""
    true = np.array([r["volume_mm"] for r in runs])
    line = f"{len(runs)} repeats; 3D error over the volume, rms: {np.sqrt((true**2).mean()):.4f} mm"
    if any(r["predicted_mm"] is None for r in runs):
        return line + "; predicted: skipped, the result has no covariance\n"
    told = np.array([r["predicted_mm"] for r in runs])
    ratio = true / told
    low, middle, high = np.quantile(ratio, (0.05, 0.5, 0.95))
    return (
        f"{line}, predicted {np.sqrt((told**2).mean()):.4f} mm; true / predicted in a repeat: "
        f"{middle:.2f} (5 % {low:.2f}, 95 % {high:.2f})\n"
    )


def chart_rows(records: dict[str, dict[str, dict]], corners: dict[str, int]) -> list[dict]:
    """Plain rows for the pictures."""
    out = []
    for scene, tools in records.items():
        best = tools.get(reference(scene), {}).get("score", {}).get("vol_rms_mm")
        for tool, record in tools.items():
            value = record.get("score", {}).get("vol_rms_mm")
            out.append(
                {
                    "scene": scene,
                    "tool": tool,
                    "ratio": value / best if value and best and np.isfinite(value) else None,
                    "cpu_s": record.get("output", {}).get("cpu_s"),
                    "corners": corners[scene],
                    "board": scene in BOARD_SCENES,
                    "ours": tool in OURS,
                }
            )
    return out
