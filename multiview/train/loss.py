"""Losses: masked, weighted, and no sharper than the labels are.

All are means over the labelled keypoints of a batch, by weight. A label's standard deviation adds
to the width of its target, so the network is not asked for what the label does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from multiview.train.batches import Batch
from multiview.train.design import Design

__all__ = ["Targets", "landmark_loss", "maps_loss", "target_maps"]

# Share of the expected position in the loss of maps, per map pixel: without it far peaks cost no
# more than near ones.
BY_DISTANCE = 0.1
# Error at which the loss of coordinates turns from square to linear, in sides of the crop: what
# MediaPipe itself is right to on easy hands.
EXACT = 0.01
WORLD_M = 0.005  # the same of the world output
HAND_WEIGHT = 0.2  # of "is there a hand" and "which": each is one number, learnt long ago


@dataclass(frozen=True, slots=True)
class Targets:
    """A batch's labels as tensors on the device; see `Batch`."""

    uv: Tensor
    weight: Tensor
    sigma: Tensor
    right: Tensor
    hand: Tensor

    @staticmethod
    def of(batch: Batch, device: torch.device) -> Targets:
        """Bring the labels of a batch to a device."""
        parts = (batch.uv, batch.weight, batch.sigma, batch.right, batch.hand)
        return Targets(*(torch.from_numpy(p.astype(np.float32)).to(device) for p in parts))

    def mean(self, each: Tensor) -> Tensor:
        """Mean of a loss a keypoint (B, K) by weight."""
        return (each * self.weight).sum() / self.weight.sum().clamp(min=1.0)


def target_maps(targets: Targets, side: int, size: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Gaussian blobs of height 1, shape (B, K, side, side), and their standard deviations (B, K).

    Map pixel i lies at crop pixel ``(i + 0.5) s - 0.5`` (grid `half_pixel` of the card).
    """
    stride = size / side
    at = (targets.uv + 0.5) / stride - 0.5
    width = torch.sqrt(sigma**2 + (targets.sigma / stride) ** 2)
    line = torch.arange(side, device=at.device, dtype=at.dtype)
    distance = (line - at[..., None]) / width[..., None, None]
    x, y = torch.exp(-0.5 * distance[..., 0, :] ** 2), torch.exp(-0.5 * distance[..., 1, :] ** 2)
    return y[..., :, None] * x[..., None, :], width


def maps_loss(found: list[Tensor], targets: Targets, design: Design) -> Tensor:
    """Loss of maps; the mean over the stages of a network that has several.

    Parameters
    ----------
    found
        What `design.learnt` names: logits for `cross_entropy`, else the maps; (B, maps, h, w).
    targets
        Labels.
    design
        Size, width of the blobs, background.
    """
    wanted, width = target_maps(targets, found[0].shape[-1], design.size_px, design.sigma)
    each = [_stage_loss(maps.float(), wanted, width, targets, design) for maps in found]
    return torch.stack(each).mean()


def _stage_loss(
    maps: Tensor, wanted: Tensor, width: Tensor, targets: Targets, design: Design
) -> Tensor:
    keypoints = maps[:, : design.keypoints]
    if design.loss == "cross_entropy":
        loss = targets.mean(_cross_entropy(keypoints, wanted))
        by_distance = _expected_distance(keypoints, wanted, width)
        loss = loss + BY_DISTANCE * targets.mean(by_distance)
    else:
        # in units of the blob itself: a map of zeros costs 1
        loss = targets.mean(((keypoints - wanted) ** 2).sum((2, 3)) / (np.pi * width**2))
    if design.background:
        return loss + _background_loss(maps[:, design.keypoints], wanted, targets, design)
    return loss


def _cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Kullback-Leibler divergence of each map from its normalised target, (B, K)."""
    share = (wanted / wanted.sum((2, 3), keepdim=True).clamp(min=1e-12)).flatten(2)
    log = functional.log_softmax(logits.flatten(2), dim=2)
    return (torch.special.xlogy(share, share) - share * log).sum(2)


def _expected_distance(logits: Tensor, wanted: Tensor, width: Tensor) -> Tensor:
    """Distance of the maps' expected positions from the targets', in blob widths, (B, K)."""

    def expected(share: Tensor) -> Tensor:
        side = share.shape[-1]
        line = torch.arange(side, device=share.device, dtype=share.dtype)
        return torch.stack([(share.sum(2) * line).sum(2), (share.sum(3) * line).sum(2)], -1)

    soft = functional.softmax(logits.flatten(2), dim=2).reshape(logits.shape)
    share = wanted / wanted.sum((2, 3), keepdim=True).clamp(min=1e-12)
    apart = (expected(soft) - expected(share)) / width[..., None]
    return torch.sqrt(1 + (apart**2).sum(-1)) - 1


def _background_loss(found: Tensor, wanted: Tensor, targets: Targets, design: Design) -> Tensor:
    """One minus the highest blob, where all keypoints are known: others could be anywhere."""
    known = (targets.weight > 0).all(1).float()
    background = 1 - wanted.amax(1)
    each = ((found - background) ** 2).sum((1, 2)) / (np.pi * design.sigma**2)
    return (each * known).sum() / (design.keypoints * known.sum().clamp(min=1.0))


def landmark_loss(
    found: list[Tensor], kept: list[Tensor], targets: Targets, size: int, keep: float
) -> Tensor:
    """Loss of MediaPipe's outputs.

    Parameters
    ----------
    found, kept
        Landmarks, presence, handedness and world of the network in training and of the original.
    targets
        Labels. What they do not say (depth, world, whether a crop elsewhere shows a hand) is held
        to the original, as far as that sees a hand.
    size
        Side of the input [px].
    keep
        Weight of that.
    """
    landmarks, presence, right, world = (f.float() for f in found)
    old_landmarks, old_presence, _, old_world = (k.float() for k in kept)
    uvz, old = (
        landmarks.reshape(len(landmarks), -1, 3),
        old_landmarks.reshape(len(landmarks), -1, 3),
    )
    exact = EXACT * size
    width = torch.sqrt(exact**2 + targets.sigma**2)[..., None]
    loss = targets.mean(_robust((uvz[..., :2] - targets.uv) / width))
    seen = torch.where(targets.hand > 0, torch.ones_like(targets.hand), old_presence[:, 0])
    loss = loss + HAND_WEIGHT * functional.binary_cross_entropy(presence[:, 0], seen)
    sided = (targets.hand > 0) & torch.isfinite(targets.right)
    if bool(sided.any()):
        loss = loss + HAND_WEIGHT * functional.binary_cross_entropy(
            right[sided, 0], targets.right[sided]
        )
    depth = _robust((uvz[..., 2:] - old[..., 2:]) / exact).mean(1)
    apart = (world - old_world).reshape(len(world), -1, 3) / WORLD_M
    return loss + keep * ((depth + _robust(apart).mean(1)) * old_presence[:, 0]).mean()


def _robust(apart: Tensor) -> Tensor:
    """Length of vectors (..., n): square near 0, linear beyond 1 (Charbonnier)."""
    return torch.sqrt(1 + (apart**2).sum(-1)) - 1
