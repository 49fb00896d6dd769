"""The verb `export`: a take for other programs."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from tyro.conf import Positional

from multiview.config import Config
from multiview.formats.exports.names import Axes, ExportFormat
from multiview.formats.rigs.names import LengthUnit

__all__ = ["Export"]


class Export(Config):
    """Write a take for other programs: motion capture, animation, tables, joint angles.

    docs/export.md says what each format holds. Rigs are converted by `multiview convert --to`.
    """

    run_folder: Positional[Path]
    """Folder of `triangulate` or `smooth`; of `detect` for 2D keypoints."""
    out: Path
    """File, or new folder for panoptic, openpose and deeplabcut."""
    format: ExportFormat
    """c3d, trc (OpenSim), csv, parquet, angles (joint angles), usd, gltf, panoptic, openpose; 2D:
    deeplabcut, slp, csv, parquet."""
    unit: LengthUnit | None = None
    """Of lengths; by default mm for c3d and trc, cm for panoptic, else m."""
    axes: Axes | None = None
    """"world" keeps the rig's; by default y-up for trc, usd and gltf, z-up for c3d."""
    fps: float | None = Field(None, gt=0)
    """Frames a second, where the take carries no times."""

    detections: Path | None = None
    """Folder of `detect`, which tells the times, if it is no longer where it was."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.export import run_export

        run_export(
            self.run_folder,
            self.out,
            self.format,
            unit=self.unit,
            axes=self.axes,
            fps=self.fps,
            detections=self.detections,
        )
