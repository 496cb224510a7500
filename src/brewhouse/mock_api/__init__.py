"""A small mock of the Open Brewery DB API and its data: generated breweries, or those of a CSV file."""
