"""Hold every store to the contract: the shipped conformance suite, and a store that fails."""
