"""Store objects in a bucket of Google Cloud Storage."""
