"""Rigs of other programs: one file a format, units and pixel centres converted there.

A reader gives lengths in the file's own unit and says which; a writer is handed lengths in the unit
it states. `multiview.formats.rigs.foreign` chooses the format and converts.
"""
