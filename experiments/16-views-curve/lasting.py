"""What the detector gets wrong in all views alike, and whether that can be taken off.

Run from the repository's root, after `run.py` or not::

    python experiments/16-views-curve/lasting.py [--write bias.yaml]

The bias of every keypoint is measured in the frame of the palm from the 3D of all views
(`multiview.bias`), on one capture, and taken off the others.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from run import part_of
from scenes import HAND, POSES, Scene, hand_of, read_scene

import multiview as mv
from multiview.bias import correct_bias, measure_bias, palm_frames
from multiview.core import KeypointBias, Points3D
from multiview.formats.bias_yaml import write_bias
from multiview.stage import provenance
from multiview.triangulation import TriangulationConfig

SPLITS = 6
CAPTURES = ("dome8", "dome31", "multi10", "demo8")


class Take:
    """The points of all views in slots named by the truth: which hand it is, is not asked here."""

    def __init__(self, name: str, unit: str) -> None:
        self.scene: Scene = read_scene(name)
        self.name, self.left = name, self.scene.left
        found = mv.triangulate(self.scene.dets, self.scene.rig, TriangulationConfig(unit=unit))
        self.points = self._sorted(found)
        self.truth = self._placed(self.scene.xyz)

    def _placed(self, xyz: np.ndarray) -> np.ndarray:
        out = np.full((len(xyz), 2, *xyz.shape[1:]), np.nan)
        out[np.arange(len(xyz)), np.where(self.left, 0, 1)] = xyz
        return out

    def _sorted(self, points: Points3D) -> Points3D:
        f, h = hand_of(points)
        inlier = np.zeros(points.inlier.shape, bool)
        inlier[:, f, np.where(self.left, 0, 1)] = points.inlier[:, f, h]
        return replace(
            points,
            xyz_world=self._placed(points.xyz_world[f, h]),
            cov=self._placed(points.cov[f, h]),
            inlier=inlier,
        )

    def bias(self, keep: np.ndarray | None = None) -> KeypointBias:
        """Measure on the frames that are kept, all by default."""
        keep = np.ones(len(self.left), bool) if keep is None else keep
        rows = np.flatnonzero(keep)
        cut = replace(
            self.points,
            xyz_world=self.points.xyz_world[rows],
            cov=self.points.cov[rows],
            inlier=self.points.inlier[:, rows],
            err_px=self.points.err_px[:, rows],
            voted=self.points.voted[rows],
            frame_ids=self.points.frame_ids[rows],
        )
        about = f"{self.name}, all views, {POSES[self.name]} frame sets a pose"
        return measure_bias(cut, self.truth[rows], stretch=POSES[self.name], about=about)

    def errors(self, points: Points3D) -> np.ndarray:
        """Millimetres, of the points that are right (within 10 % of the hand)."""
        limit = HAND * self.scene.length_m[:, None, None]
        before = np.linalg.norm(self.points.xyz_world - self.truth, axis=-1)
        after = np.linalg.norm(points.xyz_world - self.truth, axis=-1)
        return after[before < limit] * 1e3

    def held_out(self) -> np.ndarray:
        """Errors after a correction measured on the other poses of the same take."""
        pose, parts = self.scene.pose, self.points.xyz_world.copy()
        for p in np.unique(pose):
            fixed = correct_bias(self.points, self.bias(pose != p)).points.xyz_world
            parts[pose == p] = fixed[pose == p]
        return self.errors(replace(self.points, xyz_world=parts))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def parts_of_error(take: Take) -> None:
    """Print how much of the squared error is noise, a constant in the palm, and neither."""
    limit = HAND * take.scene.length_m[:, None, None]
    error = (take.points.xyz_world - take.truth) * 1e3
    error[np.linalg.norm(error, axis=-1) > limit * 1e3] = np.nan
    shape = error.shape
    left = np.repeat([[True, False]], shape[0], 0).ravel()
    axes = palm_frames(take.points.xyz_world.reshape(-1, 21, 3), left)
    local = np.einsum("nij,nki->nkj", axes, error.reshape(-1, 21, 3))
    local = local.reshape(shape)[np.arange(shape[0]), np.where(take.left, 0, 1)]
    whole = np.nanmean((local**2).sum(-1))
    poses = [np.nanmean(local[take.scene.pose == p], axis=0) for p in np.unique(take.scene.pose)]
    count = len(poses)
    by_pose = np.stack(poses)
    scatter = np.nanvar(by_pose, axis=0, ddof=1).sum(-1)
    # a mean of P poses holds a P-th of their scatter, too
    constant = np.nanmean((np.nanmean(by_pose, axis=0) ** 2).sum(-1) - scatter / count)
    f, h = hand_of(take.points)
    cov = np.trace(take.points.cov[f, h], axis1=-2, axis2=-1) * 1e6
    noise = np.nanmean(cov[np.isfinite(local).all(-1)])
    pose = whole - constant - noise
    cells = (np.sqrt(whole), *(np.sqrt(max(x, 0)) for x in (noise, constant, pose)))
    print(f"| {take.name} | {count} | " + " | ".join(f"{c:.2f}" for c in cells) + " |")


def common_to_halves(take: Take, unit: str) -> None:
    """Print how much of the error two disjoint halves of the cameras share."""
    scene, total = take.scene, len(take.scene.rig.cameras)
    limit, sums = HAND * scene.length_m[:, None], []
    full = (take.points.xyz_world[np.arange(len(scene.xyz)), np.where(take.left, 0, 1)]) * 1e3
    full -= scene.xyz * 1e3
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(total)
        errors = []
        for half in (order[: total // 2], order[total // 2 :]):
            dets, _ = part_of(scene, sorted(half.tolist()))
            rig = scene.rig.select(dets.camera_names)
            points = mv.triangulate(dets, rig, TriangulationConfig(unit=unit))
            f, h = hand_of(points)
            error = (points.xyz_world[f, h] - scene.xyz) * 1e3
            error[np.linalg.norm(error, axis=-1) > limit * 1e3] = np.nan
            errors.append(error)
        a, b = errors
        both = np.isfinite(a).all(-1) & np.isfinite(b).all(-1)
        both &= np.linalg.norm(full, axis=-1) < limit * 1e3
        own = ((a**2).sum(-1) + (b**2).sum(-1))[both].mean() / 2
        sums.append(
            (own, (full**2).sum(-1)[both].mean(), (a * b).sum(-1)[both].mean(), both.mean())
        )
    own, whole, common, share = np.mean(sums, axis=0)
    cells = " | ".join(f"{np.sqrt(max(x, 0)):.2f}" for x in (own, whole, common))
    print(f"| {take.name} | {total // 2} | {share:.2f} | {cells} |")


def interval(take: Take, bias: KeypointBias) -> None:
    """Print the bias of every keypoint with its 95 % interval, in thousandths of the hand."""
    print(f"\n| {take.name}, {bias.poses} poses | across | along | normal | 95 % +- |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, mean, sigma in zip(bias.keypoints, bias.offset, bias.sigma, strict=True):
        cells = " | ".join(f"{x * 1e3:+.0f}" for x in mean)
        print(f"| {name} | {cells} | {np.mean(sigma) * 1.96e3:.0f} |")


def carry(takes: dict[str, Take], biases: dict[str, KeypointBias]) -> None:
    """Print the error of every capture after a correction by every other."""
    print("\n| rms mm, measured on | " + " | ".join(takes) + " |")
    print("| --- |" + " ---: |" * len(takes))
    print(
        "| nothing | " + " | ".join(f"{rms(t.errors(t.points)):.2f}" for t in takes.values()) + " |"
    )
    for name, bias in biases.items():
        row = []
        for t in takes.values():
            value = rms(t.errors(correct_bias(t.points, bias).points))
            row.append(f"({value:.2f})" if t.name == name else f"{value:.2f}")
        print(f"| {name} | {' | '.join(row)} |")
    held = [f"{rms(t.held_out()):.2f}" for t in takes.values()]
    print(f"| its own other poses | {' | '.join(held)} |")


def alike(biases: dict[str, KeypointBias], raw: dict[str, np.ndarray]) -> None:
    """Print the correlation of the measured offsets of two captures."""
    names = list(biases)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            r = np.corrcoef(raw[a].ravel(), raw[b].ravel())[0, 1]
            print(f"correlation of the offsets of {a} and {b}: {r:.2f}")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="keep the table of multi10 (32 people)")
    parser.add_argument("--unit", choices=("finger", "keypoint"), default="finger")
    args = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing
    print(provenance())
    takes = {name: Take(name, args.unit) for name in CAPTURES}
    print("\n| rms mm, all views | poses | error | noise | constant | the rest |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for take in takes.values():
        parts_of_error(take)
    print("\n| rms mm | views of a half | points of both | a half | all views | common to halves |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for take in takes.values():
        common_to_halves(take, args.unit)
    biases = {n: t.bias() for n, t in takes.items()}
    carry(takes, biases)
    alike(biases, {n: b.offset for n, b in biases.items()})
    for name in ("dome8", "multi10"):
        interval(takes[name], biases[name])
    if args.write:
        write_bias(biases["multi10"], args.write)


if __name__ == "__main__":
    main()
