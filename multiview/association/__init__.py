"""Which detection in each view is which hand, whose, and which keypoint is which.

A detector says what each picture holds, in no common order, and often calls a left hand a right
one. Geometry decides instead:

1. `epipolar`: candidates of two views that lie on each other's epipolar lines are compatible; the
   pair that most others are compatible with (cycles of three) proposes a hand.
2. `extract`: the views vote on it, it is made from those that agree, its candidates are taken out,
   and the rest is asked for the next; then all hands of a frame share the candidates anew, each
   view by the assignment of least error.
3. `tracks`: hands are followed by prediction and global assignment, over absences of up to a
   second; `fill` looks for what a track says must be there.
4. `sides`, `naming`: the detector's left/right opinions are summed over views and time, with the
   way the fingers bend; tracks become the slots of axis H.

`repair` finds fingers and hands that a single view confused, against the 3D of the others;
`as_triangulated` gives detections the order that triangulation used.
"""

from multiview.association.as_triangulated import as_triangulated
from multiview.association.assign import Association, assign_hands, associate
from multiview.association.candidates import AGREE_BOX, palm_keypoints
from multiview.association.repair import Repairs, find_repairs, no_repairs
from multiview.association.sides import MAX_LOGIT

__all__ = [
    "AGREE_BOX",
    "MAX_LOGIT",
    "Association",
    "Repairs",
    "as_triangulated",
    "assign_hands",
    "associate",
    "find_repairs",
    "no_repairs",
    "palm_keypoints",
]
