"""How good a network is on hands that it was not trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multiview._shapes import F64
from multiview.models.decode import crop_from_map, decode_heatmaps
from multiview.train.batches import plain_batches
from multiview.train.crops import CropSet
from multiview.train.design import Design, odd_blur
from multiview.train.graph_net import GraphNet

__all__ = ["Score", "read_keypoints", "validate"]

FINE, COARSE = 0.1, 0.2  # of the hand's size: PCK as the literature reports it


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Errors on the labelled keypoints of the validation hands.

    Parameters
    ----------
    pck_10, pck_20
        Share within 10 and 20 % of the hand's size (longer side of its box).
    error
        Median error in hand sizes.
    """

    pck_10: float
    pck_20: float
    error: float

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better: the share within 10 %, then the error."""
        return self.pck_10, -self.error

    @property
    def text(self) -> str:
        """For the log."""
        return f"PCK@0.1 {self.pck_10:.3f}, PCK@0.2 {self.pck_20:.3f}, error {self.error:.3f} hands"


def validate(net: GraphNet, crops: CropSet, design: Design, device: torch.device) -> Score:
    """Read all validation hands as detection would, from crops around their labels."""
    was = net.training
    net.eval()
    errors = []
    with torch.no_grad():
        for batch in plain_batches(crops, design.size_px, design.input, 32):
            image = torch.from_numpy(batch.image).to(device)
            uv = read_keypoints(net(image, design.outputs), design)
            error = np.linalg.norm(uv - batch.uv, axis=-1) / batch.size[:, None]
            errors.append(error[batch.weight > 0])
    net.train(was)
    every = np.concatenate(errors)
    return Score(
        pck_10=float((every <= FINE).mean()),
        pck_20=float((every <= COARSE).mean()),
        error=float(np.median(every)),
    )


def read_keypoints(found: dict[str, Tensor], design: Design) -> F64:
    """Keypoints in crop pixels, (B, K, 2), from a network's outputs."""
    values = found[design.outputs[0]].float().cpu().numpy()
    if design.by_landmarks:
        return np.asarray(values.reshape(len(values), -1, 3)[..., :2], np.float64)
    maps = values[:, : design.keypoints]
    xy, _ = decode_heatmaps(maps, blur_px=odd_blur(design.sigma))
    return crop_from_map(xy, (maps.shape[2], maps.shape[3]), (design.size_px,) * 2)
