"""One picture of the results, drawn in an environment with matplotlib.

chart.py SMOOTHING.json FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

BAR = {4: 1.25, 8: 0.91, 31: 0.52}
PEER = "optim, oracle inliers, deriv 3"
NAMES = {
    "oracle ML, every point by itself": "oracle ML, single points",
    "triangulated": "triangulated",
    "live filter": "live filter",
    PEER: "Anipose, told the inliers",
    "smoothed, without bones": "smoothed, without bones",
    "smoothed": "smoothed",
}
PARTS = ("calm", "flick", "impact")


def accuracy(axis, records):
    """Median error over views, every seed a mark."""
    for n, (method, name) in enumerate(NAMES.items()):
        mine = [r for r in records if r["job"] in {"smooth", "seed", "peer"}]
        mine = [r for r in mine if r["method"] == method and r.get("median")]
        at = [list(BAR).index(r["views"]) + (n - 2.5) * 0.12 for r in mine if r["views"] in BAR]
        axis.scatter(at, [r["median"] for r in mine if r["views"] in BAR], label=name, zorder=3)
    for i, value in enumerate(BAR.values()):
        axis.plot([i - 0.4, i + 0.4], [value, value], color="black", lw=1)
    axis.set_xticks(range(len(BAR)), [f"{v} views" for v in BAR])
    axis.set_ylabel("median error, mm (line: the bar)")
    axis.legend(fontsize=8)


def speed(axis, records):
    """Error where it is calm and where it is fast, fewest views."""
    fast = [r for r in records if r["job"] == "fast"]
    if not fast:
        return
    views = min(r["views"] for r in fast)
    names = ("triangulated", "live filter", "smoothed")
    for n, method in enumerate(names):
        row = next(r for r in fast if r["method"] == method and r["views"] == views)
        at = [i + (n - 1) * 0.25 for i in range(len(PARTS))]
        bars = axis.bar(at, [row[f"{p}_median"] for p in PARTS], 0.22, label=method)
        axis.scatter(at, [row[f"{p}_p95"] for p in PARTS], marker="_", color="black", zorder=3)
        axis.bar_label(bars, [f"{row[f'{p}_lag_ms']:.1f} ms" for p in PARTS], fontsize=7)
    axis.set_xticks(range(len(PARTS)), PARTS)
    axis.set_ylabel(f"error, mm: median, - 95 %; lag. {views} views")
    axis.legend(fontsize=8, ncols=3)
    axis.set_ylim(top=1.2 * max(r["calm_p95"] for r in fast))


def main():
    """Draw the picture."""
    records, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    accuracy(left, records)
    speed(right, records)
    for axis in (left, right):
        axis.grid(axis="y", alpha=0.3)
        axis.set_ylim(bottom=0)
    figure.savefig(folder / "smoothing.png", dpi=90)


if __name__ == "__main__":
    main()
