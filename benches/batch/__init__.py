"""Batches: a gigabyte of conversations from lines to lines, and Arrow tables."""
