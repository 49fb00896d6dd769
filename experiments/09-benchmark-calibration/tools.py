"""Who takes part in what."""

from __future__ import annotations

from dataclasses import dataclass

BOARD_SCENES = ("arc4", "chain4", "ring8_clean", "ring8", "ring8_warp", "dome31")
WAND_SCENES = ("wand4", "wand8", "wand31")
REAL_SCENES = ("stereo", "webcams")
TURNED_SCENES = ("arc4", "chain4", "ring8")  # chessboards turned in some views
SLOW = ("ring8_clean", "ring8_warp", "dome31")
QUICK_SCENES = ("arc4", "wand4")
OURS = ("ours", "ours_given", "ours_wand")


@dataclass(frozen=True)
class Tool:
    """A column of the benchmark.

    ``adaptor`` is its name in the bench; ``scenes`` where it runs (by default all with boards);
    ``slow`` those that are measured with ``--slow`` only, for they take minutes.
    """

    environment: str
    adaptor: str = ""
    scenes: tuple[str, ...] = BOARD_SCENES + REAL_SCENES
    slow: tuple[str, ...] = ()


TOOLS = {
    "oracle": Tool("bench", scenes=BOARD_SCENES),
    "oracle_turned": Tool("bench", "oracle", scenes=TURNED_SCENES),
    "oracle_bow": Tool("bench", scenes=("ring8_warp",)),
    "ours": Tool("ours"),
    "ours_given": Tool("ours", scenes=("webcams",)),
    "ref": Tool("bench"),
    "ref_bow": Tool("bench", scenes=("ring8_warp",)),
    "mrcal 2.5": Tool("mrcal", "mrcal"),
    "mrcal 2.2": Tool("mrcal_debian", "mrcal", scenes=("ring8",)),
    "multical": Tool("multical", slow=SLOW),
    "caliscope": Tool(
        "caliscope",
        scenes=BOARD_SCENES + REAL_SCENES + WAND_SCENES,
        slow=(*SLOW, "ring8", "wand31"),
    ),
    "aniposelib": Tool("aniposelib", slow=SLOW),
    "mcc": Tool("mcc", slow=SLOW),
    "vcal": Tool("vcal", slow=SLOW),
    "cv_multiview": Tool("bench", slow=("dome31",)),
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
