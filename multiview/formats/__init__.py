"""One file format a module: ``read_*`` and ``write_*``; values in, values out."""
