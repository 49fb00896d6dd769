"""Pure functions on arrays: lenses, projection, triangulation, alignment, metrics. No files."""
