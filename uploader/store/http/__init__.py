"""Speak HTTP to an object store by the shortest way."""
