"""How long the controllers' Lease holds, where no setting says otherwise: for the process and its command line alike.

Apart from the election, so that the command line need not load a client to print its help.
"""

DURATION_SECONDS = 15
"""How long the Lease holds once its holder is silent."""
RENEW_SECONDS = 10
"""A leader that could not renew it for so long stops."""
RETRY_SECONDS = 2
"""Between two tries."""
