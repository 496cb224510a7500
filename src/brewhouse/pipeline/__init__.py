"""Extract, transform, aggregate, and the workflow that runs them: read these four and you know the product."""
