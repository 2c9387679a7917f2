"""Spool files that appear in a directory, once they are complete."""
