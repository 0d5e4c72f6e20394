"""Labelling programmes as Dagster assets, each promoted by its Great Expectations gate."""

__version__ = "0.1.0"
