"""Risk of labels, and the promise about them, on simulated detectors that the model never saw."""

from dataclasses import replace

import numpy as np
import pytest
from hands import make_take
from scipy.stats import binom, f

from multiview.bootstrap import risk as risk_module
from multiview.bootstrap import risk_fit
from multiview.bootstrap.chance import chance_risk, hit_rate
from multiview.bootstrap.evidence import CUES, gather_evidence
from multiview.bootstrap.promise import Promise, counted_bound, upper_bound
from multiview.bootstrap.risk import RiskConfig, estimate_risk, load_risk_model, risk_of_cues
from multiview.bootstrap.risk_fit import Verified, count_labels, fit_risk
from multiview.core import HAND_21, Detections
from multiview.errors import ConfigError, InputError
from multiview.geometry.uncertainty import spurious_sets
from multiview.synth import make_hand_motion, make_rig
from multiview.triangulation import TriangulationConfig, triangulate

HAND_M = 0.192
WRONG = 0.1
FINGERS = HAND_21.group_index


def detector(seed, views, p, frames=60):
    """Fingers hit with probability p, or anywhere on the hand; three views make a point."""
    rng = np.random.default_rng(seed)
    rig = make_rig(rng, views, elevation_deg=(-20.0, 60.0))
    xyz = make_hand_motion(rng, frames)
    focal = np.array([c.intrinsics.K[0, 0] for c in rig.cameras])
    px = (HAND_M * focal / np.linalg.norm(rig.centres_world, axis=-1))[:, None, None, None, None]
    hit = rng.random((views, frames, 1, 6))[..., FINGERS] < p
    off = rng.uniform(-0.5, 0.5, (views, frames, 1, 6, 2))[..., FINGERS, :]
    true = rig.project(xyz)
    xy = np.where(hit[..., None], true, true + off * px)
    xy = xy + rng.normal(size=xy.shape) * 0.01 * px
    conf = np.where(hit, rng.uniform(0.6, 1, hit.shape), rng.uniform(0.25, 0.95, hit.shape))
    dets = Detections(
        xy_px=xy,
        conf=conf,
        camera_names=rig.names,
        frame_ids=np.arange(frames),
        times=np.broadcast_to(np.arange(frames) / 30, (views, frames)),
        skeleton=HAND_21,
        source="simulated",
        right=np.ones((views, frames, 1)),
        hands=("right",),
    )
    points = triangulate(dets, rig, TriangulationConfig(unit="finger", min_views=3))
    wrong = np.linalg.norm(points.xyz_world - xyz, axis=-1) > WRONG * HAND_M
    return points, gather_evidence(points, dets, rig), wrong & points.valid


@pytest.fixture(scope="module")
def takes():
    """Views, hit rate -> what is known."""
    wanted = ((4, 0.5), (6, 0.5), (8, 0.4), (8, 0.7), (12, 0.3))
    return {(v, p): detector([7, v, int(10 * p)], v, p) for v, p in wanted}


@pytest.mark.parametrize("errors", ["agreeing", "independent"])
@pytest.mark.parametrize("target", [0.003, 0.03])
def test_the_promise_holds_on_detectors_never_seen(takes, errors, target):
    config = RiskConfig(errors=errors)
    kept = false = before = labels = 0
    for points, evidence, wrong in takes.values():
        risk = estimate_risk(evidence, points.valid.shape, config)
        found = Promise(risk, target, config, 1).keep(points.valid & points.voted)
        kept, false = kept + found.keep.sum(), false + (wrong & found.keep).sum()
        before, labels = before + wrong.sum(), labels + points.valid.sum()
        assert not found.keep.any() or found.bound <= target
        assert not found.keep.any() or found.expected <= found.bound * (1 + 1e-9)
    assert before / labels > 0.03, "three agreeing views are not enough"
    assert false <= target * kept
    assert kept > (0.02 if target < 0.01 else 0.2) * labels


def test_risk_ranks_false_labels_last(takes):
    points, evidence, wrong = takes[6, 0.5]
    risk = estimate_risk(evidence, points.valid.shape).risk[points.valid]
    bad = wrong[points.valid]
    assert bad.sum() > 5
    better = (risk[bad][:, None] > risk[~bad][None]).mean()
    assert better > 0.9


def test_a_stricter_promise_keeps_a_subset(takes):
    points, evidence, _ = takes[8, 0.7]
    risk = estimate_risk(evidence, points.valid.shape)
    keeps = [Promise(risk, t, RiskConfig(), 1).keep(points.valid).keep for t in (0.001, 0.01, 0.1)]
    assert 0 < keeps[0].sum() < keeps[1].sum() < keeps[2].sum()
    assert not (keeps[0] & ~keeps[1]).any()
    assert not (keeps[1] & ~keeps[2]).any()


def test_hands_need_enough_labels_and_the_rest_keeps_the_promise(takes):
    points, evidence, _ = takes[8, 0.7]
    risk = estimate_risk(evidence, points.valid.shape)
    found = Promise(risk, 0.005, RiskConfig(), 15).keep(points.valid)
    count = found.keep.sum(-1)
    assert found.keep.any()
    assert set(np.unique(count >= 15)) <= {False, True}
    assert (count[count > 0] >= 15).all()
    assert found.bound <= 0.005
    assert found.smallest <= found.bound


def test_what_cannot_be_told_is_never_accepted(takes):
    points, evidence, _ = takes[8, 0.7]
    z = evidence.z.copy()
    z[:10] = np.nan
    risk = estimate_risk(replace(evidence, z=z), points.valid.shape)
    assert (risk.risk[tuple(evidence.index[:10].T)] == 1).all()


def test_views_that_disagree_more_than_usual_raise_the_risk_and_never_lower_it(takes):
    points, evidence, _ = takes[8, 0.7]
    calm = replace(evidence, heldout=np.minimum(evidence.heldout, 0.01))
    wild = replace(evidence, heldout=np.where(np.isfinite(evidence.heldout), 0.3, np.nan))
    plain, low, high = (estimate_risk(e, points.valid.shape) for e in (evidence, calm, wild))
    assert low.shift == 0
    assert high.shift > plain.shift >= 0
    at = points.valid
    assert (high.risk[at] >= plain.risk[at]).all()


def test_chance_follows_the_counts_of_simon_et_al():
    """All wrong, or all but one: the first part is the expectation in `spurious_sets`."""
    m, p, tolerance, patch = 12, 0.4, 0.05, 1.0
    for n in (3, 4, 5):
        exactly = spurious_sets(m, n, p, tolerance, patch)
        exactly -= spurious_sets(m, n + 1, p, tolerance, patch)
        chance = exactly * (1 + n * p / (1 - p))
        expected = chance / (chance + binom.pmf(n, m, p))
        got = chance_risk(np.array([m]), np.array([n]), p, tolerance, patch)[0]
        assert got == pytest.approx(expected)
    assert (np.diff(chance_risk(np.full(9, 12), np.arange(3, 12), 0.4)) < 0).all()


@pytest.mark.parametrize("p", [0.35, 0.6, 0.9])
def test_hit_rate_is_found_though_small_sets_are_missing(p):
    rng = np.random.default_rng(1)
    n = rng.binomial(12, p, 3000)
    n = n[n >= 4]
    assert hit_rate(np.full(len(n), 12), n) == pytest.approx(p, abs=0.03)
    assert hit_rate(np.full(9, 6), np.full(9, 6)) > 0.95
    assert np.isnan(hit_rate(np.full(9, 2), np.full(9, 2)))


def test_noise_alone_makes_labels_false_as_often_as_its_tails_say():
    rng = np.random.default_rng(0)
    n, sigma = 4, 0.02
    evidence = make_take(frames=1)
    rig, dets, points, _ = evidence
    e = gather_evidence(points, dets, rig)
    e = replace(e, agree=np.full(len(e.agree), n), z=np.full(len(e.z), sigma))
    got = risk_module._noise(e, WRONG, own=True)[0]
    residual = (rng.normal(size=(200_000, 2 * n - 3)) ** 2).mean(1)
    off = (rng.normal(size=(200_000, 3)) ** 2).sum(1)
    # the deviation that is told is the one of few residuals
    false = (off > residual * (WRONG / sigma) ** 2).mean()
    assert got == pytest.approx(f.sf((WRONG / sigma) ** 2 / 3, 3, 2 * n - 3))
    assert false == pytest.approx(got, rel=0.1)


def test_shipped_parameters_are_what_the_code_expects():
    model = load_risk_model()
    assert model.cues == tuple(CUES)
    W = np.array(model.weights)
    assert W.shape[1] == 1 + len(CUES)
    assert (W[:, 1:] >= 0).all(), "doubt may only raise the risk"
    assert model.counts
    assert "dome8 and multi10" in model.about
    assert "train12" not in model.about


def test_every_cue_raises_the_risk_or_leaves_it():
    model = load_risk_model()
    cues = np.tile(np.array(model.mean), (2, 1))
    base = risk_of_cues(model, cues)[:, 0]
    for i in range(len(CUES)):
        more = cues.copy()
        more[1, i] += model.sd[i]
        assert (risk_of_cues(model, more)[:, 1] >= base - 1e-9).all()


def test_a_detector_that_is_always_sure_makes_no_label_safer():
    model = load_risk_model()
    cues = np.tile(np.array(model.mean), (3, 1))
    conf = list(CUES).index("conf")
    cues[1, conf] -= 2 * model.sd[conf]
    cues[2, conf] -= 6 * model.sd[conf]
    average, sure, boasting = risk_of_cues(model, cues).mean(0)
    assert sure < average - 1
    assert boasting == pytest.approx(sure)
    rig, dets, points, _ = make_take(frames=4)
    assert np.isfinite(gather_evidence(points, dets, rig).cues[:, conf]).all()
    constant = replace(dets, conf=1.0 * (dets.conf > 0))
    assert np.isnan(gather_evidence(points, constant, rig).cues[:, conf]).all()


def test_counting_alone_promises_no_more_than_was_counted(takes):
    points, evidence, wrong = takes[8, 0.7]
    risk = estimate_risk(evidence, points.valid.shape)
    config = RiskConfig(basis="counted")
    strict = Promise(risk, 0.001, config, 1).keep(points.valid)
    assert not strict.keep.any()
    assert strict.smallest > 0.001
    lax = Promise(risk, 0.1, config, 1).keep(points.valid)
    assert lax.keep.any()
    assert (wrong & lax.keep).sum() <= 0.1 * lax.keep.sum()
    assert counted_bound(load_risk_model().counts, np.array([2.0]))[0] == 1


def test_labels_that_were_looked_at_decide_what_is_promised(takes):
    points, evidence, wrong = takes[8, 0.7]
    risk = estimate_risk(evidence, points.valid.shape)
    value = risk.risk[points.valid]
    frame = evidence.index[:, 0]
    many = np.tile(value, 6), np.zeros(6 * len(value), bool), np.arange(6 * len(value))
    plain = Promise(risk, 0.003, RiskConfig(), 1).keep(points.valid)
    seen = Promise(risk, 0.003, RiskConfig(), 1, count_labels(*many)).keep(points.valid)
    assert 0 < seen.keep.sum() <= plain.keep.sum()
    assert seen.bound <= 0.003
    # every tenth safe label turns out wrong: no such promise any more, whatever the model says
    bad = np.arange(len(value)) % 10 == 0
    refused = Promise(risk, 0.003, RiskConfig(), 1, count_labels(value, bad, frame))
    assert not refused.keep(points.valid).keep.any()
    assert refused.keep(points.valid).smallest > 0.05
    assert wrong.sum() < 0.05 * len(value)


def test_bound_of_counts():
    assert upper_bound(0, 3000) == pytest.approx(3 / 3000, rel=0.01)  # rule of three
    assert upper_bound(0, 3000, together=10) == pytest.approx(3 / 300, rel=0.01)
    assert binom.cdf(4, 200, upper_bound(4, 200)) == pytest.approx(0.05, rel=1e-6)
    assert upper_bound(5, 5) == 1


def test_labels_of_a_hand_count_as_fewer_when_they_err_together():
    rng = np.random.default_rng(0)
    group = np.arange(4000) // 20
    alone = rng.random(4000) < 0.1
    together = (rng.random(200) < 0.1)[group]
    zero = np.zeros(4000)
    assert count_labels(zero, alone, group)[-1].together < 1.6
    assert count_labels(zero, together, group)[-1].together > 12


def test_a_fit_finds_what_makes_labels_false(monkeypatch):
    """Labels made false by one cue: its weight is found, the others' stay near zero."""
    monkeypatch.setattr(risk_fit, "DRAWS", 3)
    _, evidence, _ = detector([3, 8, 7], 8, 0.7, frames=40)
    rng = np.random.default_rng(0)
    cue = list(CUES).index("spread")
    captures = []
    for _ in range(2):
        z = evidence.cues[:, cue]
        z = (z - np.nanmean(z)) / np.nanstd(z)
        wrong = rng.random(len(z)) < 1 / (1 + np.exp(3 - 1.5 * np.nan_to_num(z)))
        captures.append(Verified(evidence=evidence, wrong=wrong, group=evidence.index[:, 0]))
    model = fit_risk(captures, "test", WRONG, rng)
    weights = np.array(model.weights)[0, 1:]
    assert weights.argmax() == cue
    assert weights[cue] > 0.8
    assert model.counts[-1].labels == 2 * (evidence.agree >= 3).sum()
    with pytest.raises(InputError, match="at least two"):
        fit_risk(captures[:1], "test", WRONG, rng)


def test_bad_parameters_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_risk_model(tmp_path / "none.yaml")
    path = tmp_path / "risk.yaml"
    path.write_text("about: x\nwrogn: 0.1\n")
    with pytest.raises(ConfigError, match="wrogn"):
        load_risk_model(path)
