"""Whatever is triangulated: no crash, no warning, nothing wrong presented as right."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiview.cli import main
from multiview.core import HAND_21, Camera, Detections, Points3D, Pose, Rig, Skeleton
from multiview.core.covariance import RigCovariance
from multiview.errors import ShapeError
from multiview.formats.detections_parquet import write_detections
from multiview.formats.rig_yaml import write_rig
from multiview.geometry.refit import refit
from multiview.geometry.robust import triangulate_points
from multiview.geometry.uncertainty import rig_part
from multiview.synth import make_hand_motion, make_rig, observe
from multiview.triangulation import TriangulationConfig, triangulate_with_report

SIZE = (1280, 720)
UNITS = ("finger", "keypoint")
# Lenses that no one has, and those that some have: monotone for a part of the picture only, ...
LENSES = {
    "pinhole": ("brown", []),
    "barrel": ("brown", [-0.6, 0.4, 0.01, -0.01]),
    "ghosts": ("brown", [-2.0, 1.5, 0.1, 0.1, -3.0]),
    "rational": ("brown", [5.0, -30.0, 0.0, 0.0, 80.0, 5.2, -31.0, 83.0]),
    "prism": ("brown", [0.1, 0, 0, 0, 0, 0, 0, 0, 0.2, -0.1, 0.2, -0.1]),
    "fisheye": ("fisheye", [0.1, -0.05, 0.02, -0.01]),
    "broken fisheye": ("fisheye", [-2.0, 1.0, -1.0, 0.5]),
}
NUMBERS = st.one_of(
    st.floats(-300, 1600),
    st.sampled_from([np.nan, 0.0, -0.0, 1e4, -1e6, 1e12, 1e150, -1e300, 5e-324]),
)
# Steps of a fit end below a hundredth of a standard deviation of about 1 mm.
SAME_M = 1e-5
COUNTS = {"deadline": None, "max_examples": 25}


@contextmanager
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def odd_rig(
    views: int, lens: str = "pinhole", scale: float = 1.0, twins: str = "", unit: str = "m"
) -> Rig:
    """A dome of cameras with one kind of lens, twice as many with ``twins``."""
    model, dist = LENSES[lens]
    rig = make_rig(np.random.default_rng(views), views, size_wh=SIZE, distortion=0.0)
    cameras = []
    for c in rig.cameras:
        i = replace(c.intrinsics, dist=np.array(dist), model=model)
        pose = Pose(R=c.cam_from_world.R, t=scale * c.cam_from_world.t)
        cameras.append(Camera(name=c.name, intrinsics=i, cam_from_world=pose))
    if twins == "same":
        cameras = [cameras[0]] * views
    elif twins == "pairs":
        cameras = [cameras[v // 2] for v in range(views)]
    elif twins == "turned":  # one place, other directions
        turned = [Pose(R=c.cam_from_world.R, t=np.zeros(3)) for c in cameras]
        cameras = [replace(c, cam_from_world=p) for c, p in zip(cameras, turned, strict=True)]
    named = tuple(replace(c, name=f"c{v}") for v, c in enumerate(cameras))
    return Rig(cameras=named, unit=unit)


def as_detections(
    rig: Rig, xy: np.ndarray, conf: np.ndarray, skeleton: Skeleton = HAND_21, hands: bool = True
) -> Detections:
    """Pixels (V, F, H, K, 2), as a detector gives them."""
    shape = xy.shape[:-1]
    return Detections(
        xy_px=xy,
        conf=np.where(np.isnan(xy).any(-1), 0.0, conf),
        camera_names=rig.names,
        frame_ids=np.arange(shape[1]),
        times=np.full(shape[:2], np.nan),
        skeleton=skeleton,
        source="test",
        right=np.full(shape[:3], 0.7),
        hands=tuple("lrxy"[: shape[2]]) if hands else (),
    )


def check(points: Points3D, rig: Rig, dets: Detections) -> None:
    """Hold for any points, whatever they were made from."""
    valid, count = points.valid, points.inlier.sum(0)
    np.testing.assert_array_equal(valid, count >= 2)
    assert not (points.voted & (count < 3)).any()
    np.testing.assert_array_equal(valid, np.isfinite(points.cov).all((-1, -2)))
    assert (np.linalg.eigvalsh(points.cov[valid]) >= 0).all()
    if points.hands == dets.hands:
        assert not (points.inlier & ~dets.valid).any()
    # a view that carries a point sees it: before the camera, and within the field of its lens
    R, t = rig.cam_from_world
    depth = np.einsum("vi,...i->v...", R[:, 2], points.xyz_world)
    depth += t[:, 2].reshape(-1, *[1] * (depth.ndim - 1))
    assert (depth[points.inlier] > 0).all()
    assert np.isfinite(points.err_px[points.inlier]).all()


RIGS = st.builds(
    odd_rig,
    st.integers(2, 5),
    st.sampled_from(sorted(LENSES)),
    st.sampled_from([1.0, 1e-3, 100.0, 1000.0, 1e6]),
    st.sampled_from(["", "", "same", "pairs", "turned"]),
)


def arrays(data: st.DataObject, shape: tuple[int, ...], numbers: st.SearchStrategy) -> np.ndarray:
    """Few numbers of any kind among many that are drawn at once, which is faster."""
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    out = rng.uniform(-100, 1400, shape)
    size = int(np.prod(shape))
    if size:
        odd = np.array(data.draw(st.lists(numbers, min_size=1, max_size=12)))
        share = data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
        pick = rng.random(shape) < share
        out[pick] = rng.choice(odd, int(pick.sum()))
    return out


@pytest.mark.parametrize("unit", UNITS)
@settings(**COUNTS)
@given(data=st.data(), rig=RIGS, frames=st.integers(0, 4), hands=st.integers(1, 3))
def test_any_detections_of_hands(
    unit: str, data: st.DataObject, rig: Rig, frames: int, hands: int
) -> None:
    shape = (len(rig.cameras), frames, hands, 21)
    xy = arrays(data, (*shape, 2), NUMBERS)
    conf = np.clip(arrays(data, shape, st.floats(0, 1)), 0, 1)
    dets = as_detections(rig, xy, conf, hands=data.draw(st.booleans()))
    config = TriangulationConfig(
        unit=unit,
        min_conf=data.draw(st.sampled_from([0.0, 0.2, 1.0])),
        min_views=data.draw(st.sampled_from([0, 2, 3, 9])),
        inlier_px=data.draw(st.sampled_from([0.0, 1.0, 1e6])),
        two_views=data.draw(st.sampled_from([0.0, 0.8, 1.0])),
    )
    with no_warnings():
        points, _ = triangulate_with_report(dets, rig, config)
    check(points, rig, dets)


@pytest.mark.parametrize("unit", UNITS)
@settings(**COUNTS)
@given(
    data=st.data(),
    lens=st.sampled_from(sorted(LENSES)),
    scale=st.sampled_from([1e-3, 1.0, 1000.0]),
    k=st.integers(1, 4),
    bones=st.booleans(),
)
def test_any_subject_seen_from_anywhere(
    unit: str, data: st.DataObject, lens: str, scale: float, k: int, bones: bool
) -> None:
    """Points near, far, at infinity and behind cameras, projected by the rig itself."""
    rig = odd_rig(4, lens, scale)
    numbers = st.one_of(st.floats(-3, 3), st.sampled_from([0.0, 1e3, 1e9, -1e15]))
    xyz = scale * (arrays(data, (6, 1, k, 3), numbers) / 700 - 1)
    with np.errstate(all="ignore"):
        xy = rig.project(xyz)
    names = tuple(f"k{i}" for i in range(k))
    skeleton = Skeleton(
        name="thing",
        keypoints=names,
        edges=tuple((i, i + 1) for i in range(k - 1)) if bones else (),
        groups={n: (i,) for i, n in enumerate(names)},
        colors=((0, 0, 0),) * k,
    )
    xy[np.isinf(xy)] = np.nan
    dets = as_detections(rig, xy, np.ones(xy.shape[:-1]), skeleton, hands=False)
    with no_warnings():
        points, _ = triangulate_with_report(dets, rig, TriangulationConfig(unit=unit))
    check(points, rig, dets)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("ordered", [True, False])
def test_what_lies_far_outside_of_the_pictures_is_no_detection(unit: str, ordered: bool) -> None:
    rig = odd_rig(4)  # pinholes have no edge of their own
    hands = make_hand_motion(np.random.default_rng(1), 8, 2)
    dets = observe(np.random.default_rng(2), rig, hands, ordered=ordered).detections
    for number in (4000.0, 1e12, 1e300):
        xy = dets.xy_px.copy()
        xy[2, ..., 0] += number
        with no_warnings():
            points, _ = triangulate_with_report(
                replace(dets, xy_px=xy), rig, TriangulationConfig(unit=unit)
            )
        assert np.isnan(points.err_px[2]).all()
        assert points.voted.any()


@settings(**COUNTS)
@given(data=st.data(), rig=RIGS, n=st.integers(0, 30))
def test_any_pixels_and_confidences_of_single_keypoints(
    data: st.DataObject, rig: Rig, n: int
) -> None:
    views = len(rig.cameras)
    numbers = st.one_of(NUMBERS, st.sampled_from([np.inf, -np.inf]))
    xy = arrays(data, (views, n, 2), numbers)
    rng = np.random.default_rng(n)
    seen = rig.project(np.linalg.norm(rig.centres_world[0]) * rng.uniform(-0.1, 0.1, (n, 3)))
    xy = np.where((rng.random((views, n)) < 0.6)[..., None], seen, xy)
    odd = st.one_of(st.floats(-2, 3), st.sampled_from([np.nan, np.inf, -np.inf]))
    conf = arrays(data, (views, n), odd) if data.draw(st.booleans()) else None
    with no_warnings():
        points = triangulate_points(rig, xy, conf)
    count, valid = points.inlier.sum(0), np.isfinite(points.xyz).all(-1)
    np.testing.assert_array_equal(valid, count >= 2)
    assert not (points.inlier & ~np.isfinite(xy).all(-1)).any()
    # every point says how far to believe it: two views alone less than a vote
    assert ((points.trust[valid] >= 0.8) & (points.trust[valid] <= 1)).all()
    assert (points.trust[count == 2] < 1).all()
    assert np.isnan(points.trust[~valid]).all()
    assert (np.linalg.eigvalsh(points.cov[valid]) >= 0).all()
    if conf is not None:
        assert not (points.inlier & ~(conf >= 0)).any()


@settings(**COUNTS)
@given(data=st.data(), rig=RIGS, n=st.integers(0, 9))
def test_any_start_of_a_refit_and_any_doubt_about_the_rig(
    data: st.DataObject, rig: Rig, n: int
) -> None:
    views = len(rig.cameras)
    xy = arrays(data, (views, n, 2), NUMBERS)
    xyz = arrays(data, (n, 3), NUMBERS) / 500
    rng = np.random.default_rng(n)
    use = (rng.random((views, n)) < 0.8) & np.isfinite(xy).all(-1)
    columns = np.arange(6 * views).reshape(views, 6)
    size = data.draw(st.sampled_from([0.0, 1e-8, 1.0]))
    doubt = RigCovariance(
        matrix=np.eye(6 * views) * size, pose=columns, lens=np.full((views, 16), -1, np.int64)
    )
    with no_warnings():
        fit = refit(rig, xyz, xy, use, length=data.draw(st.sampled_from([np.inf, 0.01])))
        more = rig_part(replace(rig, covariance=doubt), fit.xyz, fit.use, fit.sigma_px)
    valid = np.isfinite(fit.xyz[:, 0])
    assert not (fit.use & ~use).any()
    assert (fit.sigma_px > 0).all()
    np.testing.assert_array_equal(valid, np.isfinite(fit.xyz).all(-1))
    told = np.isfinite(more).all((1, 2))
    assert not (told & ~valid).any()


# What the numbers of a real take look like: noise, gaps and gross errors.
@pytest.fixture(scope="module")
def take() -> tuple[Rig, Detections]:
    rig = make_rig(np.random.default_rng(0), 5, size_wh=SIZE)
    hand = make_hand_motion(np.random.default_rng(1), 12, 2)
    seen = observe(np.random.default_rng(2), rig, hand, outliers=0.08, missing=0.05, ordered=False)
    return rig, seen.detections


def moved(rig: Rig, scale: float, turn: np.ndarray, shift: np.ndarray, unit: str = "m") -> Rig:
    """Give the rig in a world that is turned, shifted and measured in another unit."""
    world = Pose(R=turn, t=shift)
    cameras = []
    for c in rig.cameras:
        pose = Pose(R=c.cam_from_world.R, t=scale * c.cam_from_world.t) @ world.inv
        cameras.append(replace(c, cam_from_world=pose))
    return Rig(cameras=tuple(cameras), unit=unit)


def rotation(rng: np.random.Generator) -> np.ndarray:
    q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return q * np.sign(np.linalg.det(q))


@pytest.mark.parametrize("unit", UNITS)
@settings(deadline=None, max_examples=8)
@given(
    scale=st.sampled_from([(1.0, "m"), (100.0, "cm"), (1000.0, "mm"), (1 / 0.025, "square")]),
    seed=st.integers(0, 10**6),
)
def test_neither_unit_nor_world_nor_order_of_cameras_matters(
    unit: str, take: tuple[Rig, Detections], scale: tuple[float, str], seed: int
) -> None:
    rig, dets = take
    rng, config = np.random.default_rng(seed), TriangulationConfig(unit=unit)
    points, report = triangulate_with_report(dets, rig, config)
    turn, order = rotation(rng), rng.permutation(5)
    # a world far away costs digits: metres here, kilometres would be another matter
    other = moved(rig, scale[0], turn, shift := scale[0] * rng.uniform(-5, 5, 3), scale[1])
    mixed = replace(
        dets,
        xy_px=dets.xy_px[order],
        conf=dets.conf[order],
        right=dets.right[order],
        times=dets.times[order],
        camera_names=tuple(rig.names[v] for v in order),
    )
    with no_warnings():
        again, told = triangulate_with_report(mixed, other, config)
    np.testing.assert_array_equal(again.inlier, points.inlier[order])
    np.testing.assert_array_equal(again.voted, points.voted)
    expected = scale[0] * points.xyz_world @ turn.T + shift
    np.testing.assert_allclose(again.xyz_world, expected, atol=scale[0] * SAME_M)
    np.testing.assert_allclose(told.tolerance, scale[0] * report.tolerance, rtol=1e-4)
    np.testing.assert_allclose(
        np.trace(again.cov, axis1=-2, axis2=-1),
        scale[0] ** 2 * np.trace(points.cov, axis1=-2, axis2=-1),
        rtol=1e-3,
    )


@pytest.mark.parametrize("unit", UNITS)
def test_arrays_of_any_layout_and_width(unit: str, take: tuple[Rig, Detections]) -> None:
    rig, dets = take
    config = TriangulationConfig(unit=unit)
    xy32 = dets.xy_px.astype(np.float32)
    expected, _ = triangulate_with_report(replace(dets, xy_px=xy32.astype(np.float64)), rig, config)
    wide = np.zeros((*dets.xy_px.shape, 2), np.float32)
    wide[..., 1] = xy32
    conf = np.asfortranarray(dets.conf)
    for xy in (xy32, wide[..., 1], np.asfortranarray(xy32)):
        points, _ = triangulate_with_report(replace(dets, xy_px=xy, conf=conf), rig, config)
        np.testing.assert_array_equal(points.xyz_world, expected.xyz_world)
    flat = xy32[:, :, 0].reshape(5, -1, 2)
    a = triangulate_points(rig, flat[:, ::2])
    b = triangulate_points(rig, np.ascontiguousarray(flat[:, ::2], np.float64))
    np.testing.assert_array_equal(a.xyz, b.xyz)


def garbage(kind: str, views: int, frames: int) -> tuple[Rig, Detections]:
    """Every detection wrong: points anywhere in the picture, or hands of other times anywhere."""
    rng = np.random.default_rng(views)
    rig = make_rig(rng, views, size_wh=SIZE)
    xy = rng.uniform((0, 0), SIZE, (views, frames, 1, 21, 2))
    if kind == "hands":
        hands = make_hand_motion(rng, frames * views, 1)[:, 0]
        for v, camera in enumerate(rig.cameras):
            seen = camera.project(hands[rng.permutation(len(hands))[:frames]])
            xy[v, :, 0] = seen - seen.mean(1, keepdims=True) + xy[v, :, 0, :1]
    return rig, as_detections(rig, xy, np.full(xy.shape[:-1], 0.9))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["points", "hands"])
@pytest.mark.parametrize("views", [3, 4, 8, 16])
def test_of_nothing_but_wrong_detections_hardly_a_point_is_voted(
    unit: str, kind: str, views: int
) -> None:
    frames = 60 if views == 16 else 150
    rig, dets = garbage(kind, views, frames)
    config = TriangulationConfig(unit=unit)
    with no_warnings():
        points, _ = triangulate_with_report(dets, rig, config)
    # as many chance agreements as were allowed per finger (or keypoint) and frame, and 3 sigma of
    # counting them
    sets = frames * (len(HAND_21.groups) if unit == "finger" else 21)
    allowed = config.spurious + 3 * np.sqrt(config.spurious / sets)
    picks = [g[0] for g in HAND_21.groups.values()] if unit == "finger" else list(range(21))
    assert points.voted[..., picks].mean() < allowed
    check(points, rig, dets)


@pytest.mark.parametrize("unit", UNITS)
def test_two_of_hundreds_of_views_and_hundreds_of_views(unit: str) -> None:
    rig = make_rig(np.random.default_rng(0), 500, size_wh=SIZE)
    hand = make_hand_motion(np.random.default_rng(1), 1, 1)
    seen = observe(np.random.default_rng(2), rig, hand, outliers=0.2, missing_hands=0.5)
    config = TriangulationConfig(unit=unit)
    with no_warnings():
        points, _ = triangulate_with_report(seen.detections, rig, config)
        few = np.where(np.arange(500)[:, None, None, None, None] < 2, seen.detections.xy_px, np.nan)
        two, _ = triangulate_with_report(replace(seen.detections, xy_px=few), rig, config)
    assert points.voted.all()
    assert np.linalg.norm(points.xyz_world - hand, axis=-1).max() < 0.003
    assert not two.voted.any()


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("twins", ["same", "turned"])
def test_cameras_in_one_place_carry_no_point(unit: str, twins: str) -> None:
    rig = odd_rig(4, twins=twins)
    xy = np.random.default_rng(0).uniform((0, 0), SIZE, (4, 20, 1, 21, 2))
    xy[1:] = xy[:1] if twins == "same" else xy[1:]
    dets = as_detections(rig, xy, np.ones(xy.shape[:-1]))
    with no_warnings():
        points, _ = triangulate_with_report(dets, rig, TriangulationConfig(unit=unit))
    assert not points.valid.any()


@pytest.mark.parametrize("unit", UNITS)
def test_a_camera_given_twice_is_no_witness(unit: str) -> None:
    """Of two places there is no vote, however many cameras stand there; of three there is."""
    rig = odd_rig(6, twins="pairs")
    hand = make_hand_motion(np.random.default_rng(1), 10, 1)
    seen = observe(np.random.default_rng(2), rig, hand).detections
    config = TriangulationConfig(unit=unit)
    for views, voted in ((4, False), (6, True), (5, True)):
        part = np.where(np.arange(6)[:, None, None, None, None] < views, seen.xy_px, np.nan)
        points, _ = triangulate_with_report(replace(seen, xy_px=part), rig, config)
        assert points.valid.mean() > 0.8
        share = points.voted[points.valid].mean()
        assert share > 0.9 if voted else share == 0


def test_confidences_that_are_none_are_refused(take: tuple[Rig, Detections]) -> None:
    rig, dets = take
    for wrong in (-0.1, 1.1, np.nan, np.inf):
        conf = dets.conf.copy()
        conf[0, 0, 0, 0] = wrong
        with pytest.raises(ShapeError, match=r"outside \[0, 1\]"):
            replace(dets, conf=conf)
    # the kernel below takes them as they come: nothing below the gate is a candidate
    flat = dets.xy_px[:, :, 0].reshape(5, -1, 2)
    odd = np.full(flat.shape[:2], 7.0)
    odd[0], odd[1] = np.nan, -3.0
    with no_warnings():
        points = triangulate_points(rig, flat, odd)
    assert not points.inlier[:2].any()
    assert points.inlier[2:].any()


@settings(deadline=None, max_examples=10)
@given(
    what=st.sampled_from(["nothing", "one view", "garbage", "no frames", "two views", "far away"]),
    unit=st.sampled_from(UNITS),
)
def test_the_command_ends_well_or_says_why(
    tmp_path_factory: pytest.TempPathFactory, what: str, unit: str
) -> None:
    folder = tmp_path_factory.mktemp("cli")
    rig, dets = garbage("points", 3, 5)
    xy, keep = dets.xy_px.copy(), [0, 1, 2]
    if what == "nothing":
        xy[:] = np.nan
    elif what == "far away":
        xy += 1e9
    elif what in {"one view", "two views"}:
        keep = keep[: 1 + (what == "two views")]
    rig = rig.select([rig.names[v] for v in keep])
    frames = 0 if what == "no frames" else 5
    dets = as_detections(rig, xy[keep, :frames], dets.conf[keep, :frames])
    write_detections(dets, folder / "d.parquet")
    write_rig(rig, folder / "rig.yaml")
    out = folder / "tri"
    arguments = ["triangulate", str(folder / "d.parquet"), "--rig", str(folder / "rig.yaml")]
    with no_warnings():
        code = main([*arguments, "--out", str(out), "--ransac.unit", unit])
    assert code == (2 if what == "one view" else 0)
    assert (out / "points.parquet").exists() == (code == 0)
    assert sorted(p.name for p in folder.iterdir() if "tri" in p.name) == ["tri"] * (code == 0)


def test_noise_as_large_as_fingers_is_said(
    tmp_path: Path, take: tuple[Rig, Detections], capsys: pytest.CaptureFixture
) -> None:
    rig, dets = take
    rng = np.random.default_rng(0)
    for noise, said in ((0.0, False), (40.0, True)):
        xy = dets.xy_px + rng.normal(0, noise, dets.xy_px.shape)
        write_detections(replace(dets, xy_px=xy), tmp_path / "d.parquet")
        write_rig(rig, tmp_path / "rig.yaml")
        arguments = ["triangulate", str(tmp_path / "d.parquet"), "--rig"]
        arguments += [str(tmp_path / "rig.yaml"), "--out", str(tmp_path / f"t{noise}")]
        assert main([*arguments, "--ransac.unit", "keypoint"]) == 0
        assert ("tells no finger from the next" in capsys.readouterr().out) == said
