"""The verbs of the group `calib`: what goes with a calibration."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from tyro.conf import Positional

from multiview.config import Config
from multiview.core.boards import Origin
from multiview.errors import InputError
from multiview.verbs.options import CaptureOptions

__all__ = ["CalibBoard", "CalibCheck", "CalibFrame", "CalibScene"]


class CalibFrame(Config):
    """Express a rig in another world: a board on the floor, a camera, clicked points, gravity."""

    rig: Positional[Path]
    """Rig file (its boards' poses lie beside it)."""
    out: Path
    """Rig file to write."""
    board: str | None = None
    """Board on the floor: `still` (where it lay longest), a frame number, NAME or NAME:FRAME."""
    footage: Path | None = None
    """Take with the board on the floor, if it is not that of the calibration."""
    board_file: Path | None = None
    """With --footage: board YAML."""
    camera: str | None = None
    """Camera that becomes the world."""
    points: Path | None = None
    """YAML with three clicked points: origin, x, xy."""
    gravity: str | None = None
    """CAMERA:x,y,z (down in that camera), or YAML with `plumb` or `down`."""
    scale: Path | None = None
    """YAML with `scale`: two points and their distance in metres."""
    origin: Origin = "bottom-left"
    """Corner of the board's grid that becomes the origin."""
    input: CaptureOptions = CaptureOptions()
    force: bool = False
    """Replace a file that is there."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.frame import run_frame

        floor = None
        if self.footage is not None or self.board_file is not None:
            if self.footage is None or self.board_file is None or self.board is None:
                raise InputError(
                    "--footage and --board-file say where to look for --board; one is missing",
                    "--board still --footage captures/floor --board-file board.yaml",
                )
            floor = (self.input.open(self.footage), self.board_file)
        run_frame(
            self.rig,
            self.out,
            board=self.board,
            camera=self.camera,
            points=self.points,
            gravity=self.gravity,
            scale=self.scale,
            origin=self.origin,
            floor=floor,
            force=self.force,
        )


class CalibBoard(Config):
    """Write a calibration board to print, true to scale, with a ruler to check, and its YAML."""

    board: Positional[str]
    """Board YAML, or charuco:7x5:30mm:22mm:DICT_4X4_50, chessboard:9x6:25mm,
    aprilgrid:6x6:20mm:0.3, tag:0:100mm:DICT_4X4_50."""
    out: Path
    """File that ends in .pdf, .svg or .png; the board's YAML is written beside it."""
    paper: str = "a4"
    """a5 to a0, letter, legal, tabloid, or a size such as 500x350mm."""
    force: bool = False
    """Replace files that are there."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.board import run_board

        run_board(self.board, self.out, paper=self.paper, force=self.force)


class CalibCheck(Config):
    """Check whether a rig is still true, with footage of a board or of hands.

    Exit code 0: healthy; 1: checked, and something is wrong; 2: could not be checked.
    """

    rig: Positional[Path]
    """Rig file."""
    footage: Positional[Path]
    """Take (of the board, or of hands), or a folder of `detect`."""
    board: str | None = None
    """Board YAML or spec, if a board was filmed."""
    out: Path = Path("out/calib-check")
    """Output folder: report.md, report.json, and rig_corrected.yaml where the rig is at fault."""
    floor_mm: float | None = Field(None, gt=0)
    """Displacements that do not matter, in mm where things were filmed: 1 with a board, 3.6 (2 %
    of a hand) with hands."""
    input: CaptureOptions = CaptureOptions()
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> int:
        """Run the verb; return the exit code."""
        from multiview.stages.check import run_check

        table = self.footage.suffix == ".parquet" or (self.footage / "detections.parquet").exists()
        healthy = run_check(
            self.rig,
            self.footage if table else self.input.open(self.footage),
            self.out,
            board_spec=self.board,
            floor_mm=self.floor_mm,
            force=self.force,
        )
        return 0 if healthy else 1


class CalibScene(Config):
    """Calibrate without a board: from the hands, wand or person that all cameras see.

    Lenses must be known; poses come from the detections. Film the hand moving through the whole
    volume. Without --scale the unit is the distance of two cameras, and the rig says so.
    """

    detections: Positional[Path]
    """Folder of `detect`, or a detections table."""
    intrinsics: Path
    """Rig file with the lenses; its poses are used with --refine only."""
    out: Path
    """Output folder: rig.yaml, report.md, report.json."""
    scale: str | None = None
    """bone:wrist-middle1=0.09, wand:A-B=0.5, baseline:cam00-cam01=1.2 (m), or rig:RIG.yaml."""
    refine: bool = False
    """Start from the poses of --intrinsics, keep its world and scale, say which cameras moved."""
    min_conf: float = Field(0.2, ge=0, le=1)
    """Detections below this are not used."""
    refine_focal: bool = False
    """Let every focal length move too; they were known to about 5 %."""
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.calib.scene_config import SceneConfig
        from multiview.stages.calib_scene import run_calib_scene

        run_calib_scene(
            self.detections,
            self.intrinsics,
            self.out,
            SceneConfig(min_conf=self.min_conf, refine_focal=self.refine_focal),
            scale=self.scale,
            refine=self.refine,
            force=self.force,
        )
