"""Near-duplicates: what finds them, and how fast."""
