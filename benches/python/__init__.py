"""What is measured through the Python API."""
