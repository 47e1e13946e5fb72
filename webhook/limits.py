"""Default limits for the connections of a worker. The webhook process and the command line both use them."""

PEER_CONNECTIONS = 256
"""Maximum per peer address and worker. By default, an API server has at most 200 mutating requests in flight."""
TOTAL_CONNECTIONS = 1024
"""Maximum per worker. The limit for open files may lower it."""
