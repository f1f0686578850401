"""What ours is compared with, in plain Python: the same units, pins, budget and rendering, another order."""
