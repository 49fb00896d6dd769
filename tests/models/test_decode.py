"""Decoding against blobs at known places: exact without noise, near the bound of theory with it."""

import numpy as np
import pytest

from multiview.errors import InputError, ShapeError
from multiview.models.decode import crop_from_map, decode_heatmaps, decode_simcc, mass

SIZE = (46, 40)
# A Newton step on the logarithm of a Gaussian is exact; what is left is the kernel's cut at 2.5
# standard deviations, which shifts by under a hundredth of a pixel.
EXACT_PX = 0.01


def blobs(xy, size_hw=SIZE, sigma=2.0, height=1.0):
    """Gaussian blobs at (N, K, 2), shape (N, K, h, w)."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    u, v = xy[..., 0, None, None], xy[..., 1, None, None]
    return height * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2))


def places(n, k, low=6.0, seed=0):
    high = np.array(SIZE[::-1]) - 1 - low
    return np.random.default_rng(seed).uniform(low, high, (n, k, 2))


@pytest.mark.parametrize("k", [1, 21, 22])
@pytest.mark.parametrize("blur", [1, 5, 11])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exact_without_noise(k, blur, dtype):
    xy = places(3, k)
    found, peak = decode_heatmaps(blobs(xy).astype(dtype), blur_px=blur)
    assert found.shape == (3, k, 2)
    assert np.abs(found - xy).max() < EXACT_PX
    # the largest sample is at most half a pixel away along each axis
    assert (peak > np.exp(-0.5 / (2 * 4)) - 1e-6).all()
    whole, _ = decode_heatmaps(blobs(xy).astype(dtype), method="argmax")
    np.testing.assert_array_equal(whole, np.rint(xy))


@pytest.mark.parametrize("height", [1e-4, 1.0, 1e4])
def test_only_the_shape_of_the_peak_counts(height):
    xy = places(1, 21)
    found, peak = decode_heatmaps(blobs(xy, height=height))
    assert np.abs(found - xy).max() < EXACT_PX
    assert (peak <= height).all()


def test_noise_against_the_bound():
    """No unbiased estimate of a blob's centre from noisy samples is better than Cramer-Rao's.

    For a Gaussian of standard deviation s and white noise n: n / sqrt(sum of (dg/dx)^2), the sum
    being pi / 2. The filter that matches the blob comes within a factor of 1.5, and the raw Taylor
    step (three samples instead of a hundred) needs over twice as much.
    """
    noise, xy = 0.02, places(60, 21)
    maps = blobs(xy) + np.random.default_rng(1).normal(0, noise, (60, 21, *SIZE))
    bound = noise / np.sqrt(np.pi / 2)
    matched = np.std(decode_heatmaps(maps, blur_px=11)[0] - xy)
    raw = np.std(decode_heatmaps(maps, blur_px=1)[0] - xy)
    assert bound * 0.95 < matched < 1.5 * bound < raw / 2
    # half a pixel along an axis at the most: 1 / sqrt(12) for whole pixels
    assert np.std(decode_heatmaps(maps, method="argmax")[0] - xy) > 10 * matched


@pytest.mark.parametrize("shift", [(3, 0), (-2, 5), (4, 4)])
def test_moves_with_the_map(shift):
    xy = places(2, 21, low=12)
    noise = np.random.default_rng(2).normal(0, 0.01, (2, 21, *SIZE))
    maps = blobs(xy) + noise
    moved = np.roll(maps, shift[::-1], axis=(2, 3))
    here, there = decode_heatmaps(maps)[0], decode_heatmaps(moved)[0]
    np.testing.assert_allclose(there, here + shift, atol=1e-9)


def test_mirrors_and_turns_with_the_map():
    maps = blobs(places(2, 21)) + np.random.default_rng(3).normal(0, 0.01, (2, 21, *SIZE))
    xy = decode_heatmaps(maps)[0]
    mirrored = decode_heatmaps(maps[..., ::-1])[0]
    np.testing.assert_allclose(mirrored[..., 0], SIZE[1] - 1 - xy[..., 0], atol=1e-9)
    turned = decode_heatmaps(maps.transpose(0, 1, 3, 2))[0]
    np.testing.assert_allclose(turned, xy[..., ::-1], atol=1e-9)


@pytest.mark.parametrize("distance", [0.7, 1.2, 2.4, 3.9])
@pytest.mark.parametrize("blur", [1, 5, 11])
def test_no_pull_to_the_middle_near_a_border(distance, blur):
    xy = places(2, 21)
    xy[0, :, 0], xy[1, :, 1] = distance, SIZE[0] - 1 - distance
    found = decode_heatmaps(blobs(xy), blur_px=blur)[0]
    assert np.abs(found - xy).max() < EXACT_PX


def test_peaks_on_a_border_keep_their_pixel():
    """Along the border itself the step is still taken."""
    xy = np.array([[[-0.4, 20.3], [17.8, SIZE[0] - 0.7], [0.2, 0.1], [-3.0, 12.6]]])
    found, _ = decode_heatmaps(blobs(xy), blur_px=5)
    expected = [[0, 20.3], [17.8, SIZE[0] - 1], [0, 0], [0, 12.6]]
    np.testing.assert_allclose(found[0], expected, atol=EXACT_PX)


def test_maps_without_a_peak():
    flat = np.stack([np.zeros(SIZE), np.full(SIZE, 3.0), np.full(SIZE, -1.0)])[None]
    xy, peak = decode_heatmaps(flat)
    np.testing.assert_array_equal(xy, np.zeros((1, 3, 2)))
    np.testing.assert_array_equal(peak, [[0, 3, -1]])
    ridge = np.tile(np.exp(-((np.arange(40) - 20.3) ** 2) / 8), (46, 1))[None, None]
    ridge = ridge + blobs(np.array([[[20.3, 9.0]]]), sigma=0.4) * 1e-9
    xy, _ = decode_heatmaps(ridge)
    assert np.isfinite(xy).all()


def test_no_step_on_a_saddle():
    """A pixel above its four neighbours, on a diagonal ridge: the Hessian has no maximum."""
    maps = np.full((1, 1, *SIZE), 0.01)
    maps[0, 0, 9:12, 9:12] = [[0.999, 0.9, 0.01], [0.9, 1.0, 0.95], [0.01, 0.92, 0.999]]
    np.testing.assert_array_equal(decode_heatmaps(maps, blur_px=1)[0], [[[10, 10]]])


def test_steps_are_bounded():
    maps = np.random.default_rng(4).normal(0, 1, (20, 21, *SIZE))
    for blur in (1, 3, 11):
        xy = decode_heatmaps(maps, blur_px=blur)[0]
        whole = decode_heatmaps(maps, method="argmax")[0]
        assert np.isfinite(xy).all()
        assert np.linalg.norm(xy - whole, axis=-1).max() <= 1 + 1e-12


@pytest.mark.parametrize("shape", [(0, 21, 8, 8), (2, 0, 8, 8), (1, 1, 1, 1), (1, 2, 1, 9)])
def test_small_and_empty(shape):
    xy, peak = decode_heatmaps(np.ones(shape))
    assert (xy.shape, peak.shape) == ((*shape[:2], 2), shape[:2])


@pytest.mark.parametrize("split", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("blur", [1, 7])
def test_simcc(split, blur):
    """A parabola through three samples of a Gaussian is off by (step / sigma)^2 / 24 bins."""
    rng, (width, height) = np.random.default_rng(5), (192, 256)
    xy = rng.uniform(20, 170, (3, 21, 2))
    sigma = 6.0
    vectors = [
        np.exp(-((np.arange(n * split) - xy[..., i, None] * split) ** 2) / (2 * sigma**2))
        for i, n in enumerate((width, height))
    ]
    found, peak = decode_simcc(*vectors, split, blur_px=blur)
    assert np.abs(found - xy).max() < 0.5 / sigma**2 / 4 / split
    assert ((peak > 0.99) & (peak <= 1)).all()
    # logits count as well: only differences matter
    again = decode_simcc(*(10 * v - 5 for v in vectors), split, blur_px=blur)[0]
    np.testing.assert_allclose(again, found, atol=1e-9)
    weak = decode_simcc(vectors[0], vectors[1] * 0.3, split)[1]
    assert (weak < 0.31).all()


def test_simcc_at_the_ends():
    x, y = np.zeros((1, 3, 64)), np.zeros((1, 3, 32))
    x[0, 0, 0], x[0, 1, -1], y[0, 0, -1] = 1, 1, 1
    found, peak = decode_simcc(x, y, 2.0, blur_px=5)
    np.testing.assert_array_equal(found[0], [[0, 15.5], [31.5, 0], [0, 0]])
    np.testing.assert_array_equal(peak[0], [1, 0, 0])
    assert decode_simcc(x[:0], y[:0], 2.0)[0].shape == (0, 3, 2)


def test_mass_near_the_peak():
    xy = np.array([[[20.0, 20.0]]])
    radius = 5.0
    # share of a 2D Gaussian within r: 1 - exp(-r^2 / 2 s^2); the pixel grid adds a little
    one = blobs(xy)
    assert mass(one, xy, radius)[0, 0] == pytest.approx(1 - np.exp(-25 / 8), abs=0.02)
    two = one + blobs(np.array([[[33.0, 32.0]]]))
    assert mass(two, xy, radius) == pytest.approx(mass(one, xy, radius) / 2, abs=0.02)
    flat = mass(np.ones((1, 1, *SIZE)), xy, radius)
    assert flat[0, 0] == pytest.approx(np.pi * 25 / (SIZE[0] * SIZE[1]), rel=0.1)
    assert mass(-one, xy, radius)[0, 0] == 0
    assert mass(one - 10, xy, radius)[0, 0] == 0


def test_maps_on_crops():
    ends = np.array([[0.0, 0.0], [63.0, 47.0]])
    to = lambda grid: crop_from_map(ends, (48, 64), (192, 256), grid)  # noqa: E731
    np.testing.assert_allclose(to("half_pixel"), [[1.5, 1.5], [253.5, 189.5]])
    np.testing.assert_allclose(to("index"), [[0, 0], [252, 188]])
    np.testing.assert_allclose(to("corners"), [[0, 0], [255, 191]])
    assert crop_from_map(np.zeros(2), (1, 1), (8, 8), "corners").tolist() == [0, 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: decode_heatmaps(m[0]), ShapeError, "maps has shape"),
        (lambda m: decode_heatmaps(m[..., :0]), ShapeError, "no pixels"),
        (lambda m: decode_heatmaps(m * np.nan), ShapeError, "not finite"),
        (lambda m: decode_heatmaps(m, blur_px=4), InputError, "odd"),
        (lambda m: decode_heatmaps(m, method="mean"), InputError, "unknown method 'mean'"),
        (lambda m: decode_simcc(m[0], m[0][:2], 2), ShapeError, "shape"),
        (lambda m: decode_simcc(m[0], m[0], 0), InputError, "split is 0"),
        (lambda m: mass(m, np.zeros((1, 3, 2)), 2), ShapeError, "mass"),
        (lambda m: crop_from_map(np.zeros(2), (2, 2), (4, 4), "edge"), InputError, "grid"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(np.zeros((1, 4, 8, 8)))
