"""Read back what was logged: fetch an artifact, or compare what the destination holds."""
