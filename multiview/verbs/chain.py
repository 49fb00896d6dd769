"""The verbs of the main job, but for `detect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import field_validator
from tyro.conf import Positional

from multiview.bootstrap.labels import LabelConfig
from multiview.config import Config
from multiview.core.boards import Origin
from multiview.stages.solve_options import SolveOptions
from multiview.triangulation import TriangulationConfig
from multiview.verbs.options import CaptureOptions

__all__ = ["Calibrate", "Demo", "Evaluate", "Init", "Label", "Triangulate"]


class Init(Config):
    """Make a workspace: folders for captures, boards, rigs, models and runs."""

    folder: Positional[Path]
    """Where."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.init import run_init

        run_init(self.folder)


class Calibrate(Config):
    """Calibrate the rig from synchronised footage of a board."""

    capture: Positional[Path]
    """Folder with one video or image folder a camera."""
    board: tuple[str, ...]
    """Board YAML (see calib/boards), or charuco:7x5:30mm:22mm:DICT_4X4_50, chessboard:9x6:25mm,
    aprilgrid:6x6:88mm:0.3, tag:0:100mm:DICT_4X4_50; several boards one after the other."""
    out: Path
    """Output folder: rig.yaml, report.html, report.md."""
    intrinsics: Path | None = None
    """Rig file whose lenses are kept; only the poses are estimated."""
    solve: SolveOptions = SolveOptions()
    world: str | None = None
    """camera:NAME, board, board:FRAME, points:FILE, gravity:FILE or gravity:CAMERA:x,y,z."""
    origin: Origin = "bottom-left"
    """With a board as the world: corner of its grid that becomes the origin."""
    input: CaptureOptions = CaptureOptions()
    force: bool = False
    """Replace an older, different result."""

    @field_validator("board", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        """Let a configuration file name one board, or list some."""
        return [str(value)] if isinstance(value, str | Path) else value

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.calibrate import run_calibrate

        run_calibrate(
            self.input.open(self.capture),
            self.board,
            self.out,
            intrinsics=self.intrinsics,
            solve=self.solve,
            world=self.world,
            origin=self.origin,
            force=self.force,
        )


class Triangulate(Config):
    """Triangulate 3D keypoints by a vote of the views, within the noise of the detector."""

    detections: Positional[Path]
    """Folder of `detect`, or a detections table."""
    rig: Path
    """Rig file."""
    out: Path
    """Output folder: points.parquet, report.md."""
    ransac: TriangulationConfig = TriangulationConfig()
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.triangulate import run_triangulate

        run_triangulate(self.detections, self.rig, self.out, self.ransac, force=self.force)


class Label(Config):
    """Reproject the 3D keypoints into every view as COCO labels with their pictures."""

    capture: Positional[Path]
    """The take."""
    detections: Path
    """Folder of `detect`."""
    points: Path
    """Folder of `triangulate`."""
    out: Path
    """Output folder: coco.json, images/, contact_sheet.png."""
    label: LabelConfig = LabelConfig()
    pictures: bool = True
    """Write the labelled pictures too."""
    video: bool = False
    """Write an overlay video a camera."""
    input: CaptureOptions = CaptureOptions()
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.label import run_label

        run_label(
            self.input.open(self.capture),
            self.detections,
            self.points,
            self.out,
            self.label,
            pictures=self.pictures,
            video=self.video,
            force=self.force,
        )


class Evaluate(Config):
    """Compare 3D keypoints with a known truth."""

    points: Positional[Path]
    """Folder of `triangulate`."""
    truth: Path
    """npz with xyz_world (F, H, K, 3), metres."""
    truth_rig: Path | None = None
    """The true cameras, if the worlds differ by a rigid motion."""

    def run(self) -> None:
        """Run the verb."""
        from dataclasses import asdict

        from multiview.formats.points_parquet import read_points
        from multiview.formats.rig_yaml import read_rig
        from multiview.progress import say
        from multiview.stages.evaluate import evaluate, read_truth

        result = evaluate(
            read_points(self.points / "points.parquet"),
            read_rig(self.points / "rig.yaml"),
            read_truth(self.truth),
            read_rig(self.truth_rig) if self.truth_rig else None,
        )
        for name, value in asdict(result).items():
            say(f"{name:<18} {value if isinstance(value, str) else format(value, '.3f')}")


class Demo(Config):
    """Run the whole chain on the capture that ships with the package, and compare with truth."""

    out: Path = Path("out/demo")
    """Output folder."""
    force: bool = False
    """Replace older, different results."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.demo import run_demo

        run_demo(self.out, force=self.force)
