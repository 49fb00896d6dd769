"""`multiview detect --detector precomputed`: a take's 2D hands as another program found them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from multiview._files import visible
from multiview.capture import Capture
from multiview.core import HAND_21, Detections
from multiview.errors import InputError
from multiview.formats.atomic import disk_errors
from multiview.formats.detections_parquet import write_detections
from multiview.formats.keypoint_names import KeypointChoice
from multiview.formats.keypoint_table import KeypointFormat
from multiview.precomputed import read_precomputed
from multiview.progress import say
from multiview.stage import Stage, provenance
from multiview.stages.detect import detection_figures
from multiview.stages.sync_text import sync_text

__all__ = ["PrecomputedOptions", "run_precomputed", "say_skeleton"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecomputedOptions:
    """How to read; as the arguments of `multiview.precomputed.read_precomputed`."""

    format: KeypointFormat | None = None
    images: Path | None = None
    max_hands: int = 2
    keypoints: KeypointChoice = "auto"
    trust_labels: bool | None = None


def run_precomputed(
    capture: Capture,
    source: Path,
    out: Path,
    options: PrecomputedOptions | None = None,
    *,
    force: bool = False,
) -> Path:
    """Read another program's keypoints and write ``detections.parquet``, as `detect` does.

    Parameters
    ----------
    capture
        The take.
    source
        File or folder of the other program.
    out
        Output folder.
    options
        Format, and what to make of names and labels.
    force
        Replace an older, different result.

    Raises
    ------
    InputError
        Naming the camera, file and line of what does not fit.
    """
    options = options or PrecomputedOptions()
    config = {"detector": "precomputed"} | asdict(options)
    inputs = {"capture": capture.digest, "source": source_digest(source)}
    stage = Stage("detect", config, inputs, out, force)
    if stage.done:
        say(f"detect: {out} is up to date")
        return out
    say(sync_text(capture))
    dets = read_precomputed(source, capture=capture, **asdict(options))
    about = {"config": stage.config, "versions": provenance()} | inputs
    write_detections(dets, stage.work / "detections.parquet", about)
    figures = detection_figures(dets, capture) | {"source": dets.source}
    stage.finish(figures)
    say(
        f"detect: read {dets.source}; a hand in {figures['pictures_with_hand']} of "
        f"{figures['pictures']} pictures -> {out / 'detections.parquet'}"
    )
    say_skeleton(dets)
    return out


def say_skeleton(dets: Detections) -> None:
    """Say what was assumed of keypoints that are not the hand's."""
    if dets.skeleton is not HAND_21:
        bones = f"{len(dets.skeleton.edges)} bones" if dets.skeleton.edges else "no bones"
        say(
            f"  {len(dets.skeleton.keypoints)} keypoints of its own "
            f"({', '.join(dets.skeleton.keypoints[:4])}, ...), {bones}; each point is a group by "
            "itself, so triangulation votes point by point"
        )


def source_digest(path: Path) -> str:
    """Content hash of a file, or of all files of a folder and their names.

    Raises
    ------
    InputError
        If there is none.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "check --from")
    sha = hashlib.sha256()
    with disk_errors(path):
        for file in _files(path):
            sha.update(f"{file.relative_to(path.parent)}\n".encode())
            with file.open("rb") as stream:
                sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [f for entry in visible(path) for f in _files(entry)]
