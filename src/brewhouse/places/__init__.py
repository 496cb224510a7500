"""Names of countries, subdivisions and cities: how a place is called, and its ISO 3166 codes."""
