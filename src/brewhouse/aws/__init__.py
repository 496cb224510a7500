"""Brewhouse in an AWS account: the stack, its deployment and removal, its jobs, and Athena."""
