"""`multiview convert`: rigs and detections of other programs into the project's files."""

from __future__ import annotations

from pathlib import Path

from multiview.core import Detections, Rig
from multiview.errors import InputError
from multiview.formats.atomic import disk_errors
from multiview.formats.files import save
from multiview.formats.keypoint_names import KeypointChoice
from multiview.formats.keypoint_table import KeypointFormat
from multiview.formats.rigs.foreign import read_any_rig, write_foreign_rig
from multiview.formats.rigs.names import LengthUnit, RigFormat
from multiview.precomputed import read_precomputed
from multiview.progress import say
from multiview.stages.precomputed import say_skeleton

__all__ = ["run_convert"]


def run_convert(
    source: Path,
    out: Path,
    size_wh: tuple[int, int] | None = None,
    *,
    to: RigFormat | None = None,
    unit: LengthUnit | None = None,
    format: KeypointFormat | None = None,
    images: Path | None = None,
    max_hands: int = 2,
    keypoints: KeypointChoice = "auto",
    trust_labels: bool | None = None,
) -> Path:
    """Convert by what is asked for: a rig into ``.yaml`` or for another program, 2D keypoints.

    Parameters
    ----------
    source
        For a rig any of `multiview.formats.rigs` or ours; for keypoints any format of
        `multiview.precomputed`.
    out
        ``.yaml`` for a rig, ``.parquet`` for detections; with ``to`` what that program reads.
    size_wh
        Image size for sources that do not state it (handpose3d, MediaPipe).
    to
        Program that a rig is written for.
    unit
        Lengths of the foreign file: what is written with ``to``, what is read without.
    format, images, max_hands, keypoints, trust_labels
        As in `multiview.precomputed.read_precomputed`.

    Raises
    ------
    InputError
        If the source is none of these, or the format cannot hold the rig.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or folder", "check the path")
    value: Rig | Detections
    if to is not None:
        rig = read_any_rig(source, size_wh)
        with disk_errors(out):
            write_foreign_rig(rig, out, to, unit)
        say(f"convert: {source} -> {out} ({to})")
        return out
    if source.suffix == ".toml" or out.suffix.lower() in {".yaml", ".yml"}:
        value = read_any_rig(source, size_wh, unit)
        _say_unit(value)
    else:
        if unit is not None:
            raise InputError("--unit means nothing for 2D keypoints", "leave it out")
        value = read_precomputed(
            source,
            format=format,
            size_wh=size_wh,
            images=images,
            max_hands=max_hands,
            keypoints=keypoints,
            trust_labels=trust_labels,
        )
        say_skeleton(value)
    save(value, out)
    say(f"convert: {source} -> {out}")
    return out


def _say_unit(rig: Rig) -> None:
    if rig.unit != "m":
        say(
            f"  the source does not state its scale (unit: {rig.unit}); if you know it, add "
            "--unit mm, cm or m"
        )
