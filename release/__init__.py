"""Makes everything that a release consists of, from this checkout alone; what is published is up to whoever runs it."""
