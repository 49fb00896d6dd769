"""Triangulation beside detection: a first look at the 3D of every part that is finished.

What `multiview detect TAKE --rig RIG` does. The vote needs numbers of the whole take (the hand's
length gives the tolerance, the share of agreeing views how many must agree, and which hand is the
left one is a vote along its track), so a part by itself gives *provisional* 3D: good enough to see
after a minute that rig and videos fit, not what is kept. The take is triangulated as a whole at the
end, by `multiview.stages.triangulate`: the result is that of the two commands one after the other.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from multiview.capture import Capture
from multiview.errors import InputError
from multiview.formats.detections_parquet import read_detections
from multiview.formats.points_parquet import write_points
from multiview.formats.rig_yaml import read_rig
from multiview.progress import say
from multiview.stages.triangulate import point_figures, run_triangulate
from multiview.triangulation import TriangulationConfig, triangulate

__all__ = ["PROVISIONAL", "Live", "points_folder"]

PROVISIONAL = "provisional-{}.parquet"
"""Name of a part's 3D in the unfinished detect folder, from the name of its shard."""


def points_folder(out: Path) -> Path:
    """Where the 3D of a detect folder goes."""
    return out.with_name(f"{out.name}-3d")


class Live:
    """Triangulates parts in a thread of its own while others are detected.

    Parameters
    ----------
    rig_path
        Rig file; it is checked against the take before anything is detected.
    capture
        The take.
    out
        Folder of the detections; the 3D goes beside it, see `points_folder`.
    force
        Replace older, different 3D.

    Raises
    ------
    InputError
        If the rig lacks a camera of the take, was calibrated at another picture size, or there is
        only one camera.
    """

    def __init__(self, rig_path: Path, capture: Capture, out: Path, *, force: bool) -> None:
        self._rig_path, self._out, self._force = rig_path, out, force
        self._rig = read_rig(rig_path).select(capture.names)
        if len(capture.names) < 2:
            raise InputError(
                f"only one camera ({capture.names[0]}): nothing to triangulate",
                "leave out --rig, or record with at least two calibrated cameras",
            )
        self._rig.check_sizes(capture.sizes_wh)
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: list[Future[None]] = []

    def __enter__(self) -> Live:
        self._pool = ThreadPoolExecutor(1, "triangulate")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for what runs; drop what waits if the detection failed."""
        assert self._pool is not None
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for future in self._waiting:
                future.result()

    def add(self, shard: Path) -> None:
        """Triangulate a finished part of the detections, soon."""
        assert self._pool is not None
        self._waiting.append(self._pool.submit(self._look, shard))

    def _look(self, shard: Path) -> None:
        """Triangulate one part, keep it beside its shard, and say how it looks."""
        target = shard.with_name(PROVISIONAL.format(shard.stem))
        dets = read_detections(shard)
        points = triangulate(dets, self._rig)
        write_points(points, target)
        figures = point_figures(points, dets)
        say(
            f"3D so far (provisional), sets {dets.frame_ids[0]} to {dets.frame_ids[-1]}: "
            f"{figures['frames_with_points']} with a hand in 3D, "
            f"{figures['share_recovered']:.0%} of its keypoints, "
            f"reprojection median {figures['reprojection_median_px']:.2f} px"
        )

    def finish(self) -> Path:
        """Triangulate the whole take, as `multiview triangulate` does."""
        out = points_folder(self._out)
        run_triangulate(self._out, self._rig_path, out, TriangulationConfig(), force=self._force)
        return out
