"""The verbs of the main job, but for `detect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from tyro.conf import Positional

from multiview.bootstrap.labels import LabelConfig
from multiview.bootstrap.select import SelectConfig
from multiview.config import Config
from multiview.core.boards import Origin
from multiview.smoothing.config import SmoothingConfig
from multiview.stages.solve_options import SolveOptions
from multiview.triangulation import TriangulationConfig
from multiview.verbs.options import CaptureOptions

__all__ = ["Calibrate", "Demo", "Evaluate", "Init", "Label", "Smooth", "Triangulate"]


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
    bias: Path | None = None
    """Take the detector's lasting error off the points: a file of `multiview models bias`, which
    says whom it was measured on. The report and the manifest say that it was done."""
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.triangulate import run_triangulate

        run_triangulate(
            self.detections,
            self.rig,
            self.out,
            self.ransac,
            bias_path=self.bias,
            force=self.force,
        )


class Smooth(Config):
    """Smooth 3D keypoints over time, as much as the take itself shows to be right."""

    points: Positional[Path]
    """Folder of `triangulate`."""
    out: Path
    """Output folder: points.parquet, rig.yaml, report.md; `label` takes it as its points."""
    detections: Path | None = None
    """Folder of `detect`, or a detections table; by default those that were triangulated."""
    rig: Path | None = None
    """Rig file; by default the one in the folder of points."""
    smooth: SmoothingConfig = SmoothingConfig()
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.smooth import run_smooth

        run_smooth(
            self.points,
            self.out,
            self.smooth,
            detections=self.detections,
            rig_path=self.rig,
            force=self.force,
        )


class Label(Config):
    """Reproject the 3D keypoints into every view: a dataset of labels and their pictures."""

    capture: Positional[Path]
    """The take."""
    detections: Path
    """Folder of `detect`."""
    points: Path
    """Folder of `triangulate`."""
    out: Path
    """Output folder: samples.parquet, coco.json, images/, contact_sheet.png, selection.csv,
    report.md. `train` and `dataset` read it."""
    session: str | None = None
    """Name of the take, kept with every label; that of its folder by default."""
    subject: str = ""
    """Whose hands they are, kept with every label: datasets are split by it."""
    round: int = Field(1, ge=1)
    """Round of bootstrapping, kept with every label; `train` takes round 0 for labels by hand."""
    label: LabelConfig = LabelConfig()
    max_false_label_rate: float | None = Field(None, gt=0, lt=1)
    """Promise that at most this share of the labels is off by more than a tenth of the hand."""
    verified: Path | None = None
    """CSV of keypoints that you looked at (frame,hand,keypoint,wrong), or a label folder that you
    judged with review: promises count them."""
    select: SelectConfig = SelectConfig()
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

        path = self.capture.resolve()
        name = path.parent.name if path.name == "capture.yaml" else path.stem
        run_label(
            self.input.open(self.capture),
            self.detections,
            self.points,
            self.out,
            self.label,
            select=self.select,
            max_false_label_rate=self.max_false_label_rate,
            verified=self.verified,
            pictures=self.pictures,
            video=self.video,
            session=name if self.session is None else self.session,
            subject=self.subject,
            iteration=self.round,
            force=self.force,
        )


class Evaluate(Config):
    """Judge detections and 3D keypoints: with a truth, without one, against another run."""

    points: Positional[Path]
    """Folder of `triangulate` or `detect`, or a detections table."""
    truth: Path | None = None
    """npz with xyz_world (F, H, K, 3), metres; or 2D: a detections table, COCO labels."""
    truth_rig: Path | None = None
    """The true cameras, if the worlds differ by a rigid motion, or to project the truth."""
    detections: Path | None = None
    """Detections that the points were made from, if they are not where `triangulate` found them."""
    against: Path | None = None
    """Another run on the same take: differences with their intervals."""
    out: Path | None = None
    """Output folder: report.html, report.md, metrics.json, keypoints.csv; else only printed."""
    halves: bool = True
    """Triangulate two halves of the cameras too (with --out, or without a truth)."""
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.evaluate_report import run_evaluate

        run_evaluate(
            self.points,
            truth=self.truth,
            truth_rig=self.truth_rig,
            detections=self.detections,
            against=self.against,
            out=self.out,
            halves=self.halves,
            force=self.force,
        )


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
