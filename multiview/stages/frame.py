"""`multiview calib frame`, and `--world` of `calibrate`: which world a rig is in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from multiview.calib.board import load_board
from multiview.calib.board_pose import track_board
from multiview.calib.clicks import frame_of_gravity, frame_of_points, load_points, with_scale
from multiview.calib.corners import detect_board
from multiview.calib.frame import (
    WorldFrame,
    board_frame,
    camera_frame,
    reframe_rig,
    reframe_track,
)
from multiview.capture import Capture
from multiview.core import BoardTrack, Pose, Rig
from multiview.core.boards import Origin
from multiview.errors import InputError
from multiview.formats.boards_json import boards_path, read_boards, write_boards
from multiview.formats.rig_yaml import read_rig, write_rig
from multiview.progress import progress_bar, say
from multiview.stage import file_digest

__all__ = ["check_world", "frame_text", "run_frame", "world_frame", "world_inputs"]

KINDS = {"board", "camera", "gravity", "points"}
WORLDS = "camera:NAME, board, board:FRAME, points:FILE, gravity:FILE or gravity:CAMERA:x,y,z"

Tracks = Callable[[], Sequence[BoardTrack]]


def run_frame(
    rig_path: Path,
    out: Path,
    *,
    board: str | None = None,
    camera: str | None = None,
    points: Path | None = None,
    gravity: str | None = None,
    scale: Path | None = None,
    origin: Origin = "bottom-left",
    floor: tuple[Capture, Path] | None = None,
    force: bool = False,
) -> Path:
    """Express a rig, and its boards' poses if they are known, in another world.

    Parameters
    ----------
    rig_path
        Rig file; ``<rig>.boards.json`` beside it holds the boards' poses.
    out
        Rig file to write.
    board, camera, points, gravity
        The world; at most one of them. None keeps the world (to change the scale alone).
    scale
        Points file with ``scale``: two points and their distance.
    origin
        Corner of the board.
    floor
        Footage of a board on the floor, and its YAML, for ``board`` to be found in; without it
        the poses are those of the calibration.
    force
        Replace ``out`` if it is there.
    """
    rig = read_rig(rig_path)
    if out.exists() and not force:
        raise InputError(f"{out} exists", "add --force to replace it, or choose another --out")
    spec = _one(board=board, camera=camera, points=points, gravity=gravity, scale=scale)

    def tracks() -> Sequence[BoardTrack]:
        return _tracks_of(rig, rig_path)

    def on_floor() -> Sequence[BoardTrack]:
        return tracks() if floor is None else [_track_in(rig, *floor)]

    frame = world_frame(rig, spec, on_floor, origin) if spec else _same_world(rig)
    if scale is not None:
        sized = load_points(scale)
        if sized.scale is None:
            raise InputError(f"{scale} has no scale", "give scale: {a: ..., b: ..., length_m: ...}")
        frame = with_scale(rig, frame, sized)
    unit = "m" if frame.scale != 1 else None
    moved = reframe_rig(rig, frame, unit=unit)
    write_rig(moved, out)
    if boards_path(rig_path).exists():
        renewed = [reframe_track(t, frame, moved) for t in tracks()]
        write_boards(renewed, boards_path(out))
    for line in frame_text(moved, frame):
        say(f"calib frame: {line}")
    say(f"calib frame: {out}")
    return out


def _one(**given: str | Path | None) -> str:
    """Turn the options into one text, as ``--world`` takes it; empty where there is none."""
    scale = given.pop("scale")
    chosen = {k: v for k, v in given.items() if v is not None}
    if len(chosen) > 1 or not (chosen or scale):
        raise InputError(
            f"the world is given {len(chosen)} times" if chosen else "no world is given",
            "give one of --board, --camera, --points, --gravity (or --scale alone)",
        )
    return "".join(f"{k}:{v}" for k, v in chosen.items())


def _track_in(rig: Rig, capture: Capture, board_path: Path) -> BoardTrack:
    """Find a board in footage of its own."""
    board = load_board(board_path)
    seen = rig.select(capture.names)
    seen.check_sizes(capture.sizes_wh)
    with progress_bar() as progress:
        corners = detect_board(capture, board, progress)
    track = track_board(seen, corners, board)
    if not len(track.frame_ids):
        raise InputError(
            f"the board ({board.describe()}) is found in no frame of the floor's footage, or fits "
            "the rig in none",
            "compare the board file with the print, and film it where a camera sees it whole",
        )
    return track


def _same_world(rig: Rig) -> WorldFrame:
    return WorldFrame(new_from_old=Pose.identity(), world=rig.world)


def _tracks_of(rig: Rig, rig_path: Path) -> tuple[BoardTrack, ...]:
    path = boards_path(rig_path)
    tracks = read_boards(path)
    stale = [t.name for t in tracks if t.rig_digest != rig.digest]
    if stale:
        raise InputError(
            f"{path}: the poses of {', '.join(stale)} belong to another rig than {rig_path}",
            "give the rig.yaml that was written with them, or calibrate again",
        )
    return tracks


def world_frame(rig: Rig, spec: str, tracks: Tracks, origin: Origin) -> WorldFrame:
    """Find the world that a text names.

    Parameters
    ----------
    rig
        Cameras.
    spec
        ``camera:NAME``, ``board``, ``board:FRAME``, ``board:NAME``, ``board:NAME:FRAME``,
        ``points:FILE``, ``gravity:FILE`` or ``gravity:CAMERA:x,y,z``.
    tracks
        Gives the boards' poses; called for a board only.
    origin
        Corner of the board.

    Raises
    ------
    InputError
        If the text names nothing, or what it names cannot be used.
    """
    kind, _, rest = spec.partition(":")
    if kind == "camera" and rest:
        return camera_frame(rig, rest)
    if kind == "board":
        return _frame_of_board(rig, rest, tracks(), origin)
    if kind == "points" and rest:
        return frame_of_points(rig, load_points(rest))
    if kind == "gravity" and rest:
        return frame_of_gravity(rig, rest)
    raise InputError(
        f"there is no world {spec!r}",
        f"give {WORLDS}",
    )


def check_world(spec: str, names: Sequence[str]) -> None:
    """Refuse a world that cannot be meant before a long calibration, not after.

    Raises
    ------
    InputError
        If the text names no kind of world, a camera that is not there, or a file that holds none.
    """
    kind, _, rest = spec.partition(":")
    if kind not in KINDS or not (rest or kind == "board"):
        raise InputError(f"there is no world {spec!r}", f"give {WORLDS}")
    camera = rest.partition(":")[0] if kind in {"camera", "gravity"} else ""
    if kind == "points" or (kind == "gravity" and (":" not in rest or Path(rest).exists())):
        load_points(rest)
    elif camera and camera not in names:
        raise InputError(
            f"world {spec!r}: there is no camera {camera!r}", f"cameras: {', '.join(names)}"
        )


def world_inputs(spec: str | None) -> dict[str, str]:
    """Digest of the file that a world is read from, if it is one."""
    _, _, rest = (spec or "").partition(":")
    path = Path(rest)
    return {"world": file_digest(path)} if rest and path.is_file() else {}


def _frame_of_board(
    rig: Rig, rest: str, tracks: Sequence[BoardTrack], origin: Origin
) -> WorldFrame:
    names = [t.name for t in tracks]
    parts = [p for p in rest.split(":") if p and p != "still"]
    named = [t for t in tracks if parts and t.name == parts[0]]
    number = parts[1:] if named else parts
    track = named[0] if named else _longest_still(tracks)
    if number:
        if not number[0].isdecimal():
            raise InputError(
                f"there is no board {number[0]!r}", f"boards: {', '.join(names)}; or a frame number"
            )
        having = [t for t in (named or tracks) if int(number[0]) in t.frame_ids]
        return board_frame(rig, (having or [track])[0], [int(number[0])], origin=origin)
    if track.still is None:
        raise InputError(
            "the board never lies still, so which frame shows it on the floor is open"
            if track.name == "board"
            else f"board {track.name} never lies still, so which frame to take is open",
            "name the frame (board:120), or film the board lying on the floor for a second",
        )
    first, last = track.still
    inside = track.frame_ids[(track.frame_ids >= first) & (track.frame_ids <= last)]
    return board_frame(rig, track, inside.tolist(), origin=origin)


def _longest_still(tracks: Sequence[BoardTrack]) -> BoardTrack:
    if not tracks:
        raise InputError("the rig has no board poses", "calibrate again from footage of a board")
    return max(tracks, key=lambda t: t.still[1] - t.still[0] if t.still else -1)


def frame_text(rig: Rig, frame: WorldFrame) -> list[str]:
    """Say what the world is, how long it got, and what to look at."""
    out = [f"world: {frame.world or 'as before'}"]
    if frame.scale != 1:
        out.append(f"lengths multiplied by {frame.scale:.6g}")
    if " z up" in frame.world:
        low, high = (float(end(rig.centres_world[:, 2])) for end in (min, max))
        out.append(f"cameras at heights {low:.2f} to {high:.2f} {rig.unit}")
    return out + [f"look at: {note}" for note in frame.notes]
