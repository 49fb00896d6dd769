"""`multiview detect`: 2D hands in every picture of a take, in shards that survive a kill."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multiview.capture import Capture
from multiview.core import Detections
from multiview.detection import concatenate, detect
from multiview.errors import CaptureError
from multiview.formats.detections_parquet import read_detections, write_detections
from multiview.models.base import Detector
from multiview.models.card import load_card
from multiview.models.confidence import confidence_digest
from multiview.models.load import load_detector
from multiview.progress import Progress, progress_bar, say
from multiview.stage import Stage, provenance
from multiview.stages.live import PROVISIONAL, Live
from multiview.stages.network import load_for
from multiview.stages.sync_text import sync_text

__all__ = ["detection_figures", "run_detect"]

# Frame sets a shard: what a kill can lose at most, some seconds of work.
SHARD_SETS = 60


def run_detect(
    capture: Capture,
    out: Path,
    *,
    detector: str = "hand",
    runtime: str = "cv2",
    provider: str = "cpu",
    passes: int = 0,
    max_hands: int = 2,
    search_every: int = 0,
    workers: int | None = None,
    rig_path: Path | None = None,
    force: bool = False,
    **options: Any,
) -> Path:
    """Detect and write ``detections.parquet`` into ``out``; finished shards are not redone.

    Parameters
    ----------
    capture
        The take.
    out
        Output folder.
    detector, runtime, provider, passes
        For `multiview.load_detector`.
    max_hands
        Hands kept a picture.
    search_every
        0: every picture on its own. 1 or more: track, see `multiview.detection.detect`; trackers
        start anew with every shard, so that an interrupted run ends as it would have.
    workers
        Threads; None: one a core that this process may use. The result is the same.
    rig_path
        Triangulate too, by this rig, into ``<out>-3d``: see `multiview.stages.live`.
    force
        Replace an older, different result.
    options
        More for `multiview.load_detector`.

    Raises
    ------
    InputError
        If the rig is not one of this take's cameras.
    """
    card = load_card(detector)
    config = {
        "detector": detector,
        "card": card.digest,
        "confidence": confidence_digest(card, passes),
        "runtime": runtime,
        "passes": passes,
        "max_hands": max_hands,
        "search_every": search_every,
        **options,
    }
    live = None if rig_path is None else Live(rig_path, capture, out, force=force)
    stage = Stage("detect", config, {"capture": capture.digest}, out, force)
    if stage.done:
        say(f"detect: {out} is up to date")
    else:
        say(sync_text(capture))
        run = {"runtime": runtime, "provider": provider, "max_hands": max_hands, **options}
        network = load_for(stage, lambda: load_detector(detector, passes=passes, **run))
        how = _How(max_hands, workers or usable_cores(), search_every)
        _detect_all(stage, capture, network, how, live)
    if live is not None:
        live.finish()
    return out


@dataclass(frozen=True, slots=True)
class _How:
    """Options of `multiview.detection.detect`."""

    max_hands: int
    workers: int
    search_every: int


def _detect_all(
    stage: Stage, capture: Capture, network: Detector, how: _How, live: Live | None
) -> None:
    """Detect what is not there yet, join the shards, and give the folder its name."""
    shards: list[Path] = []
    with progress_bar() as progress, live or nullcontext():
        for path in _shards(stage, capture, network, how, progress):
            if live is not None and shards:
                live.add(shards[-1])  # so never the last one: the whole take follows at once
            shards.append(path)
    dets = concatenate([read_detections(p) for p in shards])
    about = {"config": stage.config, "capture": capture.digest, "versions": provenance()}
    write_detections(dets, stage.work / "detections.parquet", about)
    for path in (*shards, *stage.work.glob(PROVISIONAL.format("*"))):
        path.unlink()
    figures = detection_figures(dets, capture)
    stage.finish(figures)
    say(
        f"detect: a hand in {figures['pictures_with_hand']} of {figures['pictures']} pictures "
        f"-> {stage.out / 'detections.parquet'}"
    )


def _shards(
    stage: Stage, capture: Capture, network: Detector, how: _How, progress: Progress
) -> Iterator[Path]:
    """Give the shards one after another, each as soon as it is there."""
    sets = len(capture.frame_ids)
    if not sets:
        raise CaptureError("the capture has no frame sets", "check the videos with a player")
    for number, start in enumerate(range(0, sets, SHARD_SETS)):
        path = stage.work / f"shard-{number:05d}.parquet"
        if not path.exists():
            part = detect(
                capture,
                network,
                start=start,
                stop=min(start + SHARD_SETS, sets),
                max_hands=how.max_hands,
                workers=how.workers,
                search_every=how.search_every,
                progress=_offset(progress, capture, start),
            )
            write_detections(part, path)
        yield path


def usable_cores() -> int:
    """Count the cores that this process may run on (fewer than the machine's in a container)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _offset(progress: Progress, capture: Capture, start: int) -> Progress:
    """Count pictures over all shards."""
    before = int((capture.index[:, :start] >= 0).sum())
    total = int((capture.index >= 0).sum())
    return lambda what, done, _: progress(what, before + done, total)


def detection_figures(dets: Detections, capture: Capture) -> dict[str, object]:
    """Count the pictures, and those with a hand, for the manifest."""
    found = np.asarray(dets.valid.any((-1, -2)), np.bool_)
    pictures = capture.index >= 0
    return {
        "pictures": int(pictures.sum()),
        "pictures_with_hand": int(found.sum()),
        "per_camera": {
            n: float(found[v].sum() / max(1, pictures[v].sum()))
            for v, n in enumerate(dets.camera_names)
        },
        "frame_sets": len(dets.frame_ids),
        "complete_sets": int(np.all(pictures, axis=0).sum()),
    }
