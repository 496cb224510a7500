"""The web console: a page to look at any lake."""
