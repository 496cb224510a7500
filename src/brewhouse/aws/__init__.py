"""Brewhouse in an AWS account: the stack, deploying and removing it, its jobs, Athena."""
