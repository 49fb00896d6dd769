"""Names of export formats, for the command line: nothing is loaded for them."""

from typing import Literal

__all__ = ["Axes", "ExportFormat"]

ExportFormat = Literal[
    "c3d", "trc", "csv", "parquet", "angles", "usd", "gltf", "panoptic", "openpose", "deeplabcut",
    "slp",
]  # fmt: skip
Axes = Literal["world", "y-up", "z-up"]
