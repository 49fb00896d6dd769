"""From 3D keypoints to training labels."""

from multiview.bootstrap.labels import LabelConfig, pseudo_labels

__all__ = ["LabelConfig", "pseudo_labels"]
