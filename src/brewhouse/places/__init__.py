"""Places: ISO 3166 codes and canonical names for the places that the source names."""
