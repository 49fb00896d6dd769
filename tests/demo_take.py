"""The first frames of the embedded demo take or board film, as a capture of their own."""

from fractions import Fraction
from pathlib import Path

import av

from multiview.capture import open_capture
from multiview.stages.demo import demo_data


def cut_take(folder: Path, sets: int, film: str = "take", fps: int = 30) -> Path:
    """Encode the first frame sets of a film of the demo again, nearly without loss."""
    take = open_capture(demo_data() / film)
    folder.mkdir(parents=True, exist_ok=True)
    for view, name in enumerate(take.names):
        with av.open(str(folder / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("libx264", Fraction(fps))
            stream.width, stream.height = take.sizes_wh[view]
            stream.pix_fmt, stream.options = "yuv420p", {"crf": "12", "preset": "ultrafast"}
            for _, image in take.images(view, 0, sets):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            container.mux(stream.encode())
    return folder
