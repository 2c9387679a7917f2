"""Offer the uploader as a command line: one file per command, loaded when it is run."""
