"""The manual: its commands, its YAML and its pictures."""
