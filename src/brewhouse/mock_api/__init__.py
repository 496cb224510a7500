"""A small mock of the Open Brewery DB API, and generated breweries for it."""
