"""The verb `plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from multiview.config import Config
from multiview.errors import InputError

if TYPE_CHECKING:
    from multiview.bootstrap.plan_volume import Box

__all__ = ["Plan"]


class Plan(Config):
    """How many cameras: what is found, what chance makes, what error; or map that of a rig.

    Without --rig it answers for cameras all around; with --rig it maps the expected error over the
    capture volume and says where another camera helps most.
    """

    p: float = 0.7
    """Share of the views in which the detector is right within --sigma-px (its PCK there)."""
    sigma_px: float = 4.0
    """Threshold within which views agree, pixels of the pictures."""
    crop_px: float = 100.0
    """Width of the hand's crop in the pictures: where wrong detections lie."""
    noise_px: float | None = None
    """Standard deviation of one coordinate of a right detection; a third of --sigma-px if left
    out."""
    finger: bool = False
    """The 4 points of a finger are judged together; p is then how often their mean is right."""
    views: int | None = None
    """Number of cameras; the smallest that reaches the targets if left out."""
    found: float = 0.9
    """Target: share of the keypoints that are found."""
    spurious: float = 0.01
    """Target: false points that chance makes, a keypoint and frame."""
    distance_m: float | None = Field(None, gt=0)
    """Distance of the cameras to the hand, to state errors in mm."""
    focal_px: float | None = Field(None, gt=0)
    """Focal length in pixels, to state errors in mm."""
    rig: Path | None = None
    """Rig file: map its expected error."""
    out: Path | None = None
    """With --rig: output folder for report.md, map.png, map.csv, map.npz."""
    volume: tuple[float, float, float, float, float, float] | None = None
    """With --rig: x0 x1 y0 y1 z0 z1 in the rig's unit; what the cameras see in common if left
    out."""
    centre: tuple[float, float, float] | None = None
    """With --rig and --size: middle of the volume."""
    size: tuple[float, float, float] | None = None
    """With --rig and --centre: extent of the volume along x, y, z."""
    add: int = Field(3, ge=0, le=20)
    """With --rig: cameras to propose."""
    aim: Literal["median", "p95"] = "p95"
    """With --rig: the error over the volume that proposals lower."""
    below: bool = False
    """With --rig: propose places lower than the lowest camera too."""
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.bootstrap.planner import Detector, Targets
        from multiview.stages.plan import run_plan_rig, run_plan_views

        detector = Detector(
            rate=self.p,
            sigma_px=self.sigma_px,
            crop_px=self.crop_px,
            points=4 if self.finger else 1,
            noise_px=self.noise_px,
        )
        targets = Targets(found=self.found, spurious=self.spurious)
        if self.rig is None:
            self._refuse("rig", ("out", "volume", "centre", "size", "below"))
            if (self.distance_m is None) != (self.focal_px is None):
                raise InputError(
                    "--distance-m and --focal-px state the error in mm together; one is missing",
                    "give both, or neither for pixels",
                )
            run_plan_views(
                detector, targets, self.views, distance_m=self.distance_m, focal_px=self.focal_px
            )
            return
        if self.views is not None or self.distance_m is not None or self.focal_px is not None:
            raise InputError(
                "--views, --distance-m and --focal-px mean nothing with --rig, which says them",
                "leave them out",
            )
        if self.out is None:
            raise InputError(
                "--rig needs --out", "give a folder for the map: --out experiments/plan"
            )
        run_plan_rig(
            self.rig,
            self.out,
            detector,
            box=self._box(),
            allowed=self.spurious,
            add=self.add,
            aim=self.aim,
            below=self.below,
            force=self.force,
        )

    def _refuse(self, without: str, names: tuple[str, ...]) -> None:
        given = [n for n in names if getattr(self, n)]
        if given:
            raise InputError(
                f"--{', --'.join(given)} mean nothing without --{without}", f"add --{without} FILE"
            )

    def _box(self) -> Box | None:
        import numpy as np

        from multiview.bootstrap.plan_volume import Box

        if self.volume is not None:
            if self.centre or self.size:
                raise InputError(
                    "--volume and --centre with --size both say the volume", "give one"
                )
            return Box(low=np.array(self.volume[::2]), high=np.array(self.volume[1::2]))
        if (self.centre is None) != (self.size is None):
            raise InputError(
                "--centre and --size say the volume together; one is missing", "add it"
            )
        if self.centre is None or self.size is None:
            return None
        half = np.abs(self.size) / 2
        return Box(low=np.array(self.centre) - half, high=np.array(self.centre) + half)
