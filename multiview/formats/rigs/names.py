"""Names of rig formats and lengths, for the command line: nothing is loaded for them."""

from typing import Literal

__all__ = ["PER_METRE", "LengthUnit", "RigFormat"]

RigFormat = Literal["opencv", "anipose", "pose2sim", "caliscope", "colmap", "kalibr", "panoptic"]
LengthUnit = Literal["m", "cm", "mm"]
PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
