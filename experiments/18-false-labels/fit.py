"""Fit the risk of labels that ships with the package.

Run from the repository's root::

    python experiments/18-false-labels/fit.py [--out FILE]

Fitted on `dome8` and `multi10`; labels are counted by a model of the other of the two, and on
`demo8` and `start4` by the fitted one. `train12` and `dome31` are left for `run.py` to check on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml
from captures import WRONG, label_take, read_take

import multiview
from multiview.bootstrap.promise import upper_bound
from multiview.bootstrap.risk_fit import fit_risk
from multiview.stage import provenance

FITTED, COUNTED = ("dome8", "multi10"), ("demo8", "start4")
SHIPPED = Path(multiview.__file__).parent / "bootstrap/data/label_risk.yaml"
SEED = 0


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=SHIPPED)
    out = parser.parse_args().out
    fitted = [label_take(read_take(n)).verified for n in FITTED]
    counted = [label_take(read_take(n)).verified for n in COUNTED]
    versions = provenance()
    about = (
        f"MediaPipe hand (full, shipped), whole-finger triangulation; rendered captures "
        f"{' and '.join(FITTED)}, counted on {' and '.join(COUNTED)} too; "
        f"experiments/18-false-labels/fit.py, seed {SEED}, multiview {versions['multiview']}, "
        f"numpy {versions['numpy']}"
    )
    model = fit_risk(fitted, about, WRONG, np.random.default_rng(SEED), also=counted)
    text = yaml.safe_dump(
        model.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=1000
    )
    out.write_text("# Risk of labels: written by experiments/18-false-labels/fit.py\n" + text)
    print(versions)
    w = np.array(model.weights)
    print("\n| cue | weight (log odds a standard deviation) | its standard deviation |")
    print("| --- | ---: | ---: |")
    for i, name in enumerate(model.cues, start=1):
        print(f"| {name} | {w[0, i]:.2f} | {w[1:, i].std():.2f} |")
    print("\n| risk at most | labels | false | count as one | 95 % bound by counting |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for c in model.counts:
        bound = upper_bound(c.false, c.labels, c.together)
        print(f"| {c.risk} | {c.labels} | {c.false} | {c.together} | {bound:.4f} |")


if __name__ == "__main__":
    main()
