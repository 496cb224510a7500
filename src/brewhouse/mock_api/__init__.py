"""A stand-in for the Open Brewery DB API, strict and fast, and data for it: invented or from a CSV file."""
