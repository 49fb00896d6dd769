from dataclasses import replace

import numpy as np
import pytest

from multiview.train.config import TrainConfig
from multiview.train.design import build_design

torch = pytest.importorskip("torch", reason="torch is not installed: make test-train")

from multiview.models.decode import crop_from_map, decode_heatmaps  # noqa: E402
from multiview.train.loss import Targets, landmark_loss, maps_loss, target_maps  # noqa: E402

CPM = {"size_px": 64, "width": 0.07, "stages": 1, "blocks": (1, 1, 1, 1), "sigma": 1.0}


def targets(count=2, keypoints=21, sigma=0.0, low=16, high=48):
    rng = np.random.default_rng(0)
    uv = torch.from_numpy(rng.uniform(low, high, (count, keypoints, 2)).astype(np.float32))
    ones = torch.ones(count, keypoints)
    return Targets(uv, ones, ones * sigma, torch.ones(count), torch.ones(count))


def design_of(loss):
    return build_design(TrainConfig.model_validate({"arch": "cpm", "cpm": CPM | {"loss": loss}}))


def test_target_blobs_decode_to_their_labels():
    """By the decoder of the detection layer, so the grid of the card is that of the training."""
    wanted = targets()
    maps, _ = target_maps(wanted, 16, 64, 1.0)
    xy, peak = decode_heatmaps(maps.numpy(), blur_px=5)
    assert np.abs(crop_from_map(xy, (16, 16), (64, 64)) - wanted.uv.numpy()).max() < 0.1
    assert peak.min() > 0.75


def test_an_uncertain_label_has_a_wider_target():
    _, exact = target_maps(targets(sigma=0), 16, 64, 1.0)
    _, vague = target_maps(targets(sigma=8.0), 16, 64, 1.0)
    assert exact[0, 0] == pytest.approx(1.0)
    assert vague[0, 0] == pytest.approx(np.hypot(1.0, 8.0 / 4))


def found_maps(loss, wanted):
    """The best answer of a network: the targets themselves."""
    maps, _ = target_maps(wanted, 16, 64, 1.0)
    if loss == "cross_entropy":
        return torch.log(maps.clamp(min=1e-30))
    return torch.cat([maps, 1 - maps.amax(1, keepdim=True)], 1)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_right_maps_cost_nothing_and_others_do(loss):
    wanted, design = targets(), design_of(loss)
    best = found_maps(loss, wanted)
    assert float(maps_loss([best], wanted, design)) < 1e-4
    flat = torch.zeros_like(best)
    moved = torch.roll(best, 3, dims=-1)
    assert float(maps_loss([flat], wanted, design)) > 0.5
    assert float(maps_loss([moved], wanted, design)) > 0.5
    both = float(maps_loss([best, flat], wanted, design))
    alone = float(maps_loss([flat], wanted, design))
    assert both == pytest.approx(alone / 2, rel=1e-3)  # every stage has its loss


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_keypoint_without_a_label_teaches_nothing(loss):
    wanted, design = targets(), design_of(loss)
    weight = wanted.weight.clone()
    weight[0, 3] = 0
    maps = torch.zeros_like(found_maps(loss, wanted)).requires_grad_()
    maps_loss([maps], replace(wanted, weight=weight), design).backward()
    assert float(maps.grad[0, 3].abs().max()) == 0
    assert float(maps.grad[0, 4].abs().max()) > 0
    if loss == "mse":  # where a point is unknown, so is the background
        assert float(maps.grad[0, 21].abs().max()) == 0
        assert float(maps.grad[1, 21].abs().max()) > 0


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_weights_are_relative(loss):
    wanted, design = targets(), design_of(loss)
    weight = wanted.weight.clone()
    weight[0] = 0.25
    maps = torch.zeros_like(found_maps(loss, wanted)).requires_grad_()
    maps_loss([maps], replace(wanted, weight=weight), design).backward()
    light, heavy = maps.grad[0, :21].abs().sum(), maps.grad[1, :21].abs().sum()
    assert float(light / heavy) == pytest.approx(0.25, rel=0.25)


def outputs(wanted, off=0.0):
    count = len(wanted.uv)
    uvz = torch.cat([wanted.uv + off, torch.zeros(count, 21, 1)], -1).reshape(count, 63)
    ones = torch.full((count, 1), 1 - 1e-6)
    return [uvz, ones, ones, torch.zeros(count, 63)]


def test_the_right_landmarks_cost_nothing_and_far_ones_no_more_than_their_distance():
    wanted = targets(low=60, high=160)
    kept = outputs(wanted)
    cost = [
        float(landmark_loss(outputs(wanted, off), kept, wanted, 224, 0.5)) for off in (0, 2, 20, 40)
    ]
    assert cost[0] < 1e-3
    assert cost[1] > 0.3
    assert cost[3] / cost[2] == pytest.approx(2, rel=0.1)


def test_an_uncertain_label_pulls_less():
    wanted = targets(low=60, high=160)
    far = outputs(wanted, 5)
    vague = replace(wanted, sigma=wanted.sigma + 20)
    costs = [float(landmark_loss(far, far, t, 224, 0)) for t in (wanted, vague)]
    assert costs[1] < costs[0] / 5


def test_what_labels_do_not_say_stays_with_the_original():
    wanted = targets(low=60, high=160)
    kept, found = outputs(wanted), outputs(wanted)
    found[3] = found[3] + 0.02  # the world output has left
    assert float(landmark_loss(found, kept, wanted, 224, 0.0)) < 1e-3
    assert float(landmark_loss(found, kept, wanted, 224, 0.5)) > 0.5
    # a crop elsewhere: presence follows the original, not the labels
    none = replace(wanted, hand=torch.zeros(2), weight=wanted.weight * 0)
    low = torch.full((2, 1), 1e-3)
    unsure = [kept[0], low, kept[2], kept[3]]
    assert float(landmark_loss(unsure, unsure, none, 224, 0.5)) < 0.01
    assert float(landmark_loss(kept, unsure, none, 224, 0.5)) > 1
    assert float(landmark_loss(unsure, unsure, wanted, 224, 0.5)) > 1  # a labelled hand is one


def test_a_hand_of_unknown_side_teaches_no_side():
    wanted = targets(low=60, high=160)
    unknown = replace(wanted, right=torch.full((2,), float("nan")))
    kept, found = outputs(wanted), outputs(wanted)
    found[2] = torch.full((2, 1), 0.01)
    assert float(landmark_loss(found, kept, unknown, 224, 0.5)) < 1e-3
    assert float(landmark_loss(found, kept, wanted, 224, 0.5)) > 0.5
