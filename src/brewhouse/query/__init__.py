"""SQL over the published tables: views, read-only connections, saved queries."""
