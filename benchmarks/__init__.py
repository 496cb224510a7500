"""Benchmarks of whole processes; `python -m benchmarks` prints the tables of docs/performance.md."""
