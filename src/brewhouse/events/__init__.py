"""What happened, in which run."""
