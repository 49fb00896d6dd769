"""The learning rate and the running mean of the weights, as functions of the step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["ema_decay", "learning_rate", "mix_into"]


def learning_rate(step: int, steps: int, most: float, warmup: float) -> float:
    """Rise in a line over the warm-up, fall in half a cosine to 0 at the end."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return most * (step + 1) / rising
    return most * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def ema_decay(step: int, decay: float) -> float:
    """Decay at a step: shorter memory at first, else the mean would hold the start for long."""
    return min(decay, (1 + step) / (10 + step))


def mix_into(mean: dict[str, Tensor], now: dict[str, Tensor], decay: float) -> None:
    """Move every running mean towards the value now, in place."""
    with torch.no_grad():
        for name, value in mean.items():
            value.lerp_(now[name], 1 - decay)
