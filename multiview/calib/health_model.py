"""The model behind the health of a rig: cameras that may deviate, and what they look at.

Observations follow a bivariate t distribution about their prediction, with a scale of its own for
each camera (Lange, Little and Taylor, "Robust statistical modeling using the t distribution", JASA
1989): gross errors weigh little, and a camera that fits badly neither bends what is seen nor is
taken for outliers. Structure (board poses, or free points) is eliminated block by block, so that
every question about cameras is asked of one small matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from scipy.spatial.transform import Rotation

from multiview._shapes import F64, IntArray
from multiview.calib.so3 import exp_so3
from multiview.calib.timing_tracks import Tracks
from multiview.core import Camera, Intrinsics, Pose, Rig
from multiview.geometry.project import project_jacobian

__all__ = ["PARAMETERS", "Linear", "Model", "Scene", "linearise", "loss_of", "read_views"]

# Deviations of a camera: turn 3 (rad) and shift 3 (m) in its frame, log focal length, time offset
# (s), and drift of its clock (s/s).
TURN, SHIFT, FOCAL, OFFSET, DRIFT = slice(0, 3), slice(3, 6), 6, 7, 8
PARAMETERS = 9
# Degrees of freedom of the t distribution: the usual choice for robust regression (Lange et al.).
T_DOF = 4.0
# No detector is better than this, pixels: keeps noise-free footage from dividing by zero.
NOISE_FLOOR_PX = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What was filmed, and by which cameras as the rig says.

    Parameters
    ----------
    rig
        V cameras.
    tracks
        All frames, shape (V, F, N, 2).
    use
        Frames that enter the fit, shape (U,).
    solid
        Points of a board about its centre, shape (N, 3), metres; None for points that move freely.
    """

    rig: Rig
    tracks: Tracks
    use: IntArray
    solid: F64 | None = None

    @property
    def block_size(self) -> int:
        """Unknowns of a block of structure: a pose, or a point."""
        return 3 if self.solid is None else 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Values of all unknowns.

    Parameters
    ----------
    R, t, focal
        Cameras, ``cam_from_world``, shapes (V, 3, 3), (V, 3), and log focal factors (V,).
    clock
        Offset (s) and drift (s/s) of every camera's stamps, shape (V, 2).
    xyz
        Free points, shape (U, N, 3), world; or, for a board, unused with size 0.
    board_R, board_t
        ``world_from_board`` of each frame, shapes (U, 3, 3) and (U, 3).
    scale_px
        Scale of each camera's errors, shape (V,).
    """

    R: F64
    t: F64
    focal: F64
    clock: F64
    xyz: F64
    board_R: F64
    board_t: F64
    scale_px: F64

    def moved(self, step: F64) -> Model:
        """Apply steps of the cameras, shape (V, 9)."""
        turn = exp_so3(step[:, TURN])
        return replace(
            self,
            R=turn @ self.R,
            t=np.einsum("vij,vj->vi", turn, self.t) + step[:, SHIFT],
            focal=self.focal + step[:, FOCAL],
            clock=self.clock + step[:, OFFSET : DRIFT + 1],
        )

    def reshaped(self, step: F64) -> Model:
        """Apply steps of the structure, shape (blocks, 3 or 6)."""
        if self.xyz.size:
            return replace(self, xyz=self.xyz + step.reshape(self.xyz.shape))
        return replace(
            self,
            board_R=self.board_R @ exp_so3(step[:, :3]),
            board_t=self.board_t + np.einsum("bij,bj->bi", self.board_R, step[:, 3:]),
        )

    def lens(self, rig: Rig, view: int) -> Intrinsics:
        """Lens of a camera with its focal factor."""
        lens = rig.cameras[view].intrinsics
        if not self.focal[view]:
            return lens
        K = lens.K.copy()
        K[[0, 1], [0, 1]] *= np.exp(self.focal[view])
        return replace(lens, K=K)

    def rig(self, rig: Rig) -> Rig:
        """Return the rig with the cameras of the model."""
        cameras = [
            Camera(
                name=c.name,
                intrinsics=self.lens(rig, v),
                cam_from_world=Pose(R=self.R[v], t=self.t[v]),
            )
            for v, c in enumerate(rig.cameras)
        ]
        return replace(rig, cameras=tuple(cameras))

    def points(self, scene: Scene) -> F64:
        """World points of the frames in use, shape (U, N, 3)."""
        if scene.solid is None:
            return self.xyz
        return np.asarray(scene.solid @ np.swapaxes(self.board_R, 1, 2) + self.board_t[:, None])

    def deviation(self, rig: Rig) -> F64:
        """Deviation of every camera from the rig, shape (V, 9)."""
        R0, t0 = rig.cam_from_world
        turn = self.R @ np.swapaxes(R0, 1, 2)
        out = np.zeros((len(R0), PARAMETERS))
        out[:, TURN] = Rotation.from_matrix(turn).as_rotvec()
        out[:, SHIFT] = self.t - np.einsum("vij,vj->vi", turn, t0)
        out[:, FOCAL] = self.focal
        out[:, OFFSET : DRIFT + 1] = self.clock
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Observations of one camera: where, how far off, and derivatives.

    Parameters
    ----------
    frame, point
        Position on axes U and N, shape (n,).
    error
        Predicted minus found, px, shape (n, 2).
    by_camera, by_block
        Derivatives of the error, shapes (n, 2, 9) and (n, 2, 3 or 6).
    mm_per_px
        Thousandths of the rig's unit across the line of sight that are one pixel, shape (n,).
    """

    frame: IntArray
    point: IntArray
    error: F64
    by_camera: F64
    by_block: F64
    mm_per_px: F64


def read_views(scene: Scene, model: Model, view: int) -> tuple[F64, F64, F64]:
    """Pixels and velocities of the frames in use at the model's clock, and time from the middle."""
    when = scene.tracks.set_times
    middle = when - (np.nanmin(when) + np.nanmax(when)) / 2
    shift = model.clock[view, 0] + model.clock[view, 1] * middle
    xy, velocity = scene.tracks.read(view, shift)
    return xy[scene.use], velocity[scene.use], middle[scene.use]


def view_rows(scene: Scene, model: Model, view: int, xyz: F64) -> Rows:
    """Errors and derivatives of one camera."""
    xy, velocity, since = read_views(scene, model, view)
    f, n = np.nonzero(np.isfinite(xy[..., 0]) & np.isfinite(xyz[..., 0]))
    lens = model.lens(scene.rig, view)
    cam = xyz[f, n] @ model.R[view].T + model.t[view]
    found, by_cam = project_jacobian(cam, lens.K, lens.dist, lens.model)
    ok = np.isfinite(found).all(-1)
    f, n, cam, found, by_cam = f[ok], n[ok], cam[ok], found[ok], by_cam[ok]
    J = np.empty((len(f), 2, PARAMETERS))
    J[..., TURN] = np.cross(cam[:, None], by_cam)
    J[..., SHIFT] = by_cam
    J[..., FOCAL] = found - lens.K[:2, 2]
    J[..., OFFSET] = velocity[f, n]
    J[..., DRIFT] = velocity[f, n] * since[f, None]
    by_world = by_cam @ model.R[view]
    if scene.solid is not None:
        by_shift = by_world @ model.board_R[f]
        by_turn = np.cross(scene.solid[n][:, None], by_shift)
        by_world = np.concatenate([by_turn, by_shift], axis=-1)
    return Rows(
        frame=f,
        point=n,
        error=found - xy[f, n],
        by_camera=J,
        by_block=by_world,
        mm_per_px=1000 * cam[:, 2] / lens.K[0, 0],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """The model about its present values, structure eliminated.

    Parameters
    ----------
    S
        Curvature by all deviations as iterated reweighting has it, shape (9 V, 9 V).
    softness
        True mean curvature over that: far errors pull with falling force, so it is below 1.
    score
        Gradient of every frame, shape (U, 9 V).
    half, g_block, inverse
        What gives back the structure: cross blocks times the inverse (blocks, 9 V, s), gradients
        and inverse curvature.
    loss
        Twice the negative logarithm of the likelihood, without constants.
    scale_px
        Scale of each camera's errors re-estimated, shape (V,).
    count
        Observations per camera, shape (V,).
    """

    S: F64
    softness: float
    score: F64
    half: F64
    g_block: F64
    inverse: F64
    loss: float
    scale_px: F64
    count: IntArray

    @property
    def gradient(self) -> F64:
        """Gradient by all deviations, shape (9 V,)."""
        return np.asarray(self.score.sum(0))


def loss_of(error: F64, scale: float, size_wh: tuple[int, int]) -> float:
    """Twice the negative log likelihood of a camera's errors (n, 2), against any place being equal.

    Points that are anywhere in the picture with the same probability cost nothing, so that fits
    with and without some points can be compared (a shift in time leaves frames without partners).
    """
    squared = (error**2).sum(-1) / scale**2
    anywhere = 2 * np.log(2 * np.pi * scale**2 / (size_wh[0] * size_wh[1]))
    return float(((T_DOF + 2) * np.log1p(squared / T_DOF) + anywhere).sum())


def _weights(rows: Rows, scale: float) -> F64:
    squared = (rows.error**2).sum(-1) / scale**2
    return np.asarray((T_DOF + 2) / (T_DOF + squared) / scale**2)


def _softness(all_rows: list[Rows], model: Model) -> float:
    """Mean derivative of the force of an error over its mean weight."""
    weight, bend = 0.0, 0.0
    for rows, scale in zip(all_rows, model.scale_px, strict=True):
        squared = (rows.error**2).sum(-1) / scale**2
        # of the matrix w 1 - 2 w r r' / (s^2 (nu + q)) half the trace
        w = _weights(rows, scale)
        weight, bend = weight + w.sum(), bend + (w * T_DOF / (T_DOF + squared)).sum()
    return float(bend / weight) if weight else 1.0


def _products(scene: Scene, rows: Rows, weight: F64) -> tuple[F64, IntArray]:
    """Weighted products of all derivatives and errors by block (n, m, m), and the blocks."""
    A = np.concatenate([rows.by_camera, rows.by_block, rows.error[..., None]], axis=-1)
    A = A * np.sqrt(weight)[:, None, None]
    products = np.swapaxes(A, 1, 2) @ A
    if scene.solid is None:
        return products, rows.frame * scene.tracks.xy_px.shape[2] + rows.point
    frames, first = np.unique(rows.frame, return_index=True)
    return np.add.reduceat(products, first, axis=0), frames


def linearise(scene: Scene, model: Model) -> Linear:
    """Curvature, gradients and likelihood at the present values."""
    V, U, N, s = len(model.R), len(scene.use), scene.tracks.xy_px.shape[2], scene.block_size
    blocks = U if scene.solid is not None else U * N
    P = PARAMETERS
    cross, H_block = np.zeros((blocks, V * P, s)), np.zeros((blocks, s, s))
    g_block, score, H_cam, loss = np.zeros((blocks, s)), np.zeros((U, V * P)), [], 0.0
    xyz, all_rows = model.points(scene), []
    for v in range(V):
        rows = view_rows(scene, model, v, xyz)
        all_rows.append(rows)
        loss += loss_of(rows.error, model.scale_px[v], scene.rig.cameras[v].intrinsics.size_wh)
        mine = slice(v * P, (v + 1) * P)
        if not len(rows.frame):
            H_cam.append(np.zeros((P, P)))
            continue
        products, block = _products(scene, rows, _weights(rows, model.scale_px[v]))
        H_cam.append(products[:, :P, :P].sum(0))
        cross[block, mine] += products[:, :P, P:-1]
        H_block[block] += products[:, P:-1, P:-1]
        g_block[block] += products[:, P:-1, -1]
        frame = block if scene.solid is not None else block // N
        np.add.at(score[:, mine], frame, products[:, :P, -1])
    inverse = _inverse(H_block)
    half = cross @ inverse
    S = scipy.linalg.block_diag(*H_cam) - np.tensordot(half, cross, axes=([0, 2], [0, 2]))
    pulled = np.einsum("bps,bs->bp", half, g_block)
    score -= pulled.reshape(U, -1, V * P).sum(1)
    scale = _scales(scene, model, all_rows, inverse)
    count = np.array([len(r.frame) for r in all_rows])
    return Linear(
        S=S,
        softness=_softness(all_rows, model),
        score=score,
        half=half,
        g_block=g_block,
        inverse=inverse,
        loss=loss,
        scale_px=scale,
        count=count,
    )


def _inverse(H: F64) -> F64:
    """Invert blocks; what nothing is known of stays where it is."""
    diagonal = np.einsum("bii->bi", H)
    empty = ~(diagonal > 0).all(1)
    ridge = 1e-9 * diagonal + empty[:, None]
    out = np.linalg.inv(H + ridge[..., None] * np.eye(H.shape[-1]))
    out[empty] = 0
    return np.asarray(out)


def _scales(scene: Scene, model: Model, all_rows: list[Rows], inverse: F64) -> F64:
    """Scale of each camera, corrected for how far the structure follows its observations."""
    N, out = scene.tracks.xy_px.shape[2], model.scale_px.copy()
    for v, rows in enumerate(all_rows):
        if not len(rows.frame):
            continue
        weight = _weights(rows, model.scale_px[v])
        block = rows.frame if scene.solid is not None else rows.frame * N + rows.point
        follow = np.einsum("nci,nij,ncj->n", rows.by_block, inverse[block], rows.by_block) * weight
        freedom = np.maximum(2 - follow, 0).sum()
        spread = (weight * (rows.error**2).sum(-1)).sum() * model.scale_px[v] ** 2
        out[v] = np.sqrt(spread / max(freedom, 1e-9))
    return np.maximum(out, NOISE_FLOOR_PX)
