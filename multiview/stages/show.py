"""`multiview.show`: look at points that a program has in memory."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Literal

from multiview.capture import Capture
from multiview.core import Detections, Points3D, Rig
from multiview.errors import InputError
from multiview.formats.detections_parquet import write_detections
from multiview.formats.points_parquet import write_points
from multiview.formats.rig_yaml import write_rig
from multiview.stages.run_folder import POINTS, RIG, TABLE, RunFolder, open_scene
from multiview.stages.view import has_display, run_page, run_recording
from multiview.stages.window import check_window, run_window

__all__ = ["show"]

Backend = Literal["page", "rerun", "open3d"]


def show(
    points: Points3D,
    rig: Rig,
    take: Capture | None = None,
    *,
    dets: Detections | None = None,
    backend: Backend = "page",
    out: str | Path | None = None,
) -> Path | None:
    """Look at 3D points with the cameras that saw them.

    Parameters
    ----------
    points
        From `multiview.triangulate` or `multiview.smooth`.
    rig
        The rig they were made with.
    take
        Capture, for its pictures (page and rerun).
    dets
        Detections the points were made of: they are drawn too, and give the take's clock.
    backend
        ``"page"`` opens one HTML page in the browser; ``"rerun"`` (extra ``view``) and
        ``"open3d"`` (extra ``open3d``) open a window and return when it is closed.
    out
        The page, which is then kept; a temporary one if left out.

    Returns
    -------
    Path or None
        The page, if there is one.

    Raises
    ------
    InputError
        If parts do not belong together, the backend is unknown or its package is missing.

    Examples
    --------
    >>> mv.show(mv.triangulate(dets, rig), rig, take, dets=dets)
    """
    if backend not in ("page", "rerun", "open3d"):
        raise InputError(f"no backend {backend!r}", "use 'page', 'rerun' or 'open3d'")
    if out is not None and backend != "page":
        raise InputError(f"out means nothing for {backend}", "leave it out, or use 'page'")
    if backend == "open3d":
        check_window()
    with TemporaryDirectory(prefix="multiview-show-") as name:
        run = _written(Path(name) / "multiview", points, rig, dets)
        open_scene(run, take)  # refuses parts that do not belong together
        if backend == "open3d":
            run_window(run)
        elif backend == "rerun":
            run_recording(run, take)
        else:
            return _page(run, take, out)
    return None


def _written(folder: Path, points: Points3D, rig: Rig, dets: Detections | None) -> RunFolder:
    """Write what the viewers read."""
    run = folder / "points"
    run.mkdir(parents=True)
    write_points(points, run / POINTS)
    write_rig(rig, run / RIG)
    if dets is not None:
        write_detections(dets, folder / TABLE)
    table = None if dets is None else folder / TABLE
    return RunFolder(folder=run, rig=run / RIG, detections=table)


def _page(run: RunFolder, take: Capture | None, out: str | Path | None) -> Path:
    page = Path(mkdtemp(prefix="multiview-")) / "show.html" if out is None else Path(out)
    run_page(run, page, take)
    # a browser for the terminal would take it over
    if has_display():
        webbrowser.open(page.resolve().as_uri())
    return page
