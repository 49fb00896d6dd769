"""Loss of the palm network: who answers, and what; elsewhere it stays with the original."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from multiview.train.pictures import PalmBatch

__all__ = ["palm_loss"]

# Error at which the loss of boxes and keypoints turns from square to linear, in palms: the shipped
# network is right to about so much.
EXACT = 0.1
BOX_WEIGHT = (
    0.3  # of that loss: a silent anchor costs as much as one that is off by a third of a palm
)


def palm_loss(found: list[Tensor], kept: list[Tensor], batch: PalmBatch, keep: float) -> Tensor:
    """Focal loss of the scores and smooth L1 of the boxes, a palm's anchor each.

    Parameters
    ----------
    found, kept
        Boxes (B, 2016, 18) and logits (B, 2016, 1) of the network in training and of the original.
    batch
        Which anchors answer what. Those that have nothing to answer are held to ``keep`` times the
        score of the original, and to its boxes as far as it sees a palm.
    keep
        From 0 to 1.
    """
    boxes, logits = found[0].float(), found[1].float()[..., 0]
    old_boxes, old = kept[0].float(), keep * torch.sigmoid(kept[1].float()[..., 0])
    device = boxes.device
    at = torch.from_numpy(batch.picture).to(device), torch.from_numpy(batch.anchor).to(device)
    silent = torch.from_numpy(batch.silent).to(device)
    goal = torch.where(silent, old, torch.zeros_like(old))
    goal[at] = 1.0
    counts = silent.float()
    counts[at] = 1.0
    answers = max(1, len(batch.anchor))
    score = (_focal(logits, goal) * counts).sum() / answers
    side = torch.from_numpy(batch.side).float().to(device)[:, None]
    wanted = torch.from_numpy(batch.box).float().to(device)
    box = _smooth((boxes[at] - wanted) / side).sum() / answers
    old_side = old_boxes[..., 2:3].abs().clamp(min=1.0)
    stays = (_smooth((boxes - old_boxes) / old_side) * old * silent).sum() / answers
    return score + BOX_WEIGHT * (box + stays)


def _focal(logits: Tensor, goal: Tensor) -> Tensor:
    """Cross-entropy with a goal from 0 to 1, less the nearer it is (quality focal loss)."""
    entropy = functional.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    return (goal - torch.sigmoid(logits)) ** 2 * entropy


def _smooth(apart: Tensor) -> Tensor:
    """Mean over the last axis of smooth L1 of errors in palms, in units of `EXACT`."""
    zero = torch.zeros_like(apart)
    return functional.smooth_l1_loss(apart / EXACT, zero, reduction="none").mean(-1)
