"""What talks to the cluster: watch caches, writes, and all that is decided between a read and a write."""
