"""Curves of the records as a picture: run in the environment that has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

records, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
curves = records["curves"]
figure, axes = plt.subplots(1, 4, figsize=(17, 4), layout="constrained")
panels = (
    ("outliers", "share of wrong detections", [("views", v) for v in (4, 8, 31)], {"sigma": 1.5}),
    ("views", "views", [("outliers", 0.15)], {"sigma": 1.5}),
    ("sigma", "noise, px", [("views", v) for v in (4, 8)], {"outliers": 0.15}),
)
for axis, (x, label, series, fixed) in zip(axes, panels, strict=False):
    for color, (key, value) in zip(("C0", "C1", "C2"), series, strict=False):
        some = [c for c in curves if c[key] == value and all(c[k] == f for k, f in fixed.items())]
        some.sort(key=lambda c: c[x])
        name = f"{value} views" if key == "views" else "15 % wrong"
        at = [c[x] for c in some]
        for style, quantile in (("-", "median"), ("--", "p95")):
            axis.plot(
                at, [c[quantile] for c in some], style, color=color, label=f"{name}, {quantile}"
            )
            axis.plot(at, [c[f"oracle_{quantile}"] for c in some], "x", color="black", ms=5)
    axis.set(xlabel=label, ylabel="error mm (crosses: ML, right views known)", yscale="log")
    axis.legend(fontsize=7)
for color, v in zip(("C0", "C1", "C2"), (4, 8, 31), strict=True):
    some = sorted(
        (c for c in curves if c["views"] == v and c["sigma"] == 1.5), key=lambda c: c["outliers"]
    )
    at = [c["outliers"] for c in some]
    axes[3].plot(at, [c["recall5"] for c in some], color=color, label=f"{v} views")
    axes[3].plot(at, [c["oracle_recall5"] for c in some], "x", color="black", ms=5)
axes[3].set(xlabel="share of wrong detections", ylabel="within 5 mm, of all", ylim=(0, 1.02))
axes[3].legend(fontsize=7)
figure.savefig(folder / "curves.png", dpi=80)

if records.get("together"):
    kinds = tuple(dict.fromkeys(r["kind"] for r in records["together"]))
    figure, axes = plt.subplots(2, len(kinds), figsize=(5 * len(kinds), 7), layout="constrained")
    shown = (("recall5", "within 5 mm, of all"), ("false_labels", "labels over 20 mm off"))
    styles = {"repair": "-", "no repair": "--", "whole fingers": ":"}
    for column, kind in zip(axes.T, kinds, strict=True):
        for axis, (name, label) in zip(column, shown, strict=True):
            for color, v in zip(("C0", "C1", "C2"), (4, 8, 31), strict=True):
                for way, style in styles.items():
                    some = [
                        r
                        for r in records["together"]
                        if (r["kind"], r["views"], r["way"]) == (kind, v, way)
                    ]
                    axis.plot(
                        [r["rate"] for r in some],
                        [r[name] for r in some],
                        style,
                        color=color,
                        label=f"{v} views, {way}",
                    )
            axis.set(xlabel=f"share {kind}", ylabel=label)
    axes[0, 0].legend(fontsize=7)
    figure.savefig(folder / "together.png", dpi=80)
