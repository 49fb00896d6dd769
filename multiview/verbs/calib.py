"""The verbs `calib ...`: rigs beyond `calibrate`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from tyro.conf import Positional

from multiview.config import Config

__all__ = ["CalibScene"]


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
