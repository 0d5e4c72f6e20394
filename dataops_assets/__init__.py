"""Labelling programmes as Dagster assets, each promoted by its Great Expectations gate."""

import warnings

# Partitioned asset checks and loading of components are in preview in Dagster 1.13: it is pinned for them, and people who run
# a command can't do anything about it.
warnings.filterwarnings("ignore", message=".* is currently in (preview|beta), and may have breaking changes.*")

__version__ = "0.1.0"
