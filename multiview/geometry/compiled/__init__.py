"""Loops over points, compiled by numba; imported on first use only, for numba takes a second.

Compiled code is kept on disk beside the sources (or where ``NUMBA_CACHE_DIR`` says): the first run
of an installation compiles for some twenty seconds, later ones load it. Kernels release the
interpreter's lock and are spread over cores by plain threads (`multiview.geometry.threads`):
numba's own parallel loops may neither be forked nor, with its portable backend, be called from two
threads.
"""
