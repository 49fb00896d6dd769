"""What lies in the folder of a run: points, the detections they were made of, rig, take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multiview._shapes import IntArray
from multiview.capture import Capture, open_capture
from multiview.errors import InputError
from multiview.formats.rig_yaml import read_rig
from multiview.formats.scan import points_meta, scan_detections, scan_points
from multiview.stage import MANIFEST, file_digest, read_manifest
from multiview.stages.triangulated import check_take
from multiview.viz.scene import BLOCK, Block, Image, Scene

__all__ = ["POINTS", "RIG", "TABLE", "RunFolder", "find_run", "open_scene", "open_take"]

POINTS, TABLE, RIG = "points.parquet", "detections.parquet", "rig.yaml"
# A run of `detect --guided` or of a loop holds both; the second pass is its result.
GUIDED, PLAIN = "triangulate-guided", "triangulate"


Pictures = Callable[[int, IntArray], Iterator[tuple[int, Image]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """Where the parts are.

    Parameters
    ----------
    folder
        Holds ``points.parquet``.
    rig
        Rig file.
    detections
        Table that the points were made of; None if it is not to be found.
    """

    folder: Path
    rig: Path
    detections: Path | None


def find_run(run: Path, detections: Path | None = None, rig: Path | None = None) -> RunFolder:
    """Find the points of a run, their rig and their detections.

    Parameters
    ----------
    run
        Folder of `demo`, `triangulate`, `smooth`, or of a take in a round of `bootstrap`.
    detections, rig
        Where they are, if not where the run says.

    Raises
    ------
    InputError
        If the run is missing, unfinished, or holds several results: it names them.
    """
    folder = _points_folder(run)
    manifest = read_manifest(folder)
    table = _table(detections) if detections else _made_of(folder, manifest)
    rig_path = rig or folder / RIG
    if not rig_path.exists():
        raise InputError(
            f"{folder}: no {RIG} beside its points (older versions wrote none)",
            "give the rig they were made with: --rig RIG.yaml, or triangulate again",
        )
    return RunFolder(folder=folder, rig=rig_path, detections=table)


def _points_folder(run: Path) -> Path:
    if (run / POINTS).exists():
        return run
    found = sorted(p.parent for p in (*run.glob(f"*/{POINTS}"), *run.glob(f"*/*/{POINTS}")))
    found = [p for p in found if not p.name.endswith(".partial") and not p.name.startswith(".")]
    done = [p for p in found if p.name != PLAIN or p.with_name(GUIDED) not in found]
    if len(done) == 1:
        return done[0]
    if done:
        raise InputError(
            f"{run} holds several results: {', '.join(str(p) for p in done)}", "give one of them"
        )
    raise _nothing(run)


def _nothing(run: Path) -> InputError:
    """Say why a folder has no points: half-finished, missing, or of another stage."""
    near = (run, run.with_name(f"{run.name}.partial"))
    torn = [p for p in near if p.suffix == ".partial" and p.is_dir()]
    torn += [*sorted(run.glob("*.partial")), *sorted(run.glob("*/*.partial"))]
    if torn:
        return InputError(
            f"{run} is half-finished ({torn[0].name} is still being made, or was interrupted)",
            "give the command that makes it again: finished parts are kept",
        )
    if not run.is_dir():
        return InputError(f"{run} is no folder", "give the --out folder of demo or triangulate")
    return InputError(
        f"{run} holds no 3D points ({POINTS})",
        "give the --out folder of demo, triangulate or smooth; `detect` alone makes no points",
    )


def _table(given: Path) -> Path:
    path = given / TABLE if given.is_dir() else given
    if not path.exists():
        raise InputError(f"{path}: no such file", "give the folder of `detect`")
    return path


def _made_of(folder: Path, manifest: dict[str, object]) -> Path | None:
    """Find the detections by the path that the run noted, or by their content beside it."""
    figures, inputs = manifest.get("figures"), manifest.get("inputs")
    digest = inputs.get("detections") if isinstance(inputs, dict) else None
    way = figures.get("detections") if isinstance(figures, dict) else None
    noted = [(folder / str(way)).resolve()] if way else []
    near = sorted((*folder.parent.glob(f"*/{TABLE}"), *folder.parent.glob(f"*{TABLE}")))
    there = [p for p in (*noted, *(near if digest else ())) if p.exists()]
    # a folder may have been detected again since
    return next((p for p in there if digest is None or file_digest(p) == digest), None)


def open_scene(run: RunFolder, capture: Capture | None = None) -> Scene:
    """Describe a run for the viewers; frames are read when they are asked for.

    Raises
    ------
    InputError
        If parts do not belong together.
    """
    path = run.folder / POINTS
    meta = points_meta(path)
    names, frames = tuple(meta["cameras"]), np.array(meta["frames"], np.int64)
    rig = read_rig(run.rig).select(names)
    if meta["rig_digest"] != rig.digest:
        raise InputError(
            f"the 3D points were made with rig {meta['rig_digest']}, {run.rig} is {rig.digest}",
            "give the rig they were triangulated with: --rig RIG.yaml",
        )
    if capture is not None:
        check_take(capture, names, len(frames))
        rig.check_sizes(capture.sizes_wh)
    pictures = None if capture is None else _pictures(capture)
    return Scene(
        title=f"{run.folder.parent.name}/{run.folder.name}",
        rig=rig,
        skeleton=meta["skeleton"],
        hands=tuple(meta["hands"]) or tuple(str(n) for n in range(meta["slots"])),
        frame_ids=frames,
        blocks=lambda: _blocks(path, run.detections, frames),
        pictures=pictures,
        note=f"points are smoothed {meta['smoothing']}" if meta["smoothing"] else "",
    )


def open_take(run: RunFolder) -> Capture | None:
    """Open the take of a run of the demo; others do not say where theirs lies."""
    from multiview.stages.demo import demo_data

    if run.detections is None or not (run.detections.parent / MANIFEST).exists():
        return None
    made_of = read_manifest(run.detections.parent).get("inputs", {}).get("capture")
    take = demo_data() / "take"
    names = tuple(points_meta(run.folder / POINTS)["cameras"])
    if made_of is None or names != tuple(sorted(p.stem for p in take.iterdir())):
        return None
    capture = open_capture(take)
    return capture if capture.digest == made_of else None


def _pictures(capture: Capture) -> Pictures:
    def pick(view: int, positions: IntArray) -> Iterator[tuple[int, Image]]:
        yield from capture.pick(view, positions)

    return pick


def _blocks(path: Path, table: Path | None, frames: IntArray) -> Iterator[Block]:
    last = [int(frames[min(n + BLOCK, len(frames)) - 1]) for n in range(0, len(frames), BLOCK)]
    seen = None if table is None else scan_detections(table, last)
    for n, points in enumerate(scan_points(path, BLOCK)):
        dets = None if seen is None else next(seen, None)
        if dets is not None and (
            dets.camera_names != points.camera_names
            or not np.array_equal(dets.frame_ids, points.frame_ids)
        ):
            raise InputError(
                f"{table} holds other frames or cameras than {path}",
                "give the detections that were triangulated: --detections DETECT_DIR",
            )
        yield Block(start=n * BLOCK, points=points, dets=dets)
