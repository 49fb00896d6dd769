"""Mix-ups: what no small correction explains, found by trying each and asking all cameras.

Exchanged cameras, pictures of another size, turned or mirrored ones, the same pictures under two
names, a rig in other units. None has a parameter to fit: each is tried, and the footage says which
makes the cameras agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from multiview._shapes import F64, IntArray
from multiview.calib.health_footage import Footage
from multiview.calib.health_start import Start, start
from multiview.core import Camera, Intrinsics, Pose, Rig

__all__ = ["MixUp", "Setup", "duplicates", "find_mix_ups", "fit_sizes", "rescaled"]

# A camera is looked at if so many of its points are wrong: gross errors of detectors are rarer, a
# few per cent of corners and up to a quarter of keypoints.
SUSPECT_BOARD, SUSPECT_HAND = 0.1, 0.25
# A mix-up that is undone takes at least so much of all that is wrong with it.
CURED = 0.25
# Suspects that are tried against each other; of more, the rig or the board is wrong as a whole.
MOST_SUSPECTS = 8
# Criteria must differ by this much ("very strong": Kass and Raftery, JASA 1995), for each camera.
DECIDED = 10.0
# Same pictures under two names differ by less than this share of what the rig predicts between
# the cameras, and by less than so many spreads.
SAME_SHARE, SAME_SPREADS = 0.1, 3.0
# Sizes in which footage is commonly handed on, relative to the recording.
COMMON_SCALES = (1 / 3, 1 / 2, 2 / 3, 3 / 4, 4 / 3, 3 / 2, 2.0, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A rig and its footage, as corrected so far.

    Parameters
    ----------
    rig, footage
        In one order of cameras.
    use
        Frames that count, shape (U,).
    tolerance_px
        Usual error per camera, shape (V,).
    """

    rig: Rig
    footage: Footage
    use: IntArray
    tolerance_px: F64

    def start(self) -> Start:
        """Place what was filmed."""
        return start(self.rig, self.footage, self.use, self.tolerance_px)

    def with_lens(self, view: int, lens: Intrinsics) -> Setup:
        """Return the setup with another lens."""
        cameras = list(self.rig.cameras)
        cameras[view] = replace(cameras[view], intrinsics=lens)
        return replace(self, rig=replace(self.rig, cameras=tuple(cameras)))

    def with_pixels(self, view: int, change: Callable[[F64], F64]) -> Setup:
        """Return the setup with one camera's pixels (F, N, 2) changed."""
        return replace(self, footage=self.footage.with_view(view, change(self.footage.xy_px[view])))


@dataclass(frozen=True, slots=True, kw_only=True)
class MixUp:
    """A mix-up: ``kind`` of cameras ``views``, what exactly, and the fall of the criterion."""

    kind: str
    views: tuple[int, ...]
    detail: str
    gain: float


def scaled_lens(
    lens: Intrinsics, scale: float | tuple[float, float], size_wh: tuple[int, int]
) -> Intrinsics:
    """Lens of pictures resized by a factor, or by one along each axis."""
    K, by = lens.K.copy(), np.broadcast_to(np.asarray(scale, np.float64), 2)
    K[0, 0], K[1, 1] = K[0, 0] * by[0], K[1, 1] * by[1]
    K[:2, 2] = (K[:2, 2] + 0.5) * by - 0.5
    return replace(lens, K=K, size_wh=size_wh)


def cropped_lens(lens: Intrinsics, size_wh: tuple[int, int]) -> Intrinsics:
    """Lens of pictures cut out of the middle."""
    K = lens.K.copy()
    K[:2, 2] -= (np.array(lens.size_wh) - size_wh) / 2
    return replace(lens, K=K, size_wh=size_wh)


def _turned(xy: F64, quarters: int, size_wh: tuple[int, int]) -> F64:
    """Pixels of a picture of this size turned counter-clockwise by quarters."""
    width, height = size_wh
    x, y = xy[..., 0], xy[..., 1]
    if quarters == 1:
        return np.stack([y, width - 1 - x], axis=-1)
    if quarters == 2:
        return np.stack([width - 1 - x, height - 1 - y], axis=-1)
    return np.stack([height - 1 - y, x], axis=-1)


def fit_sizes(setup: Setup) -> tuple[Setup, list[MixUp]]:
    """Bring cameras whose pictures have another size than the rig's lens to what was done to them.

    All cameras that differ are taken to have been treated alike.
    """
    sizes = setup.footage.sizes_wh
    views = tuple(
        v
        for v, c in enumerate(setup.rig.cameras)
        if sizes[v] != (0, 0) and c.intrinsics.size_wh != sizes[v]
    )
    if not views:
        return setup, []
    trials = []
    for what, change in _size_changes():
        changed = setup
        for v in views:
            changed = change(changed, v)
        trials.append((changed.start().loss, what, changed))
    trials.sort(key=lambda t: t[0])
    loss, what, best = trials[0]
    rival = next((t for t in trials[1:] if t[1] != what), trials[-1])
    was = setup.rig.cameras[views[0]].intrinsics.size_wh
    detail = "{} x {}, rig {} x {}: {}".format(*sizes[views[0]], *was, what)
    return best, [MixUp(kind="size", views=views, detail=detail, gain=rival[0] - loss)]


def _size_changes() -> Iterator[tuple[str, Callable[[Setup, int], Setup]]]:
    def resized(setup: Setup, v: int) -> Setup:
        lens, size = setup.rig.cameras[v].intrinsics, setup.footage.sizes_wh[v]
        scale = (size[0] / lens.size_wh[0], size[1] / lens.size_wh[1])
        return setup.with_lens(v, scaled_lens(lens, scale, size))

    def resized_by_height(setup: Setup, v: int) -> Setup:
        """Scaled to the height, then cut or padded at the sides (4:3 to 16:9 and the like)."""
        lens, size = setup.rig.cameras[v].intrinsics, setup.footage.sizes_wh[v]
        s = size[1] / lens.size_wh[1]
        middle = (round(lens.size_wh[0] * s), size[1])
        return setup.with_lens(v, cropped_lens(scaled_lens(lens, s, middle), size))

    def resized_by_width(setup: Setup, v: int) -> Setup:
        lens, size = setup.rig.cameras[v].intrinsics, setup.footage.sizes_wh[v]
        s = size[0] / lens.size_wh[0]
        middle = (size[0], round(lens.size_wh[1] * s))
        return setup.with_lens(v, cropped_lens(scaled_lens(lens, s, middle), size))

    def cropped(setup: Setup, v: int) -> Setup:
        lens = setup.rig.cameras[v].intrinsics
        return setup.with_lens(v, cropped_lens(lens, setup.footage.sizes_wh[v]))

    yield "the pictures were resized", resized
    yield "resized, and cut at the sides", resized_by_height
    yield "resized, and cut at top and bottom", resized_by_width
    yield "cut out of the middle", cropped
    for quarters, side in ((1, "counter-clockwise"), (3, "clockwise")):

        def turned(setup: Setup, v: int, q: int = quarters) -> Setup:
            size = setup.footage.sizes_wh[v]
            back = setup.with_pixels(v, lambda xy: _turned(xy, 4 - q, size))
            lens = setup.rig.cameras[v].intrinsics
            scale = size[1] / lens.size_wh[0]
            return back.with_lens(v, scaled_lens(lens, scale, (size[1], size[0])))

        yield f"turned by 90 degrees {side}", turned


def duplicates(rig: Rig, footage: Footage) -> list[MixUp]:
    """Cameras that show the same pictures, or stand in the same place in the rig."""
    out = []
    for a, b in combinations(range(len(rig.cameras)), 2):
        both = footage.seen[a] & footage.seen[b]
        if both.sum() < 20:
            continue
        gap = np.linalg.norm(footage.xy_px[a] - footage.xy_px[b], axis=-1)[both]
        # how far pixels of unrelated pictures are apart: the spread of where things are seen
        spread = footage.xy_px[a][both].std(0).max()
        same_pose = _same_pose(rig.cameras[a], rig.cameras[b])
        if np.median(gap) < min(SAME_SPREADS, SAME_SHARE * spread) and not same_pose:
            expected = _expected_gap(rig, footage, a, b, both)
            if np.median(gap) < SAME_SHARE * expected:
                detail = "the same pictures under two names"
                out.append(MixUp(kind="duplicate", views=(a, b), detail=detail, gain=np.inf))
        elif same_pose:
            what = "pictures" if np.median(gap) < SAME_SPREADS else "pose in the rig"
            detail = f"the same {what} under two names"
            out.append(MixUp(kind="duplicate", views=(a, b), detail=detail, gain=np.inf))
    return out


def _same_pose(a: Camera, b: Camera) -> bool:
    """Whether two entries of a rig are one: to the digits that files are written with."""
    A, B = a.cam_from_world, b.cam_from_world
    near = 1e-4 * max(float(np.abs(A.t).max()), 1e-9)
    return bool(np.abs(A.R - B.R).max() < 1e-4 and np.abs(A.t - B.t).max() < near)


def _expected_gap(rig: Rig, footage: Footage, a: int, b: int, both: F64 | object) -> float:
    """Difference of pixels that two cameras of the rig have to show of one point at a time.

    The rays of one camera are followed to where the other cameras' axes are nearest.
    """
    A, B = rig.cameras[a], rig.cameras[b]
    centres, axes = rig.centres_world, rig.cam_from_world[0][:, 2]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    middle = np.linalg.lstsq(across.sum(0), (across @ centres[..., None]).sum(0), rcond=None)[0]
    depth = np.linalg.norm(A.centre_world - middle[:, 0])
    xy = A.undistort(footage.xy_px[a][both])
    rays = np.concatenate([xy, np.ones_like(xy[:, :1])], axis=-1) * depth
    seen = B.project(A.cam_from_world.inv.apply(rays))
    gap = np.linalg.norm(seen - footage.xy_px[a][both], axis=-1)
    # not in the picture of the other camera at all: as far as can be
    return float(np.median(np.where(np.isnan(gap), np.inf, gap)))


def suspects(begin: Start) -> list[int]:
    """Cameras that do not fit, worst first."""
    usual = SUSPECT_HAND if begin.scene.solid is None else SUSPECT_BOARD
    return [int(v) for v in np.argsort(-begin.wrong) if begin.wrong[v] > usual]


def find_mix_ups(setup: Setup, begin: Start) -> tuple[Setup, Start, list[MixUp]]:
    """Undo exchanged, mirrored and turned pictures, one at a time, as long as it helps.

    Returns
    -------
    setup, start, mix_ups
        Corrected.
    """
    found: list[MixUp] = []
    for _ in range(len(setup.rig.cameras)):
        bad = suspects(begin)
        trials = list(_trials(setup, bad[:MOST_SUSPECTS])) if bad else []
        best: tuple[Start, MixUp, Setup] | None = None
        for mix_up, changed in trials:
            after = changed.start()
            gain = begin.loss - after.loss
            better = after.wrong.sum() < (1 - CURED) * begin.wrong.sum()
            needed = DECIDED * len(mix_up.views) + 2 * np.log(len(trials))
            if better and gain > needed and (best is None or gain > best[1].gain):
                best = after, replace(mix_up, gain=float(gain)), changed
        if best is None:
            break
        begin, setup = best[0], best[2]
        found.append(best[1])
    return setup, begin, found


def _candidates(setup: Setup, worst: list[int]) -> list[int]:
    """Suspects, and cameras that may have made them so: those that see the same, most first."""
    sees = np.asarray(setup.footage.seen[:, setup.use].any(-1), np.bool_)
    shared = np.array([(sees & sees[v]).sum(1) for v in worst]).sum(0)
    shared[worst] = 0
    others = [int(v) for v in np.argsort(-shared) if shared[v]]
    return worst + others[: max(0, MOST_SUSPECTS - len(worst))]


def _trials(setup: Setup, worst: list[int]) -> Iterator[tuple[MixUp, Setup]]:
    candidates = _candidates(setup, worst)
    for a, b in combinations(sorted(candidates), 2):
        if a not in worst and b not in worst:
            continue
        views, detail = (a, b), "exchanged names or files"
        swapped = replace(setup, footage=setup.footage.exchanged(a, b))
        yield MixUp(kind="swapped", views=views, detail=detail, gain=0.0), swapped
    for v in candidates:
        width, height = setup.rig.cameras[v].intrinsics.size_wh
        for kind, detail, change in _mirrors(width, height):
            yield (
                MixUp(kind=kind, views=(v,), detail=detail, gain=0.0),
                setup.with_pixels(v, change),
            )
        if setup.footage.sizes_wh[v] != (0, 0):
            continue
        lens = setup.rig.cameras[v].intrinsics
        for scale in COMMON_SCALES:
            size = (round(width * scale), round(height * scale))
            detail = f"pictures {size[0]} x {size[1]}, rig {width} x {height}: resized"
            mix_up = MixUp(kind="size", views=(v,), detail=detail, gain=0.0)
            yield mix_up, setup.with_lens(v, scaled_lens(lens, scale, size))


def _mirrors(width: int, height: int) -> Iterator[tuple[str, str, Callable[[F64], F64]]]:
    def sideways(xy: F64) -> F64:
        return np.asarray(xy * [-1, 1] + [width - 1, 0])

    def upright(xy: F64) -> F64:
        return np.asarray(xy * [1, -1] + [0, height - 1])

    yield "mirrored", "left and right", sideways
    yield "mirrored", "top and bottom", upright
    yield "turned pictures", "by 180 degrees", lambda xy: _turned(xy, 2, (width, height))


def rescaled(rig: Rig, factor: float) -> Rig:
    """Return the rig with all distances multiplied."""
    cameras = [
        replace(c, cam_from_world=Pose(R=c.cam_from_world.R, t=c.cam_from_world.t * factor))
        for c in rig.cameras
    ]
    return replace(rig, cameras=tuple(cameras))
