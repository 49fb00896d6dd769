"""Write mediapipe.json: MediaPipe's own results on tests/data/photos. See README.md."""

import json
import platform
from pathlib import Path

import cv2
import mediapipe as mp
from google.protobuf.json_format import MessageToDict

HERE = Path(__file__).parent
records = []
with mp.solutions.hands.Hands(static_image_mode=True, max_num_hands=2) as hands:
    for file in sorted((HERE.parent / "photos").glob("*.jpg")):
        image = cv2.imread(str(file))
        found = hands.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        record = {"file_name": file.name, "width": image.shape[1], "height": image.shape[0]}
        for key in ("multi_hand_landmarks", "multi_handedness"):
            record[key] = [MessageToDict(m) for m in getattr(found, key) or []]
        records.append(record)
(HERE / "mediapipe.json").write_text("[\n" + ",\n".join(map(json.dumps, records)) + "\n]\n")
print("python", platform.python_version(), "mediapipe", mp.__version__, "opencv", cv2.__version__)
