"""Pieces of pages that need no network and no other file: style, SVG, tables."""
