"""Versions of the dataset's CSV, from files or git, as raw snapshots."""
