"""How a rig is solved for: the options of `multiview calibrate`."""

from __future__ import annotations

from typing import Any, Literal

from multiview.config import Config

__all__ = ["SolveOptions"]


# As `multiview.calib.solve.LensKind`, whose import would make every `--help` slow.
Lens = Literal["brown", "brown_k3", "rational", "prism", "fisheye", "auto"]


class SolveOptions(Config):
    """What is estimated, and how freely."""

    lens: Lens = "auto"
    """brown (k1 k2 p1 p2), brown_k3, rational (8), prism (12), fisheye; auto takes the simplest
    that predicts boards left out as well as any."""
    shared: tuple[str, ...] = ()
    """Cameras of one kind that share a lens, as cam00,cam01; `all` for the whole rig."""
    flat: bool = False
    """Take boards as flat instead of estimating their bow and twist."""
    refine_intrinsics: bool = False
    """With --intrinsics: start from those lenses, and let them move."""

    def arguments(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Arguments of `calibrate_corners` for cameras of these names."""
        groups = [names if g == "all" else tuple(g.split(",")) for g in self.shared]
        return {
            "lens": self.lens,
            "shared_lens": groups,
            "flat": self.flat,
            "refine_intrinsics": self.refine_intrinsics,
        }
