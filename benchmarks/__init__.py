"""Ratios of what the package costs to what its parts cost at least: `make bench` prints them in one table."""
