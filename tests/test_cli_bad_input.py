"""Bad input to the real command: exit code 2, what and where and what next, nothing half-written.

Almost all run `multiview.cli.main` in this process; those about the process itself run it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from multiview import cli
from multiview.core import HAND_21, Detections
from multiview.formats.detections_parquet import write_detections
from multiview.formats.rig_yaml import write_rig
from multiview.synth import make_hand_motion, make_rig

SIZE = (160, 120)
BOARD_SIZE = (320, 240)
FRAMES = 12
BOARD = "kind: charuco\ncolumns: 4\nrows: 3\nsquare_m: 0.03\nmarker_m: 0.022\n"
BOARD += "dictionary: DICT_4X4_50\n"
CODEC = "libx264" if "libx264" in av.codecs_available else "mpeg4"
# Smaller than any result, so that the first one written hits the limit.
FEW_BYTES = 2000


def encode(path, images, size=SIZE):
    """Encode pictures (or no picture at all) at 30 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODEC, rate=30)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        container.start_encoding()  # writes the header, also of a film without pictures
        for n, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = n, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def noise(n=FRAMES, size=SIZE):
    return [
        np.random.default_rng(i).integers(0, 255, (size[1], size[0], 3), np.uint8) for i in range(n)
    ]


def make_take(folder, cameras=("cam00", "cam01"), size=SIZE):
    """Videos without a hand or a board."""
    folder.mkdir(parents=True)
    for name in cameras:
        encode(folder / f"{name}.mp4", noise(size=size), size)
    return folder


def make_board_film(folder, seen):
    """Videos in which camera `name` sees a board, held differently each time, in some frames."""
    folder.mkdir()
    (folder / "board.yaml").write_text(BOARD)
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    flat = cv2.aruco.CharucoBoard((4, 3), 0.03, 0.022, dictionary).generateImage((160, 120))
    corners = np.float32([[0, 0], [160, 0], [160, 120], [0, 120]])
    take = folder / "take"
    take.mkdir()
    for view, (name, frames) in enumerate(seen.items()):
        images = []
        for f in range(20):
            shift = np.random.default_rng([view, f]).uniform(-15, 15, (4, 2))
            H = cv2.getPerspectiveTransform(corners, np.float32(corners + 70 + shift))
            image = cv2.warpPerspective(flat, H, BOARD_SIZE, borderValue=128)
            image = image if f in frames else np.full_like(image, 128)
            images.append(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
        encode(take / f"{name}.mp4", images, BOARD_SIZE)
    return take


@pytest.fixture(scope="module")
def take(tmp_path_factory):
    return make_take(tmp_path_factory.mktemp("input") / "take")


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """Folder with rig.yaml, detect/, truth.npz and triangulate/ of three cameras of 160 x 120."""
    folder = tmp_path_factory.mktemp("solved")
    rng = np.random.default_rng(5)
    rig = make_rig(rng, 3, size_wh=SIZE)
    truth = np.full((FRAMES, 2, 21, 3), np.nan)
    truth[:, 1:] = np.reshape(make_hand_motion(rng, FRAMES), (FRAMES, 1, 21, 3))
    xy = rig.project(truth) + rng.normal(0, 0.2, (3, *truth.shape[:3], 2))
    conf = np.where(np.isfinite(xy).all(-1), 0.9, 0.0)
    dets = Detections(
        xy_px=xy,
        conf=conf,
        camera_names=rig.names,
        frame_ids=np.arange(FRAMES),
        times=np.broadcast_to(np.arange(FRAMES) / 30, xy.shape[:2]).copy(),
        skeleton=HAND_21,
        source="truth",
        right=np.where(conf.any(-1), [0.0, 1.0], np.nan),
    )
    (folder / "detect").mkdir()
    write_detections(dets, folder / "detect" / "detections.parquet")
    write_rig(rig, folder / "rig.yaml")
    np.savez(folder / "truth.npz", xyz_world=truth)
    make_take(folder / "take", rig.names)
    assert cli.main(triangulate(folder, folder / "triangulate")) == 0
    return folder


@pytest.fixture
def fails(capsys):
    """Run the command, expect a good error that mentions the patterns; return the message."""

    def run(arguments, *mentions, out=None):
        capsys.readouterr()
        arguments = [str(a) for a in arguments]
        code = cli.main(arguments)
        check_message(code, capsys.readouterr().err, mentions)
        if "--out" in arguments:
            check_nothing_left(Path(out or arguments[arguments.index("--out") + 1]))

    return run


def check_message(code, err, mentions=()):
    assert code == 2, err
    assert err.startswith("error: ")
    assert re.search(r"\n  next: \S", err), err
    assert "Traceback" not in err
    for pattern in mentions:
        assert re.search(str(pattern), err, re.IGNORECASE), f"no {pattern!r} in: {err}"


def check_nothing_left(out):
    """Nothing under the result's name; beside it at most whole files of the part that was done."""
    assert not out.exists()
    partial = out.with_name(out.name + ".partial")
    assert not [p for p in partial.rglob("*") if p.name.startswith(".") or not p.stat().st_size]


def triangulate(folder, out, *more):
    return [
        *("triangulate", str(folder / "detect"), "--rig", str(folder / "rig.yaml")),
        *("--out", str(out), *map(str, more)),
    ]


def evaluate(folder, truth):
    return ["evaluate", str(folder / "triangulate"), "--truth", str(truth)]


def process(arguments, **options):
    """Run the command as its own process."""
    return subprocess.run(
        [sys.executable, "-m", "multiview", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


# --- captures ---


@pytest.mark.parametrize("verb", ["detect", "calibrate"])
def test_missing_capture_folder(verb, fails, tmp_path):
    (tmp_path / "b.yaml").write_text(BOARD)
    more = ["--board", tmp_path / "b.yaml"] if verb == "calibrate" else []
    fails([verb, tmp_path / "nowhere", *more, "--out", tmp_path / "out"], "nowhere", "not exist")


def test_capture_folder_without_cameras(fails, tmp_path):
    (tmp_path / "empty").mkdir()
    fails(["detect", tmp_path / "empty", "--out", tmp_path / "out"], "empty", "no cameras")


def test_missing_camera_of_capture_yaml(fails, tmp_path):
    take = make_take(tmp_path / "take", ["cam00"])
    (take / "capture.yaml").write_text("cameras: {a: {path: cam00.mp4}, b: {path: frames/b}}\n")
    fails(["detect", take, "--out", tmp_path / "out"], "camera b", "frames/b", "capture.yaml")


def test_video_of_garbage(fails, tmp_path):
    take = make_take(tmp_path / "take")
    (take / "cam01.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    fails(["detect", take, "--out", tmp_path / "out"], "camera cam01", "cam01.mp4", "readable")


def test_truncated_video(fails, tmp_path):
    take = make_take(tmp_path / "take")
    data = (take / "cam01.mp4").read_bytes()
    (take / "cam01.mp4").write_bytes(data[: len(data) * 2 // 3])
    fails(["detect", take, "--out", tmp_path / "out"], "camera cam01", "bytes", "missing")


def test_empty_video_file(fails, tmp_path):
    take = make_take(tmp_path / "take")
    (take / "cam01.mp4").write_bytes(b"")
    fails(["detect", take, "--out", tmp_path / "out"], "camera cam01", "0 bytes")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_video_without_frames(suffix, fails, tmp_path):
    take = make_take(tmp_path / "take")
    (take / "cam01.mp4").unlink()
    encode(take / f"cam01.{suffix}", [])
    fails(["detect", take, "--out", tmp_path / "out"], "camera cam01", f"cam01.{suffix}")


def test_damaged_frame_is_named(fails, tmp_path):
    """Demuxing sees all frames, so this is found only when the picture is decoded."""
    take = make_take(tmp_path / "take")
    path = take / "cam01.mp4"
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data, (start, size) = bytearray(path.read_bytes()), packets[len(packets) // 2]
    data[start + 4 : start + size] = np.random.default_rng(0).bytes(size - 4)
    path.write_bytes(data)
    fails(["detect", take, "--out", tmp_path / "out"], "camera cam01", r"frame \d+ of 12")


def test_misspelt_key_of_capture_yaml(fails, tmp_path):
    take = make_take(tmp_path / "take", ["cam00"])
    (take / "capture.yaml").write_text("cameras: {a: {paht: cam00.mp4}}\n")
    fails(["detect", take, "--out", tmp_path / "out"], "capture.yaml", "paht")


def test_misspelt_key_names_the_nearest(fails, solved, take, tmp_path):
    """Also where the key that was meant must be there, so that pydantic misses it first."""
    board = tmp_path / "board.yaml"
    board.write_text(BOARD.replace("columns", "colums"))
    more = ["--board", board, "--out", tmp_path / "out"]
    fails(["calibrate", take, *more], "board.yaml", "colums", "did you mean 'columns'")
    folder = edited(solved, tmp_path, "size_wh:", "size_hw:")
    fails(triangulate(folder, tmp_path / "out"), "size_hw", "did you mean 'size_wh'")


def test_images_of_another_size_than_the_rig(fails, solved, tmp_path):
    """The table says what size was searched; a rig for another one gives plausible nonsense."""
    names = ["cam00", "cam01"]
    take = make_take(tmp_path / "take", names, (192, 144))
    assert cli.main(["detect", str(take), "--out", str(tmp_path / "detect")]) == 0
    rig = ["--rig", solved / "rig.yaml"]
    fails(
        ["triangulate", tmp_path / "detect", *rig, "--out", tmp_path / "out"],
        *("camera cam00", "192 x 144", "160 x 120"),
    )


def test_label_refuses_pictures_of_another_size(fails, solved, tmp_path):
    take = make_take(tmp_path / "take", ["cam00", "cam01", "cam02"], (192, 144))
    inputs = ["--detections", solved / "detect", "--points", solved / "triangulate"]
    fails(["label", take, *inputs, "--out", tmp_path / "out"], "camera cam00", "192 x 144")


def test_label_refuses_another_take(fails, take, solved, tmp_path):
    inputs = ["--detections", solved / "detect", "--points", solved / "triangulate"]
    fails(["label", take, *inputs, "--out", tmp_path / "out"], "cam02", "the take that was")


# --- boards and rigs ---


def test_misspelt_key_of_the_board(fails, take, tmp_path):
    board = tmp_path / "board.yaml"
    board.write_text(BOARD.replace("columns", "colums"))
    more = ["--board", board, "--out", tmp_path / "out"]
    fails(["calibrate", take, *more], "board.yaml", "colum")


def test_board_file_is_missing(fails, take, tmp_path):
    more = ["--board", tmp_path / "no.yaml", "--out", tmp_path / "out"]
    fails(["calibrate", take, *more], "no.yaml", "no such file")


def test_board_never_seen(fails, tmp_path):
    film = make_board_film(tmp_path / "film", {"a": range(20), "b": ()})
    more = ["--board", tmp_path / "film" / "board.yaml", "--out", tmp_path / "out"]
    fails(["calibrate", film, *more], "camera b", "never sees the board", "20 frames looked at")


def test_camera_that_shares_no_board_view(fails, tmp_path):
    seen = {"a": range(10), "b": range(10), "c": range(10, 20)}
    film = make_board_film(tmp_path / "film", seen)
    more = ["--board", tmp_path / "film" / "board.yaml", "--out", tmp_path / "out"]
    fails(["calibrate", film, *more], "2 groups", r"a, b \| c")
    assert not list(tmp_path.glob("*.partial"))  # nothing was finished, nothing stays


def edited(solved, tmp_path, old, new):
    """Copy the solved folder's inputs with an edited rig."""
    text = (solved / "rig.yaml").read_text()
    assert old in text
    (tmp_path / "rig.yaml").write_text(text.replace(old, new, 1))
    shutil.copytree(solved / "detect", tmp_path / "detect")
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "mentions"),
    [
        ("dist:", "distortion:", ["cameras.0", "dist"]),
        ("name: cam01", "name: left", ["cam01", "not in the rig", "left"]),
        ("- [0.0, 0.0, 1.0]", "- [0.0, 0.0, .nan]", ["camera cam00"]),
        ("- [0.0, 0.0, 1.0]", "- [0.0, 1.0]", ["camera cam00"]),
        ("format: multiview-rig/1", "format: [", ["rig.yaml line", "not valid YAML"]),
        ("name: cam01", "name: cam00", ["cam00"]),
    ],
)
def test_bad_rig(old, new, mentions, fails, solved, tmp_path):
    folder = edited(solved, tmp_path, old, new)
    fails(triangulate(folder, tmp_path / "out"), *mentions)


@pytest.mark.parametrize("content", [b"", b"PAR1 garbage PAR1", None])
def test_bad_detections(content, fails, solved, tmp_path):
    table = tmp_path / "detections.parquet"
    if content is not None:
        table.write_bytes(content)
    rig = ["--rig", solved / "rig.yaml", "--out", tmp_path / "out"]
    fails(["triangulate", table, *rig], "detections.parquet")


def test_points_where_detections_belong(fails, solved, tmp_path):
    table = solved / "triangulate" / "points.parquet"
    rig = ["--rig", solved / "rig.yaml", "--out", tmp_path / "out"]
    fails(["triangulate", table, *rig], "points.parquet", "expected multiview-detections")


# --- truth ---


def truth_array(shape=(FRAMES, 2, 21, 3)):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize(
    "arrays",
    [
        {"xyz_world": np.full((FRAMES, 2, 21, 3), np.nan)},
        {"xyz_world": truth_array((FRAMES, 2, 21, 2))},
        {"xyz_world": truth_array((FRAMES, 3))},
        {"xyz_world": truth_array((FRAMES, 2, 20, 3))},
        {"xyz_world": truth_array((3, 2, 21, 3))},
        {"xyz_world": np.array([["a"]])},
        {"xyz": truth_array()},
    ],
    ids=["all NaN", "2D", "no joints", "20 joints", "3 frames", "text", "other key"],
)
def test_bad_truth(arrays, fails, solved, tmp_path):
    np.savez(tmp_path / "truth.npz", **arrays)
    fails(evaluate(solved, tmp_path / "truth.npz"), "truth")


@pytest.mark.parametrize(
    "right", [np.ones(5), np.full(FRAMES, 7), np.full(FRAMES, np.nan)], ids=str
)
def test_bad_side_in_truth(right, fails, solved, tmp_path):
    np.savez(tmp_path / "truth.npz", xyz_world=truth_array((FRAMES, 21, 3)), right=right)
    fails(evaluate(solved, tmp_path / "truth.npz"), "truth.npz", "right")


@pytest.mark.parametrize("kind", ["missing", "garbage", "cut", "npy"])
def test_truth_is_no_npz(kind, fails, solved, tmp_path):
    path = tmp_path / "truth.npz"
    if kind == "garbage":
        path.write_bytes(b"no numbers here")
    elif kind == "cut":
        path.write_bytes((solved / "truth.npz").read_bytes()[:3000])
    elif kind == "npy":
        with path.open("wb") as stream:
            np.save(stream, truth_array())
    fails(evaluate(solved, path), "truth.npz")


def test_evaluate_of_no_result(fails, solved, tmp_path):
    fails(["evaluate", tmp_path, "--truth", solved / "truth.npz"], "points.parquet")


# --- options ---


def test_unknown_verb_names_the_nearest(fails):
    fails(["triangulte"], "triangulte", "did you mean 'triangulate'")
    fails(["zzz"], "zzz", "choose one of init, calibrate")


@pytest.mark.parametrize(
    ("arguments", "mentions"),
    [
        (["detect", "x", "--out", "y", "--max-hands", "99"], ["max_hands", "20"]),
        (["detect", "x", "--out", "y", "--bogus", "3"], ["--bogus"]),
        (["triangulate", "x", "--rig", "y"], ["--out"]),
        (["detect", "x", "--out", "y", "--input.sync", "foo"], ["foo", "time", "index"]),
        (["triangulate", "d", "--rig", "r", "--out", "o", "--ransac.inlier-px", "abc"], ["abc"]),
    ],
)
def test_bad_options_are_explained_by_the_parser(arguments, mentions, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert f"multiview {arguments[0]} --help" in err
    assert "Traceback" not in err
    for text in mentions:
        assert text in err


@pytest.mark.parametrize(("option", "value"), [("--input.tolerance-s", "-1"), ("--input.fps", "0")])
def test_bad_capture_options(option, value, fails, take, tmp_path):
    arguments = ["detect", take, "--out", tmp_path / "out", option, value]
    fails(arguments, option.removeprefix("--input.").replace("-", "_"))


def test_unknown_detector(fails, take, tmp_path):
    arguments = ["detect", take, "--out", tmp_path / "out", "--detector", "foot"]
    fails(arguments, "foot", "mediapipe-lite")


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("ransac: {inlier_pix: 3}", ["inlier_pix", "did you mean 'inlier_px'"]),
        ("ransac: {inlier_px: many}", ["ransac.inlier_px", "many"]),
        ("ransc: {}", ["ransc", "did you mean 'ransac'"]),
        ("a: [", ["line", "not valid YAML"]),
        ("- 1", ["list"]),
    ],
)
def test_bad_config_file(text, mentions, fails, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(f"detections: d\nrig: r\nout: o\n{text}\n" if ":" in text else text)
    fails(["triangulate", "--config", file], "run.yaml", *mentions)


def test_config_file_is_missing(fails, tmp_path):
    fails(["triangulate", "--config", tmp_path / "no.yaml"], "no.yaml", "no such file")
    fails(["triangulate", "--config"], "--config needs a file")


def test_config_file_may_leave_the_rest_to_options(solved, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text("ransac: {inlier_px: 2}\n")
    arguments = triangulate(solved, tmp_path / "out", "--config", tmp_path / "run.yaml")
    assert cli.main(arguments) == 0, capsys.readouterr().err
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["config"]["inlier_px"] == 2


@pytest.mark.parametrize("name", ["no.toml", "table.xlsx", "broken.toml", "broken.csv"])
def test_bad_source_of_convert(name, fails, tmp_path):
    if not name.startswith("no"):
        (tmp_path / name).write_bytes(b"\xff\xfe = [")
    fails(["convert", tmp_path / name, "--out", tmp_path / "out.yaml"], name)


# --- output folders ---


def test_changed_settings_are_refused_then_forced(fails, solved, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(triangulate(solved, out)) == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    changed = triangulate(solved, out, "--ransac.inlier-px", "3")
    capsys.readouterr()
    assert cli.main(changed) == 2
    err = capsys.readouterr().err
    check_message(2, err, [str(out), "inlier_px was 1.0, now 3.0", "--force"])
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert cli.main([*changed, "--force"]) == 0
    assert json.loads((out / "manifest.json").read_text())["config"]["inlier_px"] == 3.0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_result_of_another_verb_is_refused(solved, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(solved / "triangulate", out)
    (out / "manifest.json").write_text(json.dumps({"stage": "detect"}))
    assert cli.main(triangulate(solved, out)) == 2
    check_message(2, capsys.readouterr().err, ["'detect'"])


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2]", "3"],
)
def test_damaged_manifest(text, solved, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(text)
    assert cli.main(triangulate(solved, tmp_path / "out")) == 2
    check_message(2, capsys.readouterr().err, ["manifest.json"])


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_foreign_files_are_not_touched(force, solved, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("five years of work")
    assert cli.main(triangulate(solved, tmp_path / "out", *force)) == 2
    check_message(2, capsys.readouterr().err, ["out", "not written by multiview"])
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "out" / "thesis.txt").read_text() == "five years of work"


@pytest.mark.parametrize("suffix", ["partial", "old"])
def test_foreign_folder_beside_the_result_is_not_deleted(suffix, solved, tmp_path):
    """What the command did not write itself stays, even under the names it uses."""
    out, foreign = tmp_path / "out", tmp_path / f"out.{suffix}"
    if suffix == "old":  # used when a result is replaced
        assert cli.main(triangulate(solved, out)) == 0
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("five years of work")
    cli.main(triangulate(solved, out, "--ransac.inlier-px", "3", "--force"))
    assert [p.read_text() for p in tmp_path.rglob("thesis.txt")] == ["five years of work"]


def test_output_is_a_file(fails, solved, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert cli.main(triangulate(solved, tmp_path / "out")) == 2
    check_message(2, capsys.readouterr().err, [str(tmp_path / "out")])
    fails(triangulate(solved, tmp_path / "out" / "inside"), "out")
    fails(["init", tmp_path / "out"], "is a file")
    assert (tmp_path / "out").read_text() == "a file"


# --- disks ---


def limit_file_size():
    """Let no file grow beyond a few bytes: writing fails with EFBIG, as on a full disk."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (FEW_BYTES, FEW_BYTES))


needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")


@needs_posix
def test_file_that_cannot_grow(solved, tmp_path):
    done = process(triangulate(solved, tmp_path / "out"), preexec_fn=limit_file_size)
    check_message(done.returncode, done.stderr, ["points.parquet", "cannot be written"])
    check_nothing_left(tmp_path / "out")
    assert process(triangulate(solved, tmp_path / "out")).returncode == 0


def label(solved, out, *more):
    inputs = ["--detections", solved / "detect", "--points", solved / "triangulate"]
    return ["label", solved / "take", *inputs, *more, "--out", out]


@needs_posix
def test_picture_that_cannot_grow(solved, tmp_path):
    """OpenCV tells of a failed write only by its return value."""
    arguments = label(solved, tmp_path / "out", "--no-pictures")
    assert process(arguments).returncode == 0
    largest = max((tmp_path / "out").iterdir(), key=lambda p: p.stat().st_size)
    assert largest.name == "contact_sheet.png"
    limit = largest.stat().st_size - 1

    def just_too_small():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    arguments[-1] = tmp_path / "again"
    done = process(arguments, preexec_fn=just_too_small)
    message = done.stderr[done.stderr.find("error: ") :]
    check_message(done.returncode, message, ["contact_sheet.png", "cannot be written"])
    check_nothing_left(tmp_path / "again")


def test_good_input_gives_no_warning(solved, tmp_path):
    done = process(label(solved, tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")


def on_disk(kind, folder, arguments):
    """Run the command where `folder` is a disk of its own: 16 KiB, or read-only."""
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs -o {kind} tmpfs {folder}"
    probe = [unshare or "unshare", "-rm", "sh", "-c", mount]
    if not unshare or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no user mount a small disk")
    script = f'{mount} && "$@"; code=$?; find {folder} -type f -printf "left %P %s\\n"; exit $code'
    command = [sys.executable, "-m", "multiview", *map(str, arguments)]
    return subprocess.run(
        [unshare, "-rm", "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_full_disk(solved, tmp_path):
    (tmp_path / "disk").mkdir()
    out = tmp_path / "disk" / "out"
    done = on_disk("size=16k", tmp_path / "disk", triangulate(solved, out))
    check_message(done.returncode, done.stderr, ["No space left", "free some space"])
    left = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("left")]
    assert left == ["out.partial/plan.json"]


def test_read_only_disk(solved, tmp_path):
    (tmp_path / "disk").mkdir()
    arguments = triangulate(solved, tmp_path / "disk" / "out")
    done = on_disk("ro", tmp_path / "disk", arguments)
    check_message(done.returncode, done.stderr, ["disk/out", "cannot be written", "--out"])
    arguments = ["init", tmp_path / "disk" / "space"]
    done = on_disk("ro", tmp_path / "disk", arguments)
    check_message(done.returncode, done.stderr, ["disk/space", "cannot be written"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_forbidden_folder(fails, solved, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    fails(triangulate(solved, locked / "out"), "locked/out", "cannot be written", "permissions")


def test_no_traceback_of_the_real_command(tmp_path):
    done = process(["detect", tmp_path / "nowhere", "--out", tmp_path / "out"])
    check_message(done.returncode, done.stderr, ["nowhere"])
    assert not done.stdout


def test_an_option_given_twice_is_refused(capsys):
    from multiview.cli import main

    arguments = ["calibrate", "take", "--board", "a.yaml", "--board", "b.yaml", "--out", "o"]
    assert main(arguments) == 2
    assert "--board A B" in capsys.readouterr().err
