"""`multiview convert`: rigs and detections of other programs into the project's files."""

from __future__ import annotations

from pathlib import Path

from multiview.core import Detections, Rig
from multiview.errors import InputError
from multiview.formats.caliscope import read_caliscope_rig
from multiview.formats.files import save
from multiview.formats.handpose3d import read_handpose3d_rig
from multiview.formats.keypoint_names import KeypointChoice
from multiview.formats.keypoint_table import KeypointFormat
from multiview.precomputed import read_precomputed
from multiview.progress import say
from multiview.stages.precomputed import say_skeleton

__all__ = ["run_convert"]


def run_convert(
    source: Path,
    out: Path,
    size_wh: tuple[int, int] | None = None,
    *,
    format: KeypointFormat | None = None,
    images: Path | None = None,
    max_hands: int = 2,
    keypoints: KeypointChoice = "auto",
    trust_labels: bool | None = None,
) -> Path:
    """Convert by what is asked for: a rig into ``.yaml``, 2D keypoints into ``.parquet``.

    Parameters
    ----------
    source
        For a rig a ``config.toml`` (caliscope, pyxy3d) or a folder with ``camera_parameters``
        (handpose3d); for keypoints any format of `multiview.precomputed`.
    out
        ``.yaml`` for a rig, ``.parquet`` for detections.
    size_wh
        Image size for sources that do not state it (handpose3d, MediaPipe).
    format, images, max_hands, keypoints, trust_labels
        As in `multiview.precomputed.read_precomputed`.

    Raises
    ------
    InputError
        If the source is none of these.
    """
    if not source.exists():
        raise InputError(f"{source}: no such file or folder", "check the path")
    value: Rig | Detections
    if source.suffix == ".toml" or out.suffix.lower() in {".yaml", ".yml"}:
        value = _rig(source, size_wh)
    else:
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


def _rig(source: Path, size_wh: tuple[int, int] | None) -> Rig:
    if source.suffix == ".toml":
        return read_caliscope_rig(source)
    if not source.is_dir():
        raise InputError(
            f"{source}: no rig is read from {source.suffix!r}",
            "rigs come from config.toml (caliscope, pyxy3d) and handpose3d folders; 2D keypoints "
            "go to --out FILE.parquet",
        )
    if size_wh is None:
        raise InputError(
            f"{source}: its files do not state the image size", "add --size-wh WIDTH HEIGHT"
        )
    return read_handpose3d_rig(source, size_wh)
