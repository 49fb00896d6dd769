"""Paths over time: an explicit step after triangulation, never a silent one.

`multiview.smoothing.take.smooth` looks both ways and needs the whole take;
`multiview.smoothing.live.LiveSmoother` looks back only.
"""
