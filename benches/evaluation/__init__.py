"""What is checked against recorded data."""
