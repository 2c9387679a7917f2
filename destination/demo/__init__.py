"""Trains a small model on a local destination, kills it again and again, and counts what arrived.

- Everything is real: a network that learns, checkpoints of its weights and its optimizer, the
  product's own processes, SIGKILL. Nothing is slowed down to be hit: the kill waits for an upload
  that is under way.
- The trainer keeps a diary of its own, apart from the spool. The verdict compares that diary with
  the destination's files, so a spool that forgot something cannot vouch for itself.
"""
