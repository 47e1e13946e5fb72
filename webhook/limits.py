"""How many connections a worker has, where no setting says otherwise: for the process and its command line alike."""

PEER_CONNECTIONS = 256
"""Of one address in one worker. An API server has at most 200 mutating requests in flight, unless told otherwise."""
TOTAL_CONNECTIONS = 1024
"""In one worker, where the limit of open files allows it."""
