"""`multiview view` of a rig: cameras, boards, and what can be expected in their volume."""

from __future__ import annotations

from pathlib import Path

from multiview.calib import expected_error
from multiview.core import BoardTrack, Rig
from multiview.formats.atomic import replacing, write_text
from multiview.formats.boards_json import boards_path, read_boards
from multiview.formats.rig_yaml import read_rig
from multiview.progress import say
from multiview.stages.run_folder import POINTS, RIG
from multiview.stages.view import free_port, show_recording
from multiview.viz.rig_page import rig_page
from multiview.viz.rig_scene import RigScene, volume_of

__all__ = ["open_rig", "rig_file", "run_rig_page", "run_rig_recording"]


def rig_file(given: Path) -> Path | None:
    """Find the rig in what the user gave: a rig file, or a folder with one and no points."""
    if given.is_file():
        return given if given.suffix in (".yaml", ".yml") else None
    inside = [*given.glob(POINTS), *given.glob(f"*/{POINTS}"), *given.glob(f"*/*/{POINTS}")]
    return given / RIG if (given / RIG).exists() and not inside else None


def open_rig(path: Path) -> RigScene:
    """Describe a rig for the viewers.

    Raises
    ------
    InputError
        If the rig or the poses of its boards cannot be read.
    """
    rig = read_rig(path)
    boards = _boards(rig, path)
    covariance = rig.covariance
    known = None if covariance is None else lambda xyz: expected_error(rig, covariance, xyz)
    name = path.parent.resolve().name if path.name == RIG else path.stem
    return RigScene(
        title=f"{name}: {len(rig.cameras)} cameras",
        rig=rig,
        boards=boards,
        volume=volume_of(rig, boards, known),
    )


def _boards(rig: Rig, path: Path) -> tuple[BoardTrack, ...]:
    """Read the boards beside a rig; those of another rig or world are left out, and said."""
    beside = boards_path(path)
    if not beside.exists():
        say(f"  without boards: there is no {beside.name} beside the rig")
        return ()
    tracks = read_boards(beside)
    own = tuple(t for t in tracks if t.rig_digest == rig.digest)
    if len(own) < len(tracks):
        say(f"  {beside.name} was made with another rig: its boards are not shown")
    return own


def run_rig_page(path: Path, out: Path) -> Path:
    """Write a rig as one HTML page.

    Parameters
    ----------
    path
        Rig file.
    out
        The page.

    Raises
    ------
    InputError
        If the rig cannot be read or the page not be written.
    """
    write_text(out, rig_page(open_rig(path)))
    say(f"view: {out} ({out.stat().st_size / 1e6:.1f} MB): open it in any browser, or send it")
    report = path.with_name("report.html")
    if report.exists():
        say(f"  where each camera's errors point, and what to film next: {report}")
    return out


def run_rig_recording(path: Path, *, port: int | None = None, show: bool = True) -> Path:
    """Write ``<rig>.rrd`` beside the rig, and show it in rerun's own window.

    Parameters
    ----------
    path
        Rig file.
    port, show
        As in `multiview.stages.view.run_recording`.

    Raises
    ------
    InputError
        If rerun is missing, the port is taken, or the rig cannot be read.
    """
    from multiview.viz.rerun_log import require_rerun
    from multiview.viz.rerun_rig import write_rig_recording

    require_rerun()
    found = free_port(port) if show else None
    out = path.with_suffix(".rrd")
    with replacing(out) as temporary:
        write_rig_recording(open_rig(path), temporary)
    say(f"view: {out} ({out.stat().st_size / 1e6:.1f} MB)")
    return out if found is None else show_recording(out, found)
