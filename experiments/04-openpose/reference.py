"""Store what OpenCV 4's own Caffe importer makes of the small network of the tests.

``python reference.py ../../tests/models/reference_caffe.npz``, with OpenCV 4: version 5 has no
Caffe importer, so CI compares with the stored numbers.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "models"))
import caffe_files as files


def main(target: str) -> None:
    """Run the network written in the old and in the present form."""
    found = {}
    for name, v1 in (("v1", True), ("v2", False)):
        with tempfile.TemporaryDirectory() as folder:
            model = files.caffemodel(files.mixed_weights(), v1=v1, legacy=v1)
            paths = files.write(folder, files.mixed_prototxt(v1=v1), model)
            net = cv2.dnn.readNetFromCaffe(*map(str, paths))
        net.setInput(files.mixed_input(), "image")
        found[name] = net.forward("out")
        print(name, found[name].shape, "range", found[name].min(), found[name].max())
    print("largest difference of the two", np.abs(found["v1"] - found["v2"]).max())
    np.savez_compressed(target, out=found["v2"], opencv=cv2.__version__)


if __name__ == "__main__":
    main(sys.argv[1])
