"""A small take for the viewers' tests."""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "smoothing"))
from smoothing_scenes import calm_hand, make_scene

from multiview.triangulation import triangulate
from multiview.viz.scene import Scene, scene_blocks

FRAMES = 12


def small_take(frames=FRAMES, views=4):
    """Detections, points and rig of a moving hand."""
    made = make_scene(calm_hand(frames), views)
    return made.dets, triangulate(made.dets, made.rig), made.rig


def grey_pictures(view, positions):
    """A picture of one grey a camera and frame."""
    for f in positions.tolist():
        yield f, np.full((720, 1280, 3), 40 + 10 * view + f, np.uint8)


def small_scene(frames=FRAMES, *, pictures=True, block=5, **changes):
    """The same as a scene, in several blocks."""
    dets, points, rig = small_take(frames)
    given = {
        "title": "take </script>",
        "rig": rig,
        "skeleton": points.skeleton,
        "hands": points.hands,
        "frame_ids": points.frame_ids,
        "blocks": lambda: scene_blocks(points, dets, block),
        "pictures": grey_pictures if pictures else None,
    }
    return Scene(**(given | changes))
