"""SQL on the published tables: views, read-only connections, saved queries."""
