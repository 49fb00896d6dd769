"""What a detector gets wrong in all views alike, as a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview._shapes import F64, as_f64, check_shapes, freeze
from multiview.errors import ShapeError


@dataclass(frozen=True, slots=True, kw_only=True)
class KeypointBias:
    """Lasting error of every keypoint in the frame of the palm.

    Parameters
    ----------
    keypoints
        K names.
    offset
        Where the points are found less where they are, shape (K, 3), in lengths of the hand, along
        the axes of `multiview.bias.palm_frames`.
    sigma
        Its standard deviation over poses, same shape and unit.
    poses
        How many poses that is from.
    about
        What it was measured on, in words.
    """

    keypoints: tuple[str, ...]
    offset: F64
    sigma: F64
    poses: int
    about: str = ""

    def __post_init__(self) -> None:
        offset, sigma = as_f64(self.offset, "offset"), as_f64(self.sigma, "sigma")
        sizes = check_shapes("KeypointBias", {"offset": (offset, "K 3"), "sigma": (sigma, "K 3")})
        good = np.isfinite(offset).all() and (sigma >= 0).all() and np.isfinite(sigma).all()
        if sizes["K"] != len(self.keypoints) or not good:
            raise ShapeError(
                f"KeypointBias has {sizes['K']} rows for {len(self.keypoints)} keypoints, or "
                "numbers that are not finite",
                "measure it again: multiview models bias",
            )
        object.__setattr__(self, "keypoints", tuple(self.keypoints))
        object.__setattr__(self, "offset", freeze(offset))
        object.__setattr__(self, "sigma", freeze(sigma))
