"""Run the uploads: one supervisor a spool, and its worker processes."""
