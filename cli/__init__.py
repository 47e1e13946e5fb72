"""The command ``asya-operator``."""
