"""Where the runtime script comes from: a file, or a release on GitHub."""
