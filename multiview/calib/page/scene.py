"""The rig and the boards in space: data for the canvas, and still views from above and the side."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from multiview._shapes import F64
from multiview.calib.advice import SHARED_LOOK, spanning_links
from multiview.calib.evidence import Evidence
from multiview.core import Camera
from multiview.geometry.axes import up_axes
from multiview.page.svg import ACCENT, INK, MUTED, REJECT, picture, polyline, tag, text

__all__ = ["scene_data", "still_views"]

# Board outlines drawn: more are a blot.
MANY_BOARDS = 140
# Length of a drawn camera, as a share of the scene.
FRUSTUM = 0.13
WIDTH, HEIGHT = 460.0, 330.0
# Room for names of cameras at the edge: across and down.
PAD = np.array([58.0, 34.0])


class _Scene:
    """Everything in drawing axes, about the middle of cameras and boards."""

    def __init__(self, evidence: Evidence) -> None:
        rig = evidence.rig
        boards = evidence.board_corners_world()
        middle = boards.mean(1) if len(boards) else np.zeros((0, 3))
        both = np.concatenate([rig.centres_world, middle])
        self.axes = up_axes(rig)
        self.centre = (both.min(0) + both.max(0)) / 2
        drawn = (both - self.centre) @ self.axes.T
        self.radius = float(np.linalg.norm(drawn, axis=-1).max()) or 1.0
        step = max(1, -(-len(boards) // MANY_BOARDS))
        self.boards = self.draw(boards[::step])
        self.cameras = self.draw(rig.centres_world)
        self.frusta = [self.draw(_frustum(c, FRUSTUM * self.radius)) for c in rig.cameras]
        self.floor = float(min(self.boards[..., 2].min(initial=0), self.cameras[:, 2].min()))

    def draw(self, xyz: F64) -> F64:
        return np.asarray((xyz - self.centre) @ self.axes.T)


def _frustum(camera: Camera, depth: float) -> F64:
    """Corners of a camera's picture at a depth, top left first, world, shape (4, 3)."""
    lens = camera.intrinsics
    width, height = lens.size_wh
    xy = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    rays = (xy - lens.K[:2, 2]) / np.diag(lens.K)[:2]
    # wide lenses would cover the rig: at most 45 degrees off the axis
    rays = np.clip(rays, -1, 1)
    xyz = depth * np.concatenate([rays, np.ones((4, 1))], -1)
    return np.asarray(camera.cam_from_world.inv.apply(xyz))


def scene_data(evidence: Evidence) -> str:
    """JSON that the page's script draws; safe inside a script element."""
    scene = _Scene(evidence)
    unit = scene.radius / 1000

    def short(xyz: F64) -> Any:
        return (np.rint(xyz / unit) * 1).astype(int).tolist()

    tips = scene.draw(0.22 * scene.radius * np.eye(3)), scene.draw(np.zeros((1, 3)))
    colours = ("#c0392b", "#2e8b57", "#2b5fb3")
    data = {
        "radius": 1000,
        "boards": short(scene.boards),
        "cameras": [
            {"n": n, "o": short(o), "f": short(f), "t": short(f.mean(0))}
            for n, o, f in zip(evidence.rig.names, scene.cameras, scene.frusta, strict=True)
        ],
        "axes": [
            {"n": n, "c": c, "p": [short(tips[1][0]), short(tip)]}
            for n, c, tip in zip("xyz", colours, tips[0], strict=True)
        ],
        "grid": _grid(scene, unit),
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _grid(scene: _Scene, unit: float) -> list[list[list[int]]]:
    """Lines of a floor under everything, a round length apart."""
    step = grid_step(scene.radius)
    count = int(np.ceil(scene.radius / step))
    end, z = round(count * step / unit), round(scene.floor / unit)
    places = [round(i * step / unit) for i in range(-count, count + 1)]
    return [[[p, -end, z], [p, end, z]] for p in places] + [
        [[-end, p, z], [end, p, z]] for p in places
    ]


def grid_step(radius: float) -> float:
    """Return a round length (1, 2 or 5) that cuts the scene into a few parts."""
    raw = radius / 3
    power = 10.0 ** np.floor(np.log10(raw))
    return float(power * max(m for m in (1, 2, 5) if m * power <= raw))


def still_views(evidence: Evidence) -> tuple[str, str]:
    """Draw the rig from above, with the links between cameras, and from the side."""
    scene = _Scene(evidence)
    top = _view(scene, evidence, (0, 1), _links(scene, evidence))
    depth = np.ptp(np.concatenate([scene.cameras, scene.boards.reshape(-1, 3)]), axis=0)
    side = _view(scene, evidence, (0 if depth[0] >= depth[1] else 1, 2), "")
    return top, side


def _placement(scene: _Scene, axes: tuple[int, int]) -> tuple[F64, float]:
    ends = np.concatenate([scene.cameras, *scene.frusta, scene.boards.reshape(-1, 3)])[
        :, list(axes)
    ]
    middle = (ends.min(0) + ends.max(0)) / 2
    size = np.maximum(ends.max(0) - ends.min(0), 1e-9)
    scale = float((([WIDTH, HEIGHT] - 2 * PAD) / size).min())
    return middle, scale


def _to_page(scene: _Scene, axes: tuple[int, int], xyz: F64) -> F64:
    middle, scale = _placement(scene, axes)
    xy = (xyz[..., list(axes)] - middle) * scale * [1, -1]
    return np.asarray(xy + np.array([WIDTH, HEIGHT]) / 2)


def _view(scene: _Scene, evidence: Evidence, axes: tuple[int, int], extra: str) -> str:
    body = []
    for board in _to_page(scene, axes, scene.boards):
        closed = np.concatenate([board, board[:1]])
        body.append(polyline(closed, stroke=ACCENT, stroke_opacity="0.22", stroke_width="0.8"))
    body.append(extra)
    at = _to_page(scene, axes, scene.cameras)
    centre = np.array([WIDTH, HEIGHT]) / 2
    for name, place, frustum in zip(evidence.rig.names, at, scene.frusta, strict=True):
        corners = _to_page(scene, axes, frustum)
        ring = polyline(np.concatenate([corners, corners[:1]]), stroke=INK, stroke_width="0.9")
        rays = "".join(
            polyline(np.stack([place, c]), stroke=INK, stroke_width="0.9") for c in corners
        )
        out = place - corners.mean(0)
        out = out / (np.linalg.norm(out) or 1)
        label = place + 11 * out if np.any(out) else place + 11 * (place - centre)
        body += [ring, rays, text(label[0], label[1] + 3.5, name, **_label(out))]
    body.append(_scale_bar(scene, axes, evidence.rig.unit))
    name = "from above" if axes == (0, 1) else "from the side"
    return picture(WIDTH, HEIGHT, "".join(body), f"The rig {name}", "frame")


def _label(out: F64) -> dict[str, Any]:
    anchor = "middle" if abs(out[0]) < 0.5 else ("start" if out[0] > 0 else "end")
    halo = {"paint_order": "stroke", "stroke": "#f5f8fa", "stroke_width": "3"}
    return {"text_anchor": anchor, "font_size": 10.5, "fill": INK, **halo}


def _links(scene: _Scene, evidence: Evidence) -> str:
    """Draw links between cameras, the broader the more boards agree.

    In red: those that hold the rig together by few boards. Other pairs that share few do no harm.
    """
    shared = evidence.shared(evidence.agrees)
    needed = {frozenset((a, b)) for a, b, n in spanning_links(evidence) if n < SHARED_LOOK}
    at = _to_page(scene, (0, 1), scene.cameras)
    most = max(int(shared.max(initial=0)), 1)
    pairs = [(int(a), int(b)) for a, b in np.argwhere(np.triu(shared))]
    fade = min(1.0, 60 / max(len(pairs), 1)) ** 0.5
    out = []
    for a, b in sorted(pairs, key=lambda ab: int(shared[ab])):
        n = int(shared[a, b])
        weak = frozenset((a, b)) in needed
        out.append(
            polyline(
                at[[a, b]],
                stroke=REJECT if weak else "#2f9e77",
                stroke_width=f"{max(0.6 + 3.4 * n / most, 1.6 * weak):.1f}",
                stroke_opacity="0.9" if weak else f"{fade * (0.15 + 0.5 * n / most):.2f}",
            )
        )
    return "".join(out)


def _scale_bar(scene: _Scene, axes: tuple[int, int], unit: str) -> str:
    _, scale = _placement(scene, axes)
    length = grid_step(scene.radius * 1.2)
    x, y = 14.0, HEIGHT - 14
    shown = f"{length:g} {unit}"
    bar = tag("path", d=f"M{x} {y - 4}v4h{length * scale:.1f}v-4", fill="none", stroke=MUTED)
    return bar + text(x + 4, y - 5, shown, font_size=10.5, fill=MUTED)
