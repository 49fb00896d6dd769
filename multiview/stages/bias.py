"""`multiview models bias`: the lasting error of a detector, from a take with truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from multiview.bias import measure_bias
from multiview.core import KeypointBias
from multiview.errors import InputError
from multiview.formats.bias_yaml import write_bias
from multiview.formats.points_parquet import read_points
from multiview.formats.rig_yaml import read_rig
from multiview.progress import say
from multiview.stage import read_manifest
from multiview.stages.evaluate import align_to_truth, read_truth

__all__ = ["run_bias"]


def run_bias(
    points_folder: Path,
    truth: Path,
    out: Path,
    *,
    truth_rig: Path | None = None,
    stretch: int = 30,
    force: bool = False,
) -> KeypointBias:
    """Measure the lasting error of every keypoint and write it to ``out``.

    Parameters
    ----------
    points_folder
        Folder of `multiview triangulate`, without a correction.
    truth
        npz with xyz_world (F, H, K, 3), metres.
    out
        YAML file.
    truth_rig
        The true cameras, if the worlds differ by a rigid motion.
    stretch
        Frame sets that show one pose, or nearly.
    force
        Replace a file that is there.

    Raises
    ------
    InputError
        If points and truth do not belong together, or a correction is in the points already.
    """
    if out.exists() and not force:
        raise InputError(f"{out} exists", "choose another --out, or add --force to replace it")
    if "bias" in read_manifest(points_folder).get("inputs", {}):
        raise InputError(
            f"{points_folder} was corrected already", "measure on points made without --bias"
        )
    points, known = read_points(points_folder / "points.parquet"), read_truth(truth)
    if known.shape[1:] != points.xyz_world.shape[1:] or points.frame_ids.max(initial=0) >= len(
        known
    ):
        raise InputError(
            f"truth has shape {known.shape}, the points {points.xyz_world.shape}",
            "give the truth of this take",
        )
    if truth_rig is not None:
        R, t = align_to_truth(read_rig(points_folder / "rig.yaml"), read_rig(truth_rig))
        points = replace(points, xyz_world=points.xyz_world @ R.T + t)
    about = f"{points_folder} against {truth.name}, {stretch} frame sets a pose"
    bias = measure_bias(points, known[points.frame_ids], stretch=stretch, about=about)
    write_bias(bias, out)
    kept = np.linalg.norm(bias.offset, axis=-1)
    worst = int(kept.argmax())
    say(
        f"bias: {bias.poses} poses; {np.sqrt((kept**2).mean()):.1%} of the hand's length (rms), "
        f"most {bias.keypoints[worst]} {kept[worst]:.1%}, standard deviation "
        f"{np.median(bias.sigma):.1%} -> {out}"
    )
    say("  it holds for this detector on hands and poses like these; others: measure again")
    return bias
