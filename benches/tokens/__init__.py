"""Counting against the libraries that count or encode, on texts that they have and have not seen."""
