"""How many hands of pictures a palm network finds, and how often it finds one where none is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from multiview._shapes import F64, BoolArray
from multiview.models.card import InputSpec
from multiview.models.mediapipe_palm import INPUT_SIZE, OUTPUTS, decode, suppress
from multiview.train.graph_net import GraphNet
from multiview.train.palm import palms_of, rois_of_palms
from multiview.train.pictures import PictureSet, plain_inputs

__all__ = ["PalmScore", "count_palms", "fits", "found_palms", "validate_palms"]

RUN_AT = 0.5  # score from which detection takes a palm
# A crop fits another if the landmark network reads the same hand in both: it is trained on crops
# that are moved, scaled and turned, and less than these.
MOVED, SCALED, TURNED = 0.25, 1.6, np.pi / 4
BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PalmScore:
    """Hands found in the validation pictures.

    Parameters
    ----------
    found
        Share of the labelled hands for which there is a palm of at least `threshold` whose crop
        fits theirs.
    threshold
        Lowest score, from that of detection on, with no more false palms than allowed.
    false_palms
        A picture, at the score of detection: palms that fit no labelled hand.
    found_as_run
        As `found`, at the score of detection.
    """

    found: float
    threshold: float
    false_palms: float
    found_as_run: float

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better: hands found, then few false palms."""
        return self.found, -self.false_palms

    @property
    def text(self) -> str:
        """For the log."""
        return (
            f"{self.found:.3f} of the hands found from score {self.threshold:.2f} on, "
            f"{self.false_palms:.3f} false palms a picture"
        )


def validate_palms(
    net: GraphNet, pictures: PictureSet, spec: InputSpec, max_false: float, device: torch.device
) -> PalmScore:
    """Search all validation pictures as detection would."""
    was = net.training
    net.eval()
    pairs = []
    with torch.no_grad():
        for image, points in plain_inputs(pictures, spec, BATCH):
            found = net(torch.from_numpy(image).to(device), OUTPUTS)
            raw, logits = (found[name].double().cpu().numpy() for name in OUTPUTS)
            for each, logit, xy in zip(raw, logits[..., 0], points, strict=True):
                palms = palms_of(xy)
                wanted = rois_of_palms(palms[np.isfinite(palms).all((1, 2))])
                pairs.append((*found_palms(each, logit), wanted))
    net.train(was)
    return count_palms(pairs, max_false)


def found_palms(raw: F64, logits: F64) -> tuple[F64, F64]:
    """Scores (M,) and crops (M, 4) of the palms that detection would find [input px]."""
    scores, palms = suppress(*decode(raw, logits, RUN_AT))
    return scores, rois_of_palms(palms * INPUT_SIZE)


def fits(rois: F64, wanted: F64) -> BoolArray:
    """Whether crops (M, 4) show the hands of other crops (H, 4) as well, shape (M, H)."""
    a, b = rois[:, None], wanted[None]
    near = np.linalg.norm(a[..., :2] - b[..., :2], axis=-1) < MOVED * b[..., 2]
    alike = np.abs(np.log(a[..., 2] / b[..., 2])) < np.log(SCALED)
    turned = np.abs((a[..., 3] - b[..., 3] + np.pi) % (2 * np.pi) - np.pi) < TURNED
    return np.asarray(near & alike & turned, np.bool_)


def count_palms(pairs: Iterable[tuple[F64, F64, F64]], max_false: float) -> PalmScore:
    """Count over pictures.

    Parameters
    ----------
    pairs
        For each picture scores and crops of what was found, and crops of the labelled hands.
    max_false
        False palms a picture that are allowed.
    """
    best, wrong, pictures = list[float](), list[float](), 0
    for scores, rois, wanted in pairs:
        good = fits(rois, wanted)
        best += [float(scores[hit].max(initial=0.0)) for hit in good.T]
        wrong += scores[~good.any(axis=1)].tolist()
        pictures += 1
    falling = np.sort(np.array(wrong))[::-1]
    allowed = int(max_false * pictures)
    # just above the first false palm that is too many
    limit = np.nextafter(falling[allowed], 2.0) if len(falling) > allowed else RUN_AT
    reached = np.array(best)
    return PalmScore(
        found=float((reached >= limit).mean()),
        threshold=float(limit),
        false_palms=len(wrong) / pictures,
        found_as_run=float((reached >= RUN_AT).mean()),
    )
