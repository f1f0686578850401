"""The other side of each comparison."""
