"""One way from a picture file to BGR pixels, for photos and for takes stored as pictures.

What a viewer shows is what the detector sees: EXIF orientation is applied, transparent pixels show
white, grey and CMYK become BGR. 16-bit files are scaled to 8 bits by the smallest usual depth (8,
10, 12, 14 or 16 bits) that holds the picture's largest value: cameras store 12-bit data in 16-bit
files, and the full range would turn those black. A file that is cut short is refused, not shown
half grey.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from multiview.errors import InputError

__all__ = ["MAX_PIXELS", "header_size", "read_image"]

U8 = NDArray[np.uint8]
# Of a file: more than any camera has. Decoded with 16 bits and alpha this is 2 GiB.
MAX_PIXELS = 1 << 28
DEPTHS = (8, 10, 12, 14, 16)
# cv2.IMREAD_COLOR alone would divide 16 bits by 256; this also applies EXIF, IMREAD_UNCHANGED not.
AS_SEEN = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR
NOT_PICTURES = (
    (rb"\s*<(!doctype|html|\?xml|head|body)", "a web page", "download the picture itself"),
    (rb"%PDF", "a PDF", "export the picture from it"),
    (rb"....ftyp(hei|hev|mif)", "HEIC", "save it as JPEG (phones: settings, most compatible)"),
    (rb"....ftyp(mp4|iso|qt|M4V|avc)", "a video", "name it .mp4 and give it as a video"),
    (rb"version https://git-lfs", "a Git LFS pointer", "run: git lfs pull"),
)
# JPEG markers without a length, and those of a frame header (ISO/IEC 10918-1, table B.1).
BARE = frozenset({0x01, *range(0xD0, 0xD9)})
FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SCAN, END = 0xDA, b"\xff\xd9"
TIFF_WIDTH, TIFF_HEIGHT = 256, 257


def read_image(path: str | Path) -> U8:
    """Read a picture file as 8-bit BGR, upright.

    Parameters
    ----------
    path
        jpg, png, tif, bmp, webp, or whatever else this OpenCV decodes.

    Returns
    -------
    ndarray
        uint8, shape (H, W, 3).

    Raises
    ------
    InputError
        If the file is missing, empty, no picture, cut short, damaged, larger than 268 megapixels,
        or holds numbers that are no brightness (floating point).
    """
    path = Path(path)
    data = _bytes_of(path)
    _check_header(path, data)
    buffer = np.frombuffer(data, np.uint8)
    with _quiet():
        # first, since OpenCV decodes floating point only unchanged
        raw = _decode(path, buffer, cv2.IMREAD_UNCHANGED) if _may_have_alpha(data) else None
        _check_depth(path, raw)
        image = _decode(path, buffer, AS_SEEN)
        _check_depth(path, image)
    if raw is not None and raw.ndim == 3 and raw.shape[2] == 4:
        return _over_white(_to_8_bit(image), _turned_alpha(raw, image))
    return _to_8_bit(image)


def _bytes_of(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a picture", "give a file")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "check the path") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error})", "check its permissions"
        ) from None
    if not data:
        raise InputError(f"{path} is empty (0 bytes)", "copy it again, or delete it")
    return data


def _check_header(path: Path, data: bytes) -> None:
    """Refuse what is no picture, cut short, or would need too much memory."""
    for pattern, kind, remedy in NOT_PICTURES:
        if re.match(pattern, data[:256], re.IGNORECASE | re.DOTALL):
            raise InputError(f"{path} is unreadable: it is {kind}, not a picture", remedy)
    width, height = header_size(data) or (1, 1)
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path} is unreadable: its header says {width} x {height} pixels",
            f"pictures may have {MAX_PIXELS / 1e6:.0f} megapixels; make it smaller if that is true",
        )
    if _is_cut(data):
        raise InputError(f"{path} is cut short: its end is missing", "copy it again, or delete it")


def _decode(path: Path, buffer: U8, flags: int) -> NDArray[Any]:
    try:
        # cv2.imread cannot open non-ASCII paths on Windows; decoding bytes works everywhere.
        image = cv2.imdecode(buffer, flags)
    except cv2.error:
        image = None
    if image is None or not image.size:
        raise InputError(
            f"{path} is unreadable: damaged, or no picture that OpenCV {cv2.__version__} knows",
            "copy it again, save it as PNG or JPEG, or delete it",
        )
    return image


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV's own complaints off the terminal: the error says it, with the file's name."""
    log = cv2.utils.logging
    before = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(before)


def _check_depth(path: Path, image: NDArray[Any] | None) -> None:
    if image is not None and image.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{path} holds {image.dtype} numbers, not 8 or 16-bit brightness",
            "save it with 8 or 16 bits a channel",
        )


def _to_8_bit(image: NDArray[Any]) -> U8:
    """Scale brightness to 8 bits: from the smallest usual depth that holds its largest value."""
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    top = int(np.max(image))
    bits = next(b for b in DEPTHS if top < 1 << b)
    # float32 is exact for 16 bits, and 8-bit data comes through unchanged
    scaled = np.rint(image.astype(np.float32) * np.float32(255 / ((1 << bits) - 1)))
    return np.asarray(scaled, np.uint8)


def _may_have_alpha(data: bytes) -> bool:
    """Say so of PNG with alpha or a transparent colour, and of all TIFF and WebP."""
    if data[:4] == b"\x89PNG":
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    return data[:4] in (b"II*\0", b"MM\0*") or data[8:12] == b"WEBP"


def _turned_alpha(raw: NDArray[Any], seen: NDArray[Any]) -> NDArray[np.float32]:
    """Alpha (0 to 1) the way the colours were turned: OpenCV turns only pictures without alpha."""
    full = float(np.iinfo(raw.dtype).max)
    for quarter in range(4):
        for mirror in (slice(None), slice(None, None, -1)):
            turned = np.rot90(raw, quarter)[:, mirror]
            if np.array_equal(turned[..., :3], seen):
                return turned[..., 3].astype(np.float32) / np.float32(full)
    return np.ones(seen.shape[:2], np.float32)


def _over_white(image: U8, alpha: NDArray[np.float32]) -> U8:
    over = 255 + (image.astype(np.float32) - 255) * alpha[..., None]
    return np.asarray(np.rint(over), np.uint8)


def header_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a file's header states, before anything is allocated.

    None for formats other than JPEG, PNG, BMP, WebP and TIFF, and for damaged headers.
    """
    try:
        if data[:3] == b"\xff\xd8\xff":
            return _jpeg_frame(data)[0]
        if data[:4] == b"\x89PNG":
            return struct.unpack(">II", data[16:24])
        if data[:2] == b"BM":
            width, height = struct.unpack("<ii", data[18:26])
            return abs(width), abs(height)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_size(data)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg_frame(data: bytes) -> tuple[tuple[int, int] | None, int]:
    """Size in the frame header, and where the first scan starts (-1: nowhere)."""
    at, size = 2, None
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF or marker in BARE:
            at += 1 if data[at] != 0xFF or marker == 0xFF else 2
            continue
        if marker == SCAN:
            return size, at
        if marker in FRAME:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            size = (width, height)
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return size, -1


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """RFC 9649, sections 2.5 to 2.7."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """First directory of a TIFF 6.0 file."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack(order + "I", data[4:8])
    (count,) = struct.unpack(order + "H", data[start : start + 2])
    values = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack(order + "HH", data[at : at + 4])
        width = "H" if kind == 3 else "I"
        (values[tag],) = struct.unpack_from(order + width, data, at + 8)
    if TIFF_WIDTH not in values or TIFF_HEIGHT not in values:
        return None
    return values[TIFF_WIDTH], values[TIFF_HEIGHT]


def _is_cut(data: bytes) -> bool:
    """Whether the end marker is missing; the decoders would fill up with grey."""
    if data[:3] == b"\xff\xd8\xff":
        return data.rfind(END) <= _jpeg_frame(data)[1]  # not that of an embedded thumbnail
    if data[:4] == b"\x89PNG":
        return b"IEND" not in data
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return False
