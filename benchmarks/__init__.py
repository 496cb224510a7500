"""Times of whole processes; `python -m benchmarks` prints them as the tables of docs/performance.md."""
