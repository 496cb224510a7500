"""Commands: thin, they parse, call a job or the lake, and print."""
