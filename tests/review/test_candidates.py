import numpy as np
import pytest

from multiview.core.samples import make_samples
from multiview.errors import InputError
from multiview.review.candidates import candidates, in_order
from multiview.review.montage import GAP, SCREEN_WH, columns_of, draw_montage, tile_of


@pytest.fixture(scope="module")
def samples():
    """Frames 3, 5 and 9; two hands in frame 5; nothing detected in frame 9."""
    rows = [(3, "b", 2.0), (3, "a", 1.0), (5, "a", 8.0), (5, "a", 3.0), (9, "b", np.nan)]
    return make_samples(
        xy_px=np.stack([np.random.default_rng(n).uniform(20, 80, (21, 2)) for n in range(5)]),
        visibility=np.full((5, 21), 2),
        residual_px=[[residual] * 21 for *_, residual in rows],
        image=[f"images/{camera}/{frame:06d}.jpg" for frame, camera, _ in rows],
        size_wh=[(100, 100)] * 5,
        right=np.ones(5),
        camera=[camera for _, camera, _ in rows],
        frame_id=[frame for frame, *_ in rows],
    )


def test_a_frame_is_its_views_and_its_worst_residual(samples):
    first, second, third = candidates(samples, {5: 0.5})
    assert (first.frame, first.cameras, first.worst_px) == (3, ("a", "b"), 2.0)
    assert first.images == ("images/a/000003.jpg", "images/b/000003.jpg")
    assert first.views_px == (1.0, 2.0)
    assert (second.cameras, second.views_px, second.score) == (("a",), (8.0,), 0.5)
    assert np.isnan(third.worst_px)


def test_orders(samples):
    found = candidates(samples, {3: 0.2, 5: 0.5, 9: 0.9})
    frames = {order: [c.frame for c in in_order(found, order)] for order in ("residual", "score")}
    assert frames == {"residual": [5, 3, 9], "score": [9, 5, 3]}
    assert [c.frame for c in in_order(found[::-1], "time")] == [3, 5, 9]


def test_an_order_that_is_unknown_or_has_no_numbers_is_refused(samples):
    with pytest.raises(InputError, match="no order"):
        in_order(candidates(samples), "beauty")
    with pytest.raises(InputError, match="no scores"):
        in_order(candidates(samples), "score")


@pytest.mark.parametrize("views", [1, 2, 4, 8, 31])
def test_a_montage_is_about_as_wide_as_a_screen(views):
    across = columns_of(views)
    down = -(-views // across)
    assert across * down < views + max(across, down)
    if views == 31:
        assert (across, down) == (8, 4)
    size = np.array((across, down)) * tile_of(views)
    # as large as a screen shows; 31 views are a little more, so that hands stay large enough
    assert (size <= np.array(SCREEN_WH) * (1.12 if views == 31 else 1)).all()
    assert tile_of(views) >= 240


def test_tiles_lie_in_the_order_of_the_cameras(samples):
    colours = {"images/a/000003.jpg": (255, 0, 0), "images/b/000003.jpg": (0, 255, 0)}
    read = lambda image: np.full((100, 100, 3), colours[image], np.uint8)  # noqa: E731
    picture = draw_montage(read, samples, candidates(samples)[0])
    tile = tile_of(2)
    assert picture.shape == (tile + 2 * GAP, 2 * tile + 3 * GAP, 3)
    left, right = picture[:, : tile + GAP], picture[:, tile + 2 * GAP :]
    for half, colour in ((left, (255, 0, 0)), (right, (0, 255, 0))):
        assert (half == colour).all(-1).mean() > 0.5
        assert ((half != colour).any(-1) & (half != 32).any(-1)).any()  # the hand is drawn
