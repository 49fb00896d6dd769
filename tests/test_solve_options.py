from __future__ import annotations

from typing import get_args

from multiview.calib.layout import LENS_TERMS
from multiview.stages.solve_options import Lens, SolveOptions


def test_the_lenses_offered_are_those_there_are():
    assert set(get_args(Lens)) == {*LENS_TERMS, "auto"}


def test_groups_of_cameras_are_told_by_names_or_all():
    names = ("a", "b", "c")
    given = SolveOptions(shared=("a,b",)).arguments(names)
    assert given["shared_lens"] == [("a", "b")]
    assert SolveOptions(shared=("all",)).arguments(names)["shared_lens"] == [names]
