"""A take being played: which frame is shown, and its points, read as the window goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from multiview._shapes import F64
from multiview.viz.colours import certainty_limits, graded, uncertainty_grade
from multiview.viz.scene import Block, Scene, standard_deviation

__all__ = ["Player", "Track", "sureness_colours"]

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
NORMAL = SPEEDS.index(1.0)


class Player:
    """Where a take stands.

    Parameters
    ----------
    frames
        Number of frames of the take.
    rate
        Frames per second of its clock.
    """

    def __init__(self, frames: int, rate: float) -> None:
        self.frames, self.rate = frames, rate
        self.position, self.playing, self._speed = 0.0, frames > 1, NORMAL

    @property
    def frame(self) -> int:
        """Position of the shown frame on axis F."""
        return int(self.position)

    @property
    def speed(self) -> float:
        """Times the take's own clock."""
        return SPEEDS[self._speed]

    def tick(self, seconds: float, ready: int) -> None:
        """Let time pass; after the end it begins again, before what is read it waits."""
        if not self.playing:
            return
        self.position += seconds * self.rate * self.speed
        if self.position >= self.frames:
            self.position = 0.0
        self.position = min(self.position, max(ready - 1, 0) + 0.999)

    def toggle(self) -> None:
        """Play or pause."""
        self.playing = not self.playing

    def step(self, frames: int) -> None:
        """Pause and go on by some frames, not beyond the ends."""
        self.jump(self.frame + frames)

    def jump(self, frame: int) -> None:
        """Pause at a frame."""
        self.playing = False
        self.position = float(np.clip(frame, 0, self.frames - 1))

    def faster(self, steps: int) -> None:
        """Choose the next speed, or that before."""
        self._speed = int(np.clip(self._speed + steps, 0, len(SPEEDS) - 1))


class Track:
    """Points of all frames, 16 bytes each, filled block by block while the take is played.

    Parameters
    ----------
    scene
        The take.

    Attributes
    ----------
    limits
        Standard deviations of 1 % and 99 % of the first points, None while there are none.
    """

    def __init__(self, scene: Scene) -> None:
        shape = (len(scene.frame_ids), len(scene.hands), len(scene.skeleton.keypoints))
        self.xyz = np.full((*shape, 3), np.nan, np.float32)
        self.sigma = np.full(shape, np.nan, np.float32)
        self.ready = 0
        self.limits: tuple[float, float] | None = None
        self._blocks: Iterator[Block] = scene.blocks()

    def more(self) -> bool:
        """Read the next block; False once there is none."""
        block = next(self._blocks, None)
        if block is None:
            return False
        at = slice(block.start, block.start + len(block.points.frame_ids))
        self.xyz[at] = block.points.xyz_world
        self.sigma[at] = standard_deviation(block.points)
        self.ready = at.stop
        if self.limits is None:
            self.limits = certainty_limits(self.sigma[at])
        return True

    def until(self, frame: int, seen: Callable[[], object] = lambda: None) -> None:
        """Read on until a frame is there, as far as the take goes; call `seen` now and then."""
        while self.ready <= frame and self.more():
            seen()


def sureness_colours(
    sigma: NDArray[np.float32], limits: tuple[float, float] | None, skeleton_colours: F64
) -> F64:
    """Colour keypoints from sure to unsure as page and rerun do; as fingers if nothing is known.

    Parameters
    ----------
    sigma
        Standard deviations, shape (H, K); grey where NaN.
    limits
        Of the surest and of the least sure.
    skeleton_colours
        Shape (K, 3), from 0 to 1.

    Returns
    -------
    F64
        RGB from 0 to 1, shape (H, K, 3).
    """
    if limits is None:
        return np.broadcast_to(skeleton_colours, (*sigma.shape, 3)).copy()
    grade = uncertainty_grade(sigma, limits)
    return np.asarray(np.where(np.isfinite(grade)[..., None], graded(grade) / 255, 0.5))
