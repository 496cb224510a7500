"""Checks of raw snapshots and tables: completeness, data contract, reconciliation."""
