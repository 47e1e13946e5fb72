"""Tests of the manual: its commands, its YAML and its pictures."""
