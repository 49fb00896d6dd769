"""Where rerun shows what: hands close up, the rig, every view, plots, one timeline.

All views of a small rig are seen at once; those of a larger one are in tabs, since a picture of
100 pixels shows no hand (and hidden pictures need not be decoded).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from multiview._shapes import F64
from multiview.viz.film import eye_around
from multiview.viz.scene import Scene, upwards

__all__ = ["Paths", "Stage", "layout"]

# Views in one grid: 3 x 3 are 220 pixels wide on a laptop.
TILES = 9
# Where the eye stands on the circle around hands and cameras, radians.
TURN = 0.6
# Distances of the eye: in those of the cameras, all of which are then in the picture; in bones, for
# one hand; in the reach of several, so that they stay in it.
FAR, CLOSE, WIDE = 1.9, 7.0, 2.2


class Paths:
    """Names of what is recorded; a camera's name may hold any character."""

    def __init__(self, rr: Any) -> None:
        self._part = rr.escape_entity_path_part

    def hand(self, name: str) -> str:
        """Points of a hand; its bones lie below."""
        return f"world/hands/{self._part(name)}"

    def camera(self, name: str) -> str:
        """Pose of a camera; its name lies below."""
        return f"world/cameras/{self._part(name)}"

    def image(self, name: str) -> str:
        """Lens and pictures of a camera; what is drawn on them lies below."""
        return f"{self.camera(name)}/image"

    def series(self, kind: str, name: str) -> str:
        """Plot of a camera."""
        return f"{kind}/{self._part(name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What decides where to look from.

    Parameters
    ----------
    target
        Middle of the hands when there are first some, shape (3,).
    bone
        Typical length of a bone.
    reach
        How far from the target most of their points are.
    depth
        Of the frusta.
    first
        Number of the first frame with a hand; None if that is the first of all.
    fps
        Frames per second; None without clocks.
    """

    target: F64
    bone: float
    reach: float
    depth: float
    first: int | None
    fps: float | None


def layout(rr: Any, scene: Scene, stage: Stage, colours: str) -> Any:
    """Build the blueprint.

    Parameters
    ----------
    rr
        The module.
    scene, stage
        The run, and where to look from.
    colours
        What the colours of the hands mean.
    """
    import rerun.blueprint as rrb

    paths = Paths(rr)
    top = rrb.Horizontal(
        rrb.Vertical(_hands(rrb, scene, stage, paths, colours), _rig(rr, rrb, scene, stage, paths)),
        _views(rrb, scene, paths),
        column_shares=[2, 3],
    )
    return rrb.Blueprint(
        rrb.Vertical(top, _plots(rrb), row_shares=[4, 1]),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        _timeline(rrb, scene, stage),
        auto_views=False,
    )


def _hands(rrb: Any, scene: Scene, stage: Stage, paths: Paths, colours: str) -> Any:
    """Hands close up; the eye goes with a single one."""
    alone = len(scene.hands) == 1
    away = CLOSE * stage.bone if alone else max(WIDE * stage.reach, CLOSE * stage.bone)
    note = f", {scene.note}" if scene.note else ""
    return rrb.Spatial3DView(
        origin="world",
        contents="world/hands/**",
        name=f"hands: {colours}{note}",
        eye_controls=_eye(
            rrb,
            scene,
            stage.target,
            away or stage.depth,
            paths.hand(scene.hands[0]) if alone else None,
        ),
        line_grid=False,
    )


def _eye(rrb: Any, scene: Scene, target: F64, away: float, tracked: str | None = None) -> Any:
    up = upwards(scene.rig)
    at = eye_around(target, up, away, TURN, (1, 1)).at
    return rrb.EyeControls3D(position=at, look_target=target, eye_up=up, tracking_entity=tracked)


def _rig(rr: Any, rrb: Any, scene: Scene, stage: Stage, paths: Paths) -> Any:
    """Cameras with their pictures, on a floor below all of them."""
    up, centres = upwards(scene.rig), scene.rig.centres_world
    drawn = ("detected", "reprojected", "residuals")
    hidden = [f"- {paths.image(c.name)}/{d}/**" for c in scene.rig.cameras for d in drawn]
    floor = min(float((centres @ up).min()), float(stage.target @ up)) - stage.depth
    away = FAR * float(np.median(np.linalg.norm(centres - stage.target, axis=-1)))
    return rrb.Spatial3DView(
        origin="world",
        contents=["+ world/**", *hidden],
        name="cameras",
        defaults=[rr.TransformAxes3D(axis_length=stage.depth / 5)],
        eye_controls=_eye(rrb, scene, stage.target, away or stage.depth),
        line_grid=rrb.LineGrid3D(
            visible=True,
            spacing=2 * stage.depth,
            plane=rr.components.Plane3D(normal=up, distance=floor),
        ),
    )


def _views(rrb: Any, scene: Scene, paths: Paths) -> Any:
    views = [rrb.Spatial2DView(origin=paths.image(n), name=n) for n in scene.rig.names]
    if len(views) <= TILES:
        return rrb.Grid(*views)
    # as many in each, so that the last tab does not hold a single one
    cut = np.array_split(np.arange(len(views)), -(-len(views) // TILES))
    grids = [
        rrb.Grid(*(views[i] for i in part), name=f"{views[part[0]].name} - {views[part[-1]].name}")
        for part in cut
    ]
    return rrb.Tabs(*grids)


def _plots(rrb: Any) -> Any:
    corner = rrb.PlotLegend(rrb.Corner2D.RightTop)
    by_view = [
        rrb.TimeSeriesView(origin="residual_px", name="by view: residual, px", plot_legend=corner),
        rrb.TimeSeriesView(origin="inliers", name="by view: keypoints carried", plot_legend=corner),
    ]
    residual = rrb.TimeSeriesView(
        origin="summary/residual_px", name="residual, px", plot_legend=corner
    )
    views = rrb.TimeSeriesView(
        origin="summary/views", name="views that carry a keypoint, mean", plot_legend=corner
    )
    return rrb.Horizontal(residual, views, rrb.Tabs(*by_view))


def _timeline(rrb: Any, scene: Scene, stage: Stage) -> Any:
    """Paused at the first frame, or playing towards the marked ones where that has no hand."""
    given: dict[str, Any] = {"loop_mode": "all", "play_state": "paused"}
    if stage.first is not None:
        span = rrb.components.AbsoluteTimeRange(stage.first, int(scene.frame_ids[-1]))
        given = {"loop_mode": "selection", "time_selection": span, "play_state": "playing"}
    return rrb.TimePanel(state="collapsed", timeline="frame", fps=stage.fps, **given)
