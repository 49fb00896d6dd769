"""When the loop stops, and which detector it keeps."""

import pytest

from multiview.bootstrap.loop import StopConfig, best_round


@pytest.mark.parametrize(
    ("scores", "config", "stop", "best"),
    [
        ([0.5], StopConfig(), False, 0),
        ([0.5, 0.6, 0.7], StopConfig(), False, 2),
        ([0.5, 0.6, 0.6], StopConfig(), True, 1),
        ([0.5, 0.4], StopConfig(), True, 0),
        ([0.5, 0.4, 0.6], StopConfig(patience=2), False, 2),
        ([0.5, 0.6, 0.55, 0.59], StopConfig(patience=2), True, 1),
        ([0.5, 0.505], StopConfig(min_gain=0.01), True, 0),
        # two small gains count together: the comparison is with the best, not with the last
        ([0.5, 0.506, 0.512], StopConfig(min_gain=0.01, patience=2), False, 2),
        ([0.5, float("nan")], StopConfig(), True, 0),
    ],
)
def test_it_stops_when_nothing_rises(scores, config, stop, best):
    got = best_round(scores, config)
    assert (got.stop, got.best) == (stop, best)
