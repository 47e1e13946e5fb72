"""The source of the runtime script: a file, or a release on GitHub."""
