"""The verbs of the command line: each reads folders, calls the library, writes one folder."""
