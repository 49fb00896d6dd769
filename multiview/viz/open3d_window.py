"""A desktop window by Open3D: hands as spheres and tubes, cameras, a bar of time, keys.

Only meshes of the shown frame exist; each frame moves their vertices. Open3D's older window is
used, which needs OpenGL alone: the newer one ends the whole process where there is no Vulkan
driver. Even so this module belongs into a process of its own (`multiview.stages.window`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import numpy as np

from multiview._shapes import F64
from multiview.errors import InputError
from multiview.geometry.axes import up_axes
from multiview.viz.playback import Player, Track, sureness_colours
from multiview.viz.scene import Scene, frustum, frustum_depth, typical_bone
from multiview.viz.solids import HandSolid, Solid, joined, quads, tubes, words

__all__ = ["SIZE_WH", "Colour", "HandWindow"]

Colour = Literal["finger", "confidence"]
SIZE_WH = (1280, 800)
PAPER, FRUSTUM, GRID = (0.078, 0.09, 0.11), (0.50, 0.57, 0.66), (0.17, 0.19, 0.22)
BRIGHT, MUTED = (0.93, 0.95, 0.97), (0.60, 0.65, 0.71)
BAR, READ = (0.36, 0.62, 1.0), (0.36, 0.41, 0.48)
AXES = ((0.90, 0.28, 0.30), (0.27, 0.65, 0.35), (0.25, 0.55, 1.0))
# Codes of keys by GLFW, which Open3D hands on.
SPACE, RIGHT, LEFT, DOWN, UP, HOME, END, SHIFT = 32, 262, 263, 264, 265, 268, 269, 1
KEYS = (
    "space play   <- -> step (shift: 10)   up/down speed   home/end   c colour   v cameras   "
    "z closer   q quit"
)
# Where the eye stands: degrees above the ground and around it.
RISE, TURN, FIELD = np.deg2rad(24.0), np.deg2rad(-55.0), np.deg2rad(60.0)
# Pictures a second at most, and how often a window that stands still looks for keys.
TICK = 1 / 60
# Meshes with light and shade; words are not.
LIT = {"hands", "cameras"}
# Open3D wants a triangle in every mesh.
NOTHING = quads(np.zeros((1, 4, 3)), np.zeros(3), np.zeros(3))


class HandWindow:
    """A take in a window; `open`, then `run` until the user closes it.

    Parameters
    ----------
    scene
        The take; its pictures are not shown.
    rate
        Frames per second.
    colour
        Of the hands at first.
    frame
        Where to begin, paused; None begins to play.

    Raises
    ------
    InputError
        If Open3D cannot be loaded.
    """

    def __init__(
        self, scene: Scene, rate: float, colour: Colour = "finger", frame: int | None = None
    ) -> None:
        self.o3d = _load()
        self.scene, self.colour = scene, colour
        self.track, self.player = Track(scene), Player(len(scene.frame_ids), rate)
        self.track.until(frame or 0)
        if frame is not None:
            self.player.jump(frame)
        some = self.track.xyz[: self.track.ready].astype(np.float64)
        self.bone = typical_bone(some, scene.skeleton)
        self.depth = frustum_depth(scene.rig, some)
        self.axes = up_axes(scene.rig)
        ok = some[np.isfinite(some).all(-1)]
        self.middle = np.median(ok, 0) if len(ok) else scene.rig.centres_world.mean(0)
        away = np.linalg.norm(scene.rig.centres_world - self.middle, axis=-1)
        self.radius = float(away.max()) + self.depth or 1.0
        self.hand = HandSolid(scene.skeleton, len(scene.hands), self.bone)
        self.fingers = np.array(scene.skeleton.colors, np.float64) / 255
        self.close, self.cameras_shown = False, True
        self._drawn: tuple[object, ...] = ()
        self.meshes: dict[str, Any] = {}

    def open(self, size_wh: tuple[int, int] = SIZE_WH, *, visible: bool = True) -> bool:
        """Open the window with its first picture; False where there is no OpenGL."""
        self.vis = self.o3d.visualization.VisualizerWithKeyCallback()
        if not self.vis.create_window(self.scene.title, *size_wh, visible=visible):
            return False
        option = self.vis.get_render_option()
        option.background_color = np.array(PAPER)
        option.mesh_show_back_face = True
        option.mesh_shade_option = self.o3d.visualization.MeshShadeOption.Color
        self.vis.add_geometry(self._extent())
        for mesh in (self._grid(), self._mesh("cameras", self._cameras())):
            self.vis.add_geometry(mesh, reset_bounding_box=False)
        for name in ("hands", "labels", "frame"):
            self.vis.add_geometry(self._mesh(name, NOTHING), reset_bounding_box=False)
        self._register()
        self._look()
        self.draw()
        return True

    def run(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Play until the window is closed or no longer wanted; reads on while there is time."""
        last, more = time.monotonic(), True
        while self.vis.poll_events() and wanted():
            more = more and self.track.more()
            now = time.monotonic()
            self.player.tick(now - last, self.track.ready)
            last = now
            if not self.draw() and not more:
                time.sleep(max(0.0, TICK - (time.monotonic() - now)))

    def draw(self) -> bool:
        """Draw if anything changed, and say so."""
        view = self.vis.get_view_control().convert_to_pinhole_camera_parameters()
        p, lens = self.player, view.intrinsic
        state: tuple[object, ...] = (p.frame, p.playing, p.speed, self.colour, self.track.ready)
        state = (*state, self.cameras_shown, view.extrinsic.tobytes(), lens.width, lens.height)
        if state == self._drawn:
            return False
        self._drawn = state
        hands = self.hand.at(self.track.xyz[p.frame].astype(np.float64), self._colours(p.frame))
        self._move("hands", hands)
        self._move("labels", self._labels(view.extrinsic[:3, :3]))
        self._move("frame", self._frame(view))
        self.vis.update_renderer()
        return True

    def close_window(self) -> None:
        """Take it from the screen."""
        self.vis.destroy_window()

    # ---- what is drawn ----

    def _mesh(self, name: str, solid: Solid) -> Any:
        mesh = self.meshes[name] = self.o3d.geometry.TriangleMesh()
        self._fill(mesh, solid, name in LIT)
        return mesh

    def _fill(self, mesh: Any, solid: Solid, lit: bool) -> None:
        floats, whole = self.o3d.utility.Vector3dVector, self.o3d.utility.Vector3iVector
        mesh.vertices, mesh.vertex_normals = floats(solid.xyz), floats(solid.normal)
        mesh.vertex_colors = floats(solid.colour)
        mesh.triangles = whole(solid.triangles.astype(np.int32))
        if lit:  # Open3D lights what has normals of triangles too, though it smooths by vertices
            mesh.triangle_normals = floats(np.zeros((len(solid.triangles), 3)))

    def _move(self, name: str, solid: Solid) -> None:
        self._fill(self.meshes[name], solid, name in LIT)
        self.vis.update_geometry(self.meshes[name])

    def _colours(self, f: int) -> F64:
        limits = self.track.limits if self.colour == "confidence" else None
        return sureness_colours(self.track.sigma[f], limits, self.fingers)

    def _extent(self) -> Any:
        """Put a dot at both ends of all there is: Open3D learns from it how large the scene is."""
        ends = self.middle + self.radius * np.array([[-1.0, -1, -1], [1, 1, 1]])
        points = self.o3d.geometry.PointCloud(self.o3d.utility.Vector3dVector(ends))
        points.paint_uniform_color(PAPER)
        return points

    def _grid(self) -> Any:
        """Lines of a floor below everything, and the world's axes."""
        corners = np.concatenate([frustum(c, self.depth) for c in self.scene.rig.cameras])
        known = np.concatenate([corners, self.middle[None] - 3 * self.bone * self.axes[2:]])
        floor = float(((known - self.middle) @ self.axes[2]).min())
        ticks = np.linspace(-1.2, 1.2, 13) * self.radius
        ends = np.array([[t, s * ticks[-1]] for t in ticks for s in (-1, 1)])
        flat = np.concatenate([ends, ends[:, ::-1]])
        xyz = self.middle + flat @ self.axes[:2] + floor * self.axes[2]
        tips = np.stack([np.zeros((3, 3)), 0.7 * self.depth * np.eye(3)], 1).reshape(-1, 3)
        lines = np.arange(len(xyz) + 6).reshape(-1, 2)
        colours = np.concatenate([np.tile(GRID, (len(xyz) // 2, 1)), AXES])
        made = self.o3d.geometry.LineSet()
        made.points = self.o3d.utility.Vector3dVector(np.concatenate([xyz, tips]))
        made.lines = self.o3d.utility.Vector2iVector(lines.astype(np.int32))
        made.colors = self.o3d.utility.Vector3dVector(colours)
        return made

    def _cameras(self) -> Solid:
        """Edges of all frusta as rods; the top of the picture is thick."""
        thin, parts = 0.012 * self.depth, []
        for camera in self.scene.rig.cameras:
            c = frustum(camera, self.depth)
            start, end = c[[0, 0, 0, 0, 2, 3, 4]], c[[1, 2, 3, 4, 3, 4, 1]]
            parts.append(tubes(start, end, thin, np.array(FRUSTUM)))
            parts.append(tubes(c[1:2], c[2:3], 2 * thin, np.array(FRUSTUM)))
        return joined(*parts)

    def _labels(self, R: F64) -> Solid:
        """Names of the cameras, turned to the eye whose axes are the rows of R (3, 3)."""
        if not self.cameras_shown:
            return NOTHING
        pixel, parts = 0.16 * self.depth / 16, []
        for camera in self.scene.rig.cameras:
            corners, ink = words(camera.name, 16, 2)
            corners = corners - [corners[..., 0].max() / 2, 10]
            xyz = camera.centre_world + pixel * corners @ R[:2]
            parts.append(quads(xyz - 0.05 * self.depth * R[2], -R[2], _inked(MUTED, ink)))
        return joined(*parts)

    def _frame(self, view: Any) -> Solid:
        """Title, keys, bar of time and state, right in front of the eye."""
        lens, eye = view.intrinsic.intrinsic_matrix, view.extrinsic
        width, height = view.intrinsic.width, view.intrinsic.height
        size = max(9.0, height / 72)
        at = 3 * self.near
        parts: list[tuple[F64, F64]] = []

        def write(text: str, x: float, y: float, colour: tuple[float, float, float]) -> float:
            corners, ink = words(text, size, 1)
            parts.append((np.round(corners + np.array([x, y])), _inked(colour, ink)))
            return float(corners[..., 0].max(initial=0)) + x

        write(self.scene.title, 16, 14 + size, BRIGHT)
        write(KEYS, 16, 14 + 3 * size, MUTED)
        if self.scene.note:
            write(self.scene.note, 16, 14 + 5 * size, MUTED)
        self._write_state(write, width, height, size)
        parts += self._bar(width, height)
        corners = np.concatenate([p for p, _ in parts])
        rays = (corners - lens[:2, 2]) / np.diag(lens)[:2]
        cam = at * np.concatenate([rays, np.ones((*rays.shape[:2], 1))], -1)
        xyz = (cam - eye[:3, 3]) @ eye[:3, :3]
        return quads(xyz, -eye[2, :3], np.concatenate([c for _, c in parts]))

    def _write_state(
        self, write: Callable[..., float], width: int, height: int, size: float
    ) -> None:
        p, y = self.player, height - 30
        shown = f"frame {self.scene.frame_ids[p.frame]} of {self.scene.frame_ids[-1]}"
        state = f"{'playing' if p.playing else 'paused'} {p.speed:g}x"
        x = write(f"{shown}   {p.frame / p.rate:.2f} s   {state}", 16, y, BRIGHT) + 40
        if self.colour == "finger":
            for name, members in self.scene.skeleton.groups.items():
                x = write(name, x, y, tuple(self.fingers[members[-1]])) + 16
        elif self.track.limits is not None:
            scale, unit = (1000, "mm") if self.scene.rig.unit == "m" else (1, self.scene.rig.unit)
            x = write("standard deviation", x, y, MUTED) + 16
            ends = np.array(self.track.limits)
            for value in (ends[0], np.sqrt(ends.prod()), ends[1]):
                colour = sureness_colours(np.array([[value]]), tuple(ends), self.fingers[:1])
                x = write(f"{value * scale:.2g} {unit}", x, y, tuple(colour[0, 0])) + 16

    def _bar(self, width: int, height: int) -> list[tuple[F64, F64]]:
        """Rectangles side by side: frames up to the shown one, then read, then not yet read."""
        y, last = height - 18.0, max(self.player.frames - 1, 1)
        shown = self.player.frame / last
        ends = [0.0, shown, max((self.track.ready - 1) / last, shown), 1.0]
        x = 16.0 + np.array(ends) * (width - 32.0)
        out = []
        for n, (high, colour) in enumerate(((5.0, BAR), (3.0, READ), (3.0, GRID))):
            a, b = x[n], x[n + 1]
            box = np.array([[a, y - high], [b, y - high], [b, y + high], [a, y + high]])
            out.append((box[None], np.array([colour])))
        return out

    # ---- keys and view ----

    @property
    def near(self) -> float:
        """Distance of the plane from which on things are drawn."""
        return 0.004 * self.radius

    def _look(self) -> None:
        """Look at the hands from above and aside: all cameras in the picture, or close."""
        control = self.vis.get_view_control()
        level = np.cos(TURN) * self.axes[0] + np.sin(TURN) * self.axes[1]
        front = np.cos(RISE) * level + np.sin(RISE) * self.axes[2]
        shown = self.track.xyz[self.player.frame].astype(np.float64)
        ok = shown[np.isfinite(shown).all(-1)]
        near = self.close and len(ok) > 0
        target = ok.mean(0) if near else self.middle
        size = float(np.linalg.norm(ok - target, axis=-1).max()) if near else self.radius
        size = max(size, 2 * self.bone) if near else size
        control.set_front(front)
        # Open3D takes the three as they are: they have to be at right angles
        control.set_up(np.cos(RISE) * self.axes[2] - np.sin(RISE) * level)
        control.set_lookat(target)
        # Open3D's zoom is a share of the largest side of the scene, here twice the radius
        control.set_zoom(float(np.clip(0.52 * size / self.radius, 0.02, 2.0)))
        control.set_constant_z_near(self.near)
        control.set_constant_z_far(20 * self.radius)

    def _register(self) -> None:
        p = self.player
        self._on(RIGHT, lambda mods: p.step(10 if mods & SHIFT else 1))
        self._on(LEFT, lambda mods: p.step(-10 if mods & SHIFT else -1))
        self._on(SPACE, lambda mods: p.toggle(), again=False)
        self._on(UP, lambda mods: p.faster(1))
        self._on(DOWN, lambda mods: p.faster(-1))
        self._on(HOME, lambda mods: p.jump(0))
        self._on(END, lambda mods: p.jump(p.frames - 1))
        self._on(ord("C"), lambda mods: self._recolour(), again=False)
        self._on(ord("V"), lambda mods: self._hide_cameras(), again=False)
        self._on(ord("Z"), lambda mods: self._zoom(), again=False)
        self._on(ord("R"), lambda mods: self._look(), again=False)

    def _on(self, key: int, do: Callable[[int], object], *, again: bool = True) -> None:
        def pressed(_: Any, action: int, mods: int) -> bool:
            if action == 1 or (action == 2 and again):  # pressed, or held down
                do(mods)
                self.track.until(self.player.frame)
            return False

        self.vis.register_key_action_callback(key, pressed)

    def _recolour(self) -> None:
        self.colour = "finger" if self.colour == "confidence" else "confidence"

    def _hide_cameras(self) -> None:
        self.cameras_shown = not self.cameras_shown
        self._move("cameras", self._cameras() if self.cameras_shown else NOTHING)

    def _zoom(self) -> None:
        self.close = not self.close
        self._look()


def _inked(colour: tuple[float, float, float], ink: F64) -> F64:
    """Colour on the paper, shape (N, 3)."""
    paper = np.array(PAPER)
    return np.asarray(paper + ink[:, None] * (np.array(colour) - paper))


def _load() -> Any:
    """Import Open3D.

    Raises
    ------
    InputError
        If it is missing, or a library that it needs.
    """
    try:
        return import_module("open3d")
    except ModuleNotFoundError as error:
        raise InputError(
            f"this window needs Open3D, which is not installed ({error.name} is missing)",
            "pip install 'multiview-bootstrapping[open3d]', or write a page: --html out.html",
        ) from None
    except (ImportError, OSError) as error:
        raise InputError(
            f"Open3D cannot be loaded: {error}",
            "install what it names, on Debian: apt-get install libgl1 libgomp1 libx11-6",
        ) from None
