"""The Open Brewery DB API: contract, paging, throttle, retries."""
