"""Measures what the product costs, side by side with what it is compared to; run scripts/bench."""
