"""Keep what was logged until it has arrived: the durable queue on the local disk."""
