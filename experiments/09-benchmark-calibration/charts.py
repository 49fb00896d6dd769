"""Two pictures of the results, drawn in an environment with matplotlib.

charts.py RESULTS.json FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

COLOURS = plt.get_cmap("tab20").colors


def ratios(rows, folder):
    """3D error over that of the known-inlier optimum, a group a scene."""
    scenes = list(dict.fromkeys(r["scene"] for r in rows))
    tools = list(dict.fromkeys(r["tool"] for r in rows if not r["tool"].startswith("oracle")))
    figure, axis = plt.subplots(figsize=(11, 4.5), layout="constrained")
    for n, tool in enumerate(tools):
        mine = {r["scene"]: r for r in rows if r["tool"] == tool and r.get("ratio")}
        at = [i + (n - len(tools) / 2) * 0.06 for i, s in enumerate(scenes) if s in mine]
        marker, size = ("*", 130) if tool.startswith("ours") else ("o", 30)
        colour = "black" if tool.startswith("ours") else COLOURS[n % 20]
        values = [mine[s]["ratio"] for s in scenes if s in mine]
        axis.scatter(at, values, s=size, marker=marker, color=colour, label=tool, zorder=3)
    axis.axhline(1, color="grey", lw=1)
    axis.set_yscale("log")
    axis.set_xticks(range(len(scenes)), scenes)
    axis.set_ylabel("3D error / known-inlier optimum")
    axis.grid(axis="y", alpha=0.3)
    axis.legend(ncols=1, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.savefig(folder / "ratios.png", dpi=90)


def times(rows, folder):
    """Processor seconds of the whole calibration against the number of corners."""
    figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
    tools = list(dict.fromkeys(r["tool"] for r in rows if not r["tool"].startswith("oracle")))
    for n, tool in enumerate(tools):
        mine = [r for r in rows if r["tool"] == tool and r.get("cpu_s") and r["board"]]
        if not mine:
            continue
        at = np.array(sorted((r["corners"], r["cpu_s"]) for r in mine))
        ours = tool.startswith("ours")
        style = {"color": "black", "lw": 2.5} if ours else {"color": COLOURS[n % 20], "lw": 1}
        axis.plot(at[:, 0], at[:, 1], "o-", ms=4, label=tool, **style)
    axis.set(xscale="log", yscale="log", xlabel="corners", ylabel="CPU seconds, whole calibration")
    axis.grid(which="both", alpha=0.2)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.savefig(folder / "times.png", dpi=90)


if __name__ == "__main__":
    results = json.loads(Path(sys.argv[1]).read_text())
    ratios(results, Path(sys.argv[2]))
    times(results, Path(sys.argv[2]))
