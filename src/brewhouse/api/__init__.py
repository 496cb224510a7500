"""The source, the Open Brewery DB API: contract, client, pages, rate limit and schema drift."""
