"""Typed events, run reports, run logs and notifications."""
