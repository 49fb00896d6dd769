"""Who takes part in what."""

from __future__ import annotations

from dataclasses import dataclass

BOARD_SCENES = ("arc4", "chain4", "ring8_clean", "ring8", "ring8_warp", "dome31")
WAND_SCENES = ("wand4", "wand8", "wand31")
REAL_SCENES = ("stereo", "webcams")
QUICK_SCENES = ("arc4", "wand4")
OURS = ("ours", "ours_given", "ours_wand")


@dataclass(frozen=True)
class Tool:
    """A column of the benchmark.

    ``adaptor`` is its name in the bench; ``scenes`` where it runs (by default all with boards).
    """

    environment: str
    adaptor: str = ""
    scenes: tuple[str, ...] = BOARD_SCENES + REAL_SCENES


TOOLS = {
    "oracle": Tool("bench", scenes=BOARD_SCENES),
    "oracle_bow": Tool("bench", scenes=("ring8_warp",)),
    "ours": Tool("ours"),
    "ours_given": Tool("ours", scenes=("webcams",)),
    "ref": Tool("bench"),
    "ref_bow": Tool("bench", scenes=("ring8_warp",)),
    "mrcal 2.5": Tool("mrcal", "mrcal"),
    "mrcal 2.2": Tool("mrcal_debian", "mrcal", scenes=("ring8",)),
    "multical": Tool("multical"),
    "caliscope": Tool("caliscope", scenes=BOARD_SCENES + REAL_SCENES + WAND_SCENES),
    "aniposelib": Tool("aniposelib"),
    "mcc": Tool("mcc"),
    "vcal": Tool("vcal"),
    "cv_multiview": Tool("bench"),
    "cv_chain": Tool("bench"),
    "oracle_wand": Tool("bench", scenes=WAND_SCENES),
    "ours_wand": Tool("ours", scenes=WAND_SCENES),
    "ref_wand": Tool("bench", scenes=WAND_SCENES),
    "pycalib_wand": Tool("pycalib", scenes=WAND_SCENES),
}
# Adjusters of the bench's ``ba`` and the environment of each.
ADJUSTERS = {
    "ours": "ours",
    "schur_numpy": "adjusters",
    "jax": "adjusters",
    "pyceres": "adjusters",
    "pycolmap": "adjusters",
    "normal_splu": "adjusters",
    "scipy_analytic": "adjusters",
}


def reference(scene: str) -> str:
    """The known-inlier optimum of a scene."""
    if scene in WAND_SCENES:
        return "oracle_wand"
    return "oracle_bow" if scene.endswith("_warp") else "oracle"
