"""Builds all files of a release from this checkout. It publishes nothing."""
