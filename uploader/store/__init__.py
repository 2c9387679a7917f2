"""Put objects where they belong: one contract, a file for each store."""
