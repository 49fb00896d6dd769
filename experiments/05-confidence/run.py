"""Fit the confidence of the shipped networks, and measure what it is worth on other captures.

``python run.py [--cache FOLDER] [--write]``: see README.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

import cv2
import numpy as np
from pictures import reliability_diagram
from readings import COLUMNS, first_reading, read_capture
from scipy.stats import rankdata, spearmanr

from multiview.core import HAND_21
from multiview.models.card import load_card
from multiview.models.confidence import (
    SHIPPED,
    WITHIN,
    Calibration,
    calibrate,
    reliability,
)
from multiview.models.cues import crop_steps, hand_cues, hand_size, spread_cues
from multiview.models.fit_confidence import calibration_text
from multiview.models.mediapipe import next_rois
from multiview.stage import provenance

SHARED = Path(os.environ.get("MULTIVIEW_SHARED", Path(__file__).parents[2] / ".." / "shared"))
HERE = Path(__file__).parent
NETWORKS = ("mediapipe-full", "mediapipe-lite")
DEVELOPMENT, EVALUATION = ("dome8", "dome31", "start4", "train12", "multi10"), ("demo8",)
# Cues and design were chosen on these alone; the others hold 104 subjects more, some with objects.
FIRST = ("dome8", "dome31")
DRAWN = ("demo8", "multi10")
FITTED_ON = (
    "rendered captures dome8, dome31, start4, train12, multi10 (106 subjects, some with objects)"
)


class Hands:
    """The hands of one capture in one design: cues, errors, and what was right."""

    def __init__(self, table: dict[str, np.ndarray], passes: int) -> None:
        first = first_reading(table)
        xy = table["xy"][:, COLUMNS[passes]]
        self.centre = np.nanmedian(xy, axis=1)
        self.error = error_of(self.centre, table["truth"])
        self.right = self.error < WITHIN
        self.presence = first.conf
        self.cues = hand_cues(first, HAND_21, next_rois(first.xy_px))
        if passes:
            self.cues |= spread_cues(xy, self.centre)


def error_of(xy: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance to the truth, in true hand sizes."""
    return np.linalg.norm(xy - truth, axis=-1) / hand_size(truth)[:, None]


def fit(model: str, passes: int, sets: list[Hands], leave_out: str = "") -> Calibration:
    names = [n for n in sets[0].cues if n != leave_out]
    return calibrate(
        {n: np.concatenate([s.cues[n] for s in sets]) for n in names},
        np.concatenate([s.right for s in sets]),
        model=model,
        sha256=load_card(model).weights["hand"].sha256,
        passes=passes,
        fitted_on=FITTED_ON,
    )


def within_hands(conf: np.ndarray, error: np.ndarray) -> float:
    """Mean over hands of the rank correlation of doubt and error among a hand's keypoints."""
    rho = [
        spearmanr(-c, e).statistic if np.ptp(c) > 0 else 0.0
        for c, e in zip(conf, error, strict=True)
    ]
    return float(np.mean(rho))


def auc(conf: np.ndarray, right: np.ndarray) -> float:
    """Chance that a wrong keypoint has less confidence than a right one; ties count half."""
    rank, wrong = rankdata(-conf.ravel()), ~right.ravel()
    n = wrong.sum()
    return float((rank[wrong].sum() - n * (n + 1) / 2) / (n * (~wrong).sum()))


def scores(conf: np.ndarray, hands: Hands) -> list[float]:
    """Spearman pooled and within hands, AUC, Brier score, expected calibration error."""
    said, came, count = reliability(conf, hands.right)
    gap = np.nansum(np.abs(said - came) * count) / count.sum()
    return [
        float(spearmanr(-conf.ravel(), hands.error.ravel()).statistic),
        within_hands(conf, hands.error),
        auc(conf, hands.right),
        float(np.mean((conf - hands.right) ** 2)),
        float(gap),
    ]


HEADER = (
    "| capture | extra passes | right | mean conf. | Spearman pooled | within hands "
    "| AUC | Brier | ECE |\n|" + " --- |" * 9
)


def row(name: str, passes: object, conf: np.ndarray, hands: Hands) -> None:
    values = [hands.right.mean(), conf.mean(), *scores(conf, hands)]
    print(f"| {name} | {passes} | " + " | ".join(f"{v:.3f}" for v in values) + " |", flush=True)


def table_of_scores(
    model: str, sets: dict[tuple[str, int], Hands]
) -> tuple[list[Calibration], dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]]:
    print(f"\n## {model}\n\n{HEADER}")
    shipped, curves = [], {}
    for passes in COLUMNS:
        shipped.append(fit(model, passes, [sets[name, passes] for name in DEVELOPMENT]))
        for name in (*DEVELOPMENT, *EVALUATION):
            hands = sets[name, passes]
            # a capture is judged by parameters fitted on the others only
            used = fit(model, passes, [sets[n, passes] for n in DEVELOPMENT if n != name])
            if passes == 0:
                row(name, "presence", hands.presence, hands)
                curves[name, -1] = hands.presence, hands.right
            conf = used.probability(hands.cues)
            row(name, passes, conf, hands)
            curves[name, passes] = conf, hands.right
    return shipped, curves


def table_of_captures(model: str, sets: dict[tuple[str, int], Hands]) -> None:
    """What fitting on more subjects does to how sure the confidence is."""
    print(f"\n## {model}: mean confidence less share right, and ECE\n")
    print("| capture | passes | dome8 and dome31 | ECE | all five | ECE |\n|" + " --- |" * 6)
    for name in (*DEVELOPMENT, *EVALUATION):
        for passes in (0, 2, 8):
            hands, cells = sets[name, passes], []
            for captures in (FIRST, DEVELOPMENT):
                used = fit(model, passes, [sets[n, passes] for n in captures if n != name])
                conf = used.probability(hands.cues)
                gap = scores(conf, hands)[-1]
                cells += [f"{conf.mean() - hands.right.mean():+.3f}", f"{gap:.3f}"]
            print(f"| {name} | {passes} | {' | '.join(cells)} |", flush=True)


def table_of_errors(model: str, sets: dict[tuple[str, int], Hands]) -> None:
    print(f"\n## {model}: error of the median of all readings, in hand sizes\n")
    print("| capture | extra passes | mean | median | 90 % | within 10 % |\n|" + " --- |" * 6)
    for name in (*DEVELOPMENT, *EVALUATION):
        for passes in COLUMNS:
            e = sets[name, passes].error
            print(
                f"| {name} | {passes} | {e.mean():.4f} | {np.median(e):.4f} | "
                f"{np.quantile(e, 0.9):.4f} | {(e < WITHIN).mean():.4f} |"
            )


def table_of_cues(model: str, sets: dict[tuple[str, int], Hands]) -> None:
    print(f"\n## {model}: without one cue (mean of dome8 -> dome31 and dome31 -> dome8)\n")
    print("| passes | without | Spearman pooled | within hands | AUC | Brier | ECE |")
    print("|" + " --- |" * 7)
    for passes in (0, 2, 8):
        for cue in ("", *sets["dome8", passes].cues):
            values = []
            for train, test in (FIRST, FIRST[::-1]):
                hands = sets[test, passes]
                conf = fit(model, passes, [sets[train, passes]], cue).probability(hands.cues)
                values.append(scores(conf, hands))
            line = " | ".join(f"{v:.3f}" for v in np.mean(values, axis=0))
            print(f"| {passes} | {cue or '(all cues)'} | {line} |", flush=True)
        if passes:
            only_spread(passes, sets)


def only_spread(passes: int, sets: dict[tuple[str, int], Hands]) -> None:
    """The plain spread as a ranking: what was measured elsewhere."""
    both = [sets[name, passes] for name in FIRST]
    values = [scores(1 - np.exp(h.cues["spread"]).clip(0, 1), h)[:3] for h in both]
    line = " | ".join(f"{v:.3f}" for v in np.mean(values, axis=0))
    print(f"| {passes} | the spread alone, unfitted | {line} | - | - |")


def table_of_steps(tables: dict[str, dict[str, np.ndarray]]) -> None:
    """How far the crop proposed and the crop wanted lie apart: standard deviations."""
    steps = []
    for name in FIRST:
        t = tables[name]
        steps.append(crop_steps(t["roi"], next_rois(t["xy"][:, 0])))
    steps = np.concatenate(steps)
    spread = 1.4826 * np.median(np.abs(steps - np.median(steps, axis=0)), axis=0)
    print("\nfrom proposed to wanted crop, in STEP (x, y, log side, turn):")
    print(f"standard deviation {steps.std(0).round(2)}, robust {spread.round(2)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "rendered")
    parser.add_argument("--cache", type=Path, default=HERE / "runs")
    parser.add_argument("--write", action="store_true", help=f"replace {SHIPPED.name}")
    args = parser.parse_args()
    if not args.data.is_dir():
        sys.exit(f"skipped: no captures in {args.data} (set MULTIVIEW_SHARED)")
    print(platform.processor() or platform.machine(), provenance())
    fitted: list[Calibration] = []
    for model in NETWORKS:
        names = (*DEVELOPMENT, *EVALUATION)
        tables = {n: read_capture(args.data / n, model, args.cache) for n in names}
        sets = {(n, p): Hands(t, p) for n, t in tables.items() for p in COLUMNS}
        shipped, curves = table_of_scores(model, sets)
        fitted += shipped
        table_of_captures(model, sets)
        table_of_errors(model, sets)
        ms = np.concatenate([t["ms"] for t in tables.values()]).mean(0)
        print(f"\nCPU ms: picture with its first reading {ms[0]:.1f}, an extra pass {ms[1]:.1f}")
        if model == NETWORKS[0]:
            table_of_steps(tables)
            table_of_cues(model, sets)
            diagram = reliability_diagram(curves, DRAWN)
            cv2.imwrite(str(HERE / "reliability.png"), diagram)
    if args.write:
        write(fitted)


def write(fitted: list[Calibration]) -> None:
    """Write the parameters into the package."""
    comment = "Parameters of multiview.models.confidence; experiments/05-confidence wrote them."
    SHIPPED.write_text(calibration_text(fitted, comment), encoding="utf-8")
    print(f"wrote {len(fitted)} calibrations")


if __name__ == "__main__":
    main()
