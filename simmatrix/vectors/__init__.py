"""Readers of word-vector files: one module a format, and the table of them in `formats`."""
