"""Results for other programs: one file a format, all written in one step."""
