"""The verb `train`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from tyro.conf import Positional

from multiview.train.config import TrainConfig

__all__ = ["Train"]


class Train(TrainConfig):
    """Train a keypoint network on labels (needs the extra `train`; docs/training.md)."""

    labels: Positional[tuple[Path, ...]] = ()
    """Folders of `multiview label`, or data sets of any layout of `multiview dataset`."""
    out: Path
    """Output folder: the network, its card and its scores."""
    start: tuple[Path, ...] = ()
    """The same of the start set, which every round keeps; see --start-share."""
    init: str = "default"
    """Where weights start: random, imagenet (light), the card of a trained model, or a
    checkpoint.pt; by default what suits --arch."""
    partner: str | None = None
    """Card from which the other of MediaPipe's two networks is taken (--arch palm, mediapipe), so
    that one card has both trained; by default that of --init, else the shipped one."""
    name: str | None = None
    """Of the model; by default the name of the output folder."""
    licence: str | None = None
    """Of the trained weights, for the card."""
    checkpoint_s: float = Field(30.0, gt=0)
    """Seconds between checkpoints: what a kill can lose."""
    force: bool = False
    """Replace an older, different result."""

    def run(self) -> None:
        """Run the verb."""
        from multiview.stages.train import run_train

        config = {n: getattr(self, n) for n in TrainConfig.model_fields}
        run_train(
            self.labels,
            self.out,
            TrainConfig(**config),
            start=self.start,
            init=self.init,
            name=self.name,
            licence=self.licence,
            checkpoint_s=self.checkpoint_s,
            partner=self.partner,
            force=self.force,
        )
