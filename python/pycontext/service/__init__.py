"""What runs agents in production: who may work on what, what is measured, and what is served."""
