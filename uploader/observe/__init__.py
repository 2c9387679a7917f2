"""Let people see what goes on: log lines and progress, both on stderr."""
