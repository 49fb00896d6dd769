"""What of a calibration stays with the rig: its record, its boards' poses, its world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from multiview._shapes import F64
from multiview.calib.frame import WorldFrame, camera_frame, reframe_poses, reframe_rig
from multiview.calib.result import BoardFit, CalibrationResult
from multiview.calib.still import longest_still
from multiview.core import BoardTrack, CameraRecord, Intrinsics, Rig, RigRecord

__all__ = ["board_tracks", "lens_words", "reframe_result", "rig_record", "with_record"]


def lens_words(lens: Intrinsics) -> str:
    """Name a lens model: ``"brown, 5 coefficients"``, ``"fisheye"``, ``"pinhole"``."""
    if lens.model == "fisheye":
        return "fisheye"
    return f"brown, {lens.dist.size} coefficients" if lens.dist.any() else "pinhole"


def rig_record(
    result: CalibrationResult, *, program: str, date: str, capture: str = ""
) -> RigRecord:
    """Collect what a rig file says of how the rig was made.

    Parameters
    ----------
    result
        The calibration.
    program, date, capture
        As in `multiview.core.RigRecord`.
    """
    lenses = [c.intrinsics for c in result.rig.cameras]
    # the shift of a camera's frame is the shift of its centre, turned
    pose_std = result.covariance.pose_std
    turn_std = np.rad2deg(np.linalg.norm(pose_std[:, :3], axis=1))
    place_std = np.linalg.norm(pose_std[:, 3:], axis=1)
    cameras = tuple(
        CameraRecord(
            name=c.name,
            lens=lens_words(lens),
            views=c.views,
            corners=c.corners,
            rejected=c.rejected,
            rms_px=_short(c.rms_px),
            noise_px=_short(c.noise_px),
            focal_std_px=_short(c.focal_std * float(lens.K[0, 0])),
            centre_std_px=_short(c.centre_std_px),
            rotation_std_deg=_short(float(turn)),
            position_std_m=_short(float(place)),
        )
        for c, lens, turn, place in zip(result.cameras, lenses, turn_std, place_std, strict=True)
    )
    return RigRecord(
        program=program,
        date=date,
        capture=capture,
        boards=tuple(part.board.describe() for part in result.boards),
        rms_px=_short(result.rms_px),
        heldout_px=_short(result.heldout.predicted_px),
        heldout_mm=_short(result.heldout.triangulated_mm),
        cameras=cameras,
        warnings=result.warnings,
    )


def _short(value: float) -> float:
    """Four digits: more of a figure of merit is noise in the file."""
    return float(f"{value:.4g}")


def with_record(result: CalibrationResult, record: RigRecord) -> CalibrationResult:
    """Put the record into the rig, and say in words what its world is."""
    rig = replace(result.rig, made=record)
    if not rig.world:
        first = rig.cameras[0]
        at_first = np.allclose(first.cam_from_world.R, np.eye(3)) and np.allclose(
            first.cam_from_world.t, 0
        )
        world = camera_frame(rig, first.name).world if at_first else ""
        rig = replace(rig, world=world)
    return replace(result, rig=rig)


def board_tracks(result: CalibrationResult) -> tuple[BoardTrack, ...]:
    """Poses of the boards of a calibration, and when they lay still."""
    noise = np.array([c.noise_px for c in result.cameras])
    names = [f"board{i + 1}" if i else "board" for i in range(len(result.boards))]
    digest = result.rig.digest
    return tuple(
        _track(p, name, noise, digest) for p, name in zip(result.boards, names, strict=True)
    )


def _track(part: BoardFit, name: str, noise_px: F64, rig_digest: str) -> BoardTrack:
    posed = np.asarray(np.isfinite(part.world_from_board_t).all(-1))
    kept = np.where(part.inlier[..., None], part.corners.xy_px, np.nan)
    still = longest_still(kept, noise_px, posed)
    ids = part.corners.frame_ids
    return BoardTrack(
        name=name,
        about=part.board.describe(),
        # its mean plane: a floor is flat even where the print on it is not
        xyz_board=part.board.object_points,
        frame_ids=ids[posed],
        R=part.world_from_board_R[posed],
        t=part.world_from_board_t[posed],
        still=None if still is None else (int(ids[still[0]]), int(ids[still[1]])),
        rig_digest=rig_digest,
    )


def reframe_result(
    result: CalibrationResult, frame: WorldFrame, *, unit: str | None = None
) -> CalibrationResult:
    """Express a calibration in another world: rig and board poses.

    Residuals stay as they are; millimetres follow the scale. The board keeps the size that its file
    states: where the scale is not 1, the poses no longer fit it (see `BoardFit.board`).
    """
    rig: Rig = reframe_rig(result.rig, frame, unit=unit)
    boards = []
    for part in result.boards:
        R, t = reframe_poses(part.world_from_board_R, part.world_from_board_t, frame)
        boards.append(replace(part, world_from_board_R=R, world_from_board_t=t))
    mm = result.heldout.triangulated_mm * frame.scale
    return replace(
        result,
        rig=rig,
        covariance=rig.covariance or result.covariance,
        boards=tuple(boards),
        heldout=replace(result.heldout, triangulated_mm=mm),
    )
