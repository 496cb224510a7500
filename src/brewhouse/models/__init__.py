"""The SQL of every table, and the columns' definitions."""
