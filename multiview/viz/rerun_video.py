"""Pictures as AV1 or JPEG for rerun, one packet each.

AV1 and not H.264: rerun's viewer decodes it itself, while H.264 needs a program `ffmpeg` on the
machine that shows the recording.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from multiview.errors import InputError

__all__ = ["av1", "jpegs"]

Film = Iterator[tuple[int, NDArray[np.uint8]]]
ENCODER = "libsvtav1"
QUALITY = 80
KEYFRAME = 30  # pictures from one that can be jumped to, to the next
# Low delay: each picture is one packet, in order. Two threads a camera are enough for a file.
OPTIONS = {
    "crf": "35",
    "preset": "10",
    "g": str(KEYFRAME),
    "svtav1-params": "pred-struct=1:lp=2",
}


def jpegs(film: Film) -> Iterator[tuple[int, bytes]]:
    """Encode each picture on its own."""
    for f, image in film:
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if done:
            yield f, data.tobytes()


def av1(film: Film) -> Iterator[tuple[int, bytes]]:
    """Encode without reordering, so that each picture is one packet in order.

    Raises
    ------
    InputError
        If PyAV was built without the encoder.
    """
    codec: Any = None
    waiting: list[int] = []
    for n, (f, image) in enumerate(film):
        codec = codec or _encoder(image.shape[0], image.shape[1])
        cut = np.ascontiguousarray(image[: codec.height, : codec.width])
        frame = av.VideoFrame.from_ndarray(cut, format="bgr24")
        frame.pts = n
        waiting.append(f)
        for packet in codec.encode(frame):
            yield waiting.pop(0), bytes(packet)
    if codec is not None:
        for packet in codec.encode(None):
            yield waiting.pop(0), bytes(packet)


def _encoder(height: int, width: int) -> Any:
    os.environ.setdefault("SVT_LOG", "1")  # it greets on stderr otherwise
    try:
        codec: Any = av.CodecContext.create(ENCODER, "w")
    except ValueError:
        raise InputError(
            f"this build of PyAV cannot encode AV1 ({ENCODER})",
            "give --images jpeg, or install a wheel of PyAV: pip install --force-reinstall av",
        ) from None
    codec.height, codec.width = height - height % 2, width - width % 2
    codec.pix_fmt, codec.time_base, codec.framerate = "yuv420p", Fraction(1, 30), Fraction(30)
    codec.options = OPTIONS
    return codec
