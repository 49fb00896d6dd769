"""Every picture file a user has becomes upright 8-bit BGR, or a message that says why not."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from multiview.capture import open_capture
from multiview.errors import CaptureError, InputError
from multiview.images import header_size, read_image
from multiview.models import load_detector

DATA = Path(__file__).parent / "data"
PHOTO = DATA / "photos" / "2021-02-01_13-52-53_532.jpg"
# JPEG at quality 90 and more: what its rounding may do to a flat area.
JPEG_LEVELS = 6
# Of hand size, when the same pixels come from another file: PNG and TIFF hold them exactly.
SAME_PX = 1e-6
# How the picture must be turned to be stored under each EXIF orientation (CIPA DC-008, table 5).
STORED = {
    1: lambda im: im,
    2: lambda im: im[:, ::-1],
    3: lambda im: im[::-1, ::-1],
    4: lambda im: im[::-1],
    5: lambda im: im.transpose(1, 0, 2),
    6: lambda im: np.rot90(im, 1),
    7: lambda im: np.rot90(im, 2).transpose(1, 0, 2),
    8: lambda im: np.rot90(im, -1),
}


@pytest.fixture(scope="module")
def photo():
    return read_image(PHOTO)


@pytest.fixture(scope="module")
def lite():
    return load_detector("mediapipe-lite")


@pytest.fixture(scope="module")
def keypoints(lite, photo):
    (xy,) = lite.detect(photo).xy_px
    return xy


def exif(orientation, order=">"):
    """One directory with the one tag."""
    tiff = (b"MM" if order == ">" else b"II") + struct.pack(order + "HIH", 42, 8, 1)
    return tiff + struct.pack(order + "HHIHHI", 0x112, 3, 1, orientation, 0, 0)


def jpeg_with_exif(image, orientation, order=">"):
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    body = b"Exif\0\0" + exif(orientation, order)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def encoded(folder, name, image, options=()):
    return write(folder, name, cv2.imencode(Path(name).suffix, image, list(options))[1].tobytes())


# --- what the pixels become ---


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".webp", ".jpg", ".JPG"])
def test_every_format(suffix, photo, tmp_path):
    options = {".webp": [cv2.IMWRITE_WEBP_QUALITY, 101]}.get(suffix, [])
    found = read_image(encoded(tmp_path, f"a{suffix}", photo, options))
    assert (found.dtype, found.shape) == (np.uint8, photo.shape)
    if suffix.lower() == ".jpg":
        assert np.abs(found.astype(int) - photo).mean() < JPEG_LEVELS
    else:
        np.testing.assert_array_equal(found, photo)


def test_path_with_other_letters(photo, tmp_path):
    np.testing.assert_array_equal(read_image(encoded(tmp_path, "Händé 手.png", photo)), photo)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", sorted(STORED))
def test_exif_orientation_gives_the_same_keypoints(
    orientation, order, photo, keypoints, lite, tmp_path
):
    stored = np.ascontiguousarray(STORED[orientation](photo))
    path = write(tmp_path, "a.jpg", jpeg_with_exif(stored, orientation, order))
    found = read_image(path)
    assert found.shape == photo.shape
    assert np.abs(found.astype(int) - photo).mean() < JPEG_LEVELS
    (xy,) = lite.detect(found).xy_px
    size = np.ptp(keypoints, axis=0).max()
    assert np.linalg.norm(xy - keypoints, axis=1).max() < 0.03 * size


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_files_of_any_sensor_depth(bits, photo, keypoints, lite, tmp_path):
    deep = np.rint(photo * (((1 << bits) - 1) / 255)).astype(np.uint16)
    for name in ("a.png", "a.tif"):
        found = read_image(encoded(tmp_path, name, deep))
        assert np.abs(found.astype(int) - photo).max() <= 1
        (xy,) = lite.detect(found).xy_px
        np.testing.assert_allclose(xy, keypoints, atol=SAME_PX if bits != 10 else 0.5)


def test_black_16_bit_picture_stays_black(tmp_path):
    found = read_image(encoded(tmp_path, "a.png", np.zeros((4, 5), np.uint16)))
    np.testing.assert_array_equal(found, np.zeros((4, 5, 3)))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_grey(depth, photo, lite, keypoints, tmp_path):
    grey = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
    stored = grey.astype(depth) * (257 if depth == np.uint16 else 1)
    found = read_image(encoded(tmp_path, "a.png", stored))
    np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, axis=2))
    (xy,) = lite.detect(found).xy_px
    size = np.ptp(keypoints, axis=0).max()
    assert np.median(np.linalg.norm(xy - keypoints, axis=1)) < 0.1 * size


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_opaque_alpha_changes_nothing(suffix, photo, tmp_path):
    bgra = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    found = read_image(encoded(tmp_path, f"a{suffix}", bgra, options))
    np.testing.assert_array_equal(found, photo)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_transparent_pixels_show_white_whatever_colour_they_hide(depth, tmp_path):
    full = np.iinfo(depth).max
    bgra = np.full((3, 3, 4), full, depth)  # the last row keeps the full range in use
    bgra[:2, :, :3] = full // 5
    bgra[:2, :, 3] = [0, full // 5 * 2, full]
    found = read_image(encoded(tmp_path, "a.png", bgra))
    assert found[0, :, 0].tolist() == [255, 173, 51]  # 0.6 * 255 + 0.4 * 51 = 173.4


def test_alpha_is_turned_with_the_colours(tmp_path):
    rng = np.random.default_rng(0)
    seen = rng.integers(0, 255, (4, 6, 4), np.uint8)
    seen[..., 3] = np.where(seen[..., 3] > 127, 255, 0)
    data = cv2.imencode(".png", np.ascontiguousarray(STORED[6](seen)))[1].tobytes()
    path = write(tmp_path, "a.png", data[:33] + png_chunk(b"eXIf", exif(6)) + data[33:])
    found = read_image(path)
    expected = np.where(seen[..., 3:] == 255, seen[..., :3], 255)
    turned = found.shape == expected.shape  # OpenCV before 4.11 knows no EXIF in PNG
    if not turned:
        expected = np.where(STORED[6](seen)[..., 3:] == 255, STORED[6](seen)[..., :3], 255)
    np.testing.assert_array_equal(found, expected)


def test_cmyk_jpeg():
    found = read_image(DATA / "images" / "cmyk.jpg")
    assert found.shape == (32, 48, 3)
    assert np.abs(found[5, 5].astype(int) - [30, 60, 200]).max() <= JPEG_LEVELS
    assert np.abs(found[5, 40].astype(int) - [220, 90, 20]).max() <= JPEG_LEVELS


# --- what is refused ---


def bad_files(folder):
    flat = np.full((40, 60, 3), 90, np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    png = cv2.imencode(".png", noise)[1].tobytes()
    webp = cv2.imencode(".webp", noise)[1].tobytes()
    huge = bytearray(cv2.imencode(".png", flat)[1].tobytes())
    huge[16:24] = struct.pack(">II", 60_000, 60_000)
    huge[29:33] = struct.pack(">I", zlib.crc32(bytes(huge[12:29])))
    (folder / "folder.jpg").mkdir()
    return {
        "missing.jpg": (None, "does not exist"),
        "folder.jpg": (None, "is a folder"),
        "empty.jpg": (b"", "empty"),
        "page.jpg": (b"\n<!DOCTYPE html><html>", "web page"),
        "error.png": (b"<?xml version='1.0'?><Error/>", "web page"),
        "text.jpg": (b"not a picture", "unreadable"),
        "doc.png": (b"%PDF-1.7 ...", "PDF"),
        "phone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        "film.jpg": (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        "lfs.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "cut short"),
        "cut.png": (png[: len(png) // 2], "cut short"),
        "cut.webp": (webp[: len(webp) // 2], "cut short"),
        "head.jpg": (jpeg[:30], "cut short"),
        "huge.png": (bytes(huge), "60000 x 60000"),
        "noise.jpg": (b"\xff\xd8\xff" + np.random.default_rng(1).bytes(5000), "cut short|unread"),
        "broken.png": (png[:60] + bytes(300) + png[360:], "unreadable"),
    }


BAD_NAMES = [
    "missing.jpg",
    "folder.jpg",
    "empty.jpg",
    "page.jpg",
    "error.png",
    "text.jpg",
    "doc.png",
    "phone.jpg",
    "film.jpg",
    "lfs.png",
    "cut.jpg",
    "cut.png",
    "cut.webp",
    "head.jpg",
    "huge.png",
    "noise.jpg",
    "broken.png",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_file_is_named_with_a_next_step(name, tmp_path, capfd):
    data, words = bad_files(tmp_path)[name]
    if data is not None:
        write(tmp_path, name, data)
    with pytest.raises(InputError, match=words) as caught:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in caught.value.what
    assert caught.value.next_step
    assert "WARN" not in capfd.readouterr().err  # OpenCV's own words name no file


def test_floating_point_tiff_is_refused(tmp_path):
    path = encoded(tmp_path, "a.tif", np.random.default_rng(0).random((8, 8)).astype(np.float32))
    with pytest.raises(InputError, match="float32"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_size_is_known_before_decoding(suffix, tmp_path):
    image = np.full((37, 53, 3), 90, np.uint8)
    assert header_size(cv2.imencode(suffix, image)[1].tobytes()) == (53, 37)
    lossless = [cv2.IMWRITE_WEBP_QUALITY, 101]
    alpha = np.dstack([image, np.full((37, 53), 9, np.uint8)])
    if suffix == ".webp":
        assert header_size(cv2.imencode(suffix, image, lossless)[1].tobytes()) == (53, 37)
        assert header_size(cv2.imencode(suffix, alpha)[1].tobytes()) == (53, 37)


def test_damaged_header_is_no_crash():
    rng = np.random.default_rng(0)
    for head in (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"RIFF0000WEBP", b"II*\0", b"MM\0*"):
        for n in (0, 3, 20, 200):
            size = header_size(head + rng.bytes(n))
            assert size is None or len(size) == 2


def test_takes_of_pictures_read_them_the_same_way(photo, tmp_path):
    """Also 12-bit machine vision pictures: black before, when only the full range was known."""
    (tmp_path / "cam").mkdir()
    deep = np.rint(photo * (4095 / 255)).astype(np.uint16)
    encoded(tmp_path / "cam", "0.png", deep)
    encoded(tmp_path / "cam", "1.png", deep)
    capture = open_capture(tmp_path, fps=1)
    np.testing.assert_array_equal(capture.image(0, 0), photo)
    write(tmp_path / "cam", "1.png", b"<html>")
    with pytest.raises(CaptureError, match=r"camera cam: image .*1\.png.*web page"):
        capture.image(0, 1)
