"""One module a page: its HTML routes, and the same data as JSON below `/api/v1/`."""
