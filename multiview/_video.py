"""A camera recorded as a video file: exact frame times without decoding, then lazy pictures.

Frames are numbered in display order. Their times are the presentation timestamps of the packets
times the stream's time base, so B-frames, variable frame rate, edit lists and a late start are
what the file says, not what a frame rate would suggest.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from multiview._files import missing_bytes, update_with_ends
from multiview._shapes import F64
from multiview.errors import CaptureError

__all__ = ["Turn", "VideoSource", "open_video"]

IntArray = NDArray[np.int64]
Frames = Generator[tuple[int, NDArray[np.uint8]], None, None]

NO_PTS = np.iinfo(np.int64).min
# Each decoding thread holds a few pictures; all cameras decode side by side, so this bounds memory.
DECODE_THREADS = 4
# One step of the fixed-point display matrix.
ONE = 1 << 16


@dataclass(frozen=True, slots=True)
class Turn:
    """How a phone held the sensor: transpose first, then mirror the result.

    Parameters
    ----------
    transpose
        Swap rows and columns.
    mirror_x, mirror_y
        Reverse columns, rows.
    """

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn a picture of shape (h, w, 3)."""
        if self.transpose:
            image = image.transpose(1, 0, 2)
        image = image[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]
        return np.ascontiguousarray(image)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the turn."""
        return (height, width) if self.transpose else (width, height)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSource:
    """One camera's video.

    Parameters
    ----------
    name
        Camera name.
    path
        The file.
    size_wh
        Width and height after `turn`, pixels.
    times
        Shape (N,), seconds, increasing.
    pts
        Timestamps that name the N frames; empty where the container has none that can be trusted,
        so that frames are counted from the start.
    key_frames, key_seek
        Frame number of each picture that decodes on its own, and where to seek for it; shape (M,).
    turn
        From the display matrix, so that pixels are what a player shows.
    truncated
        The end of the file is missing, and that was accepted.
    """

    name: str
    path: Path
    size_wh: tuple[int, int]
    times: F64
    pts: IntArray
    key_frames: IntArray
    key_seek: IntArray
    turn: Turn
    truncated: bool

    @property
    def has_clock(self) -> bool:
        """Whether the frames have times."""
        return bool(np.isfinite(self.times).all())

    def frames(self, wanted: IntArray) -> Frames:
        """Decode the frames of these increasing numbers, shape (M,), as BGR.

        The file is closed when the iterator is exhausted, closed or garbage-collected.

        Raises
        ------
        CaptureError
            If a wanted frame does not decode, or the picture size changes on the way.
        """
        if not wanted.size:
            return
        key = int(np.searchsorted(self.key_frames, wanted[0], side="right")) - 1
        started = False
        if key > 0:
            try:
                with closing(self._decode(wanted, int(self.key_seek[key]))) as frames:
                    for item in frames:
                        started = True
                        yield item
                return
            except CaptureError:
                # Some containers seek too far, and open groups of pictures may miss references.
                if started:
                    raise
        yield from self._decode(wanted, None)

    def fingerprint(self, sha: hashlib._Hash) -> None:
        """Feed the file's size and ends to a hash."""
        update_with_ends(sha, self.path)

    def _decode(self, wanted: IntArray, seek: int | None) -> Frames:
        targets = iter(wanted.tolist())
        want, last = next(targets), -1
        to_bgr = VideoReformatter()
        try:
            with _opened(self.path) as (container, stream):
                if seek is not None:
                    container.seek(seek, stream=stream)
                for n, frame in self._numbered(container, stream):
                    if n < want:
                        last = n
                        continue
                    if n > want or frame.is_corrupt:
                        break
                    self._check_size(n, frame)
                    pixels = to_bgr.reformat(frame, format="bgr24").to_ndarray()
                    yield n, self.turn.apply(pixels.astype(np.uint8, copy=False))
                    last, after = n, next(targets, None)
                    if after is None:
                        return
                    want = after
        except (av.error.FFmpegError, OSError) as error:
            self._fail(want, last, str(error))
        self._fail(want, last, "the decoder skipped it")

    def _numbered(
        self, container: InputContainer, stream: VideoStream
    ) -> Iterator[tuple[int, VideoFrame]]:
        counter = itertools.count()
        for frame in _decoded(container, stream, drop_corrupt=self.truncated):
            if not self.pts.size:
                yield next(counter), frame
            elif frame.pts is not None:
                n = int(np.searchsorted(self.pts, frame.pts))
                if n < len(self.pts) and self.pts[n] == frame.pts:
                    yield n, frame

    def _check_size(self, n: int, frame: VideoFrame) -> None:
        size = self.turn.size(frame.width, frame.height)
        if size != self.size_wh:
            raise CaptureError(
                f"camera {self.name}: {self.path} changes its picture size from {self.size_wh} to "
                f"{size} at frame {n}",
                "split the video there: a camera has one size and one calibration",
            )

    def _fail(self, want: int, last: int, reason: str) -> NoReturn:
        good = f"last good frame {last}" if last >= 0 else "no frame before it was decoded"
        raise CaptureError(
            f"camera {self.name}: {self.path}: frame {want} of {len(self.times)} does not decode "
            f"({reason}; {good})",
            "copy the file again, or re-encode it (ffmpeg hides the damage), or cut it there",
        )


def open_video(name: str, path: Path, *, allow_truncated: bool = False) -> VideoSource:
    """Read the frame times of a video and decode its first picture.

    Parameters
    ----------
    name
        Camera name, for messages.
    path
        Any container and codec that FFmpeg knows.
    allow_truncated
        Accept a file whose end is missing, with the frames that are there.

    Raises
    ------
    CaptureError
        If the file is empty, not a video, cut short, or holds no frame.
    """
    where = f"camera {name}: {path}"
    if not path.stat().st_size:
        raise CaptureError(f"{where} is empty (0 bytes)", "copy the recording again")
    missing = missing_bytes(path)
    try:
        with _opened(path) as (container, stream):
            rows = _packets(container, stream, drop_corrupt=missing > 0)
            n = int((rows[:, 3] == 0).sum())
            promised = _promised(container, stream)
            intra_only_pts = container.format.name != "avi"
            scale = stream.time_base or av.time_base
        if missing and not allow_truncated:
            _refuse_truncated(where, missing, n, promised)
        pts, ticks, keys = _display_order(rows, where, trust_pts=intra_only_pts)
        with _opened(path) as (container, stream):
            first = next(iter(container.decode(stream)))
            turn = _turn(first, where)
            size_wh = turn.size(first.width, first.height)
    except StopIteration:
        raise CaptureError(f"{where}: no frame decodes", "copy or record the video again") from None
    except (av.error.FFmpegError, OSError) as error:
        lost = f"; {missing} bytes at its end are missing, the index with them" if missing else ""
        raise CaptureError(
            f"{where} is not a readable video ({error}{lost})",
            "copy the recording again; untrunc or the camera's own repair may restore a cut one",
        ) from None
    return VideoSource(
        name=name,
        path=path,
        size_wh=size_wh,
        times=np.asarray(ticks * float(scale.numerator) / scale.denominator, np.float64),
        pts=pts,
        key_frames=keys[0],
        key_seek=keys[1],
        turn=turn,
        truncated=missing > 0,
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        cover = stream is not None and stream.disposition & av.stream.Disposition.attached_pic
        if not isinstance(stream, VideoStream) or cover:
            raise OSError("it has no video stream")
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = DECODE_THREADS
        # Otherwise FFmpeg paints over damage, and a smeared picture would pass as a measurement;
        # with threads, is_corrupt alone missed a damaged picture in 34 of 300 runs.
        stream.codec_context.options = {"err_detect": "explode"}
        yield container, stream


def _decoded(
    container: InputContainer, stream: VideoStream, *, drop_corrupt: bool
) -> Iterator[VideoFrame]:
    """Decode all; half a packet at a cut would take the good pictures before it down with it."""
    for packet in container.demux(stream):
        if not (drop_corrupt and packet.is_corrupt):
            yield from packet.decode()


def _packets(
    container: InputContainer, stream: VideoStream, *, drop_corrupt: bool
) -> NDArray[np.int64]:
    """Demux only: (P, 4) pts, dts, keyframe and edited-out flag of each packet with a picture."""
    vp8 = stream.codec_context.name == "vp8"
    rows = [
        (_or(p.pts), _or(p.dts), p.is_keyframe, p.is_discard)
        for p in container.demux(stream)
        if p.size and not (drop_corrupt and p.is_corrupt) and not (vp8 and _hidden_vp8(p))
    ]
    return np.array(rows, np.int64).reshape(-1, 4)


def _or(timestamp: int | None) -> int:
    return int(NO_PTS) if timestamp is None else timestamp


def _hidden_vp8(packet: Packet[VideoStream]) -> bool:
    """Whether a packet is a reference picture that is never shown (RFC 6386, section 9.1)."""
    return not memoryview(packet)[0] & 0x10


def _display_order(
    rows: IntArray, where: str, *, trust_pts: bool
) -> tuple[IntArray, IntArray, tuple[IntArray, IntArray]]:
    """Frame names, times in ticks, and keyframes from packets in decoding order.

    AVI stores no presentation times and FFmpeg's guesses are wrong with B-frames, so unless every
    picture is a keyframe the decoding times, sorted, stand for them and frames are counted.
    """
    pts, dts = rows[:, 0], rows[:, 1]
    key, hidden = rows[:, 2].astype(bool), rows[:, 3].astype(bool)
    if not key.any():
        raise CaptureError(f"{where}: no frame decodes on its own", "record the video again")
    # What precedes the first keyframe, in decoding or display order, has no reference to decode.
    first = int(np.argmax(key))
    pts, dts, key, hidden = pts[first:], dts[first:], key[first:], hidden[first:]
    none = np.empty(0, np.int64)
    named = bool((pts != NO_PTS).all()) and np.unique(pts).size == pts.size
    if not named or not (trust_pts or key.all()):
        ticks = (dts if (dts != NO_PTS).all() else pts)[~hidden]
        if (ticks == NO_PTS).any():
            raise CaptureError(
                f"{where}: frames have no timestamps", "remux it to mp4 or mkv with a frame rate"
            )
        return none, np.sort(ticks), (none, none)
    # An edit list may hide frames, keyframes too, that the decoder still needs.
    shown = (pts >= pts[0]) & ~hidden
    pts, dts, key = pts[shown], dts[shown], key[shown]
    order = np.sort(pts)
    seek = np.where(dts == NO_PTS, pts, np.minimum(pts, dts))
    by_pts = np.argsort(pts[key])
    return order, order, (np.searchsorted(order, pts[key][by_pts]), seek[key][by_pts])


def _promised(container: InputContainer, stream: VideoStream) -> int:
    """Frames that the header announces, 0 if it does not."""
    if stream.frames:
        return stream.frames
    rate, length = stream.average_rate, container.duration
    return round(length / av.time_base * rate) if rate and length else 0


def _refuse_truncated(where: str, missing: int, n: int, promised: int) -> NoReturn:
    announced = f", its header promises {promised} frames" if promised > n else ""
    raise CaptureError(
        f"{where} is cut short: {missing} bytes are missing{announced}, {n} frames are there "
        f"(last good frame {n - 1})",
        "copy it again, or accept the rest with 'allow_truncated: true' in capture.yaml",
    )


def _turn(frame: VideoFrame, where: str) -> Turn:
    """Read the display matrix: x' = a x + c y, y' = b x + d y for entries a b . c d ."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return Turn()
    a, b, _, c, d = np.frombuffer(memoryview(data), np.int32)[:5].tolist()
    if a == d == 0 and abs(b) == abs(c) == ONE:
        return Turn(transpose=True, mirror_x=c < 0, mirror_y=b < 0)
    if b == c == 0 and abs(a) == abs(d) == ONE:
        return Turn(mirror_x=a < 0, mirror_y=d < 0)
    raise CaptureError(
        f"{where}: its display matrix turns by something else than a quarter",
        "re-encode the video upright",
    )
