"""The cause of a broker's error, by the codes and words that brokers and their clients use.

The patterns match whole codes, never digits alone: a request id may contain "404". The first cause that matches wins.
So the broker's own errors come before errors of the connection.
"""

import re
from typing import Final, Literal

Cause = Literal["ExchangeMissing", "VhostMissing", "QueueMissing", "AccessDenied", "BrokerUnreachable"]

_WORDS: Final[dict[Cause, str]] = {
    # AMQP's reply texts, and the management API's responses.
    "ExchangeMissing": r"NOT_FOUND - no exchange\b",
    "VhostMissing": r"vhost '?[^'\s]*'? (?:not found|is down)|NOT_ALLOWED - vhost|no access to this vhost",
    "AccessDenied": (
        r"ACCESS_REFUSED|username or password not allowed|not_authori[sz]ed|Login failed|API status: 40[13]\b"
        r"|\bException \(403\)"
        # AWS error codes.
        r"|\bAccessDenied(?:Exception)?\b|\bInvalidClientTokenId\b|\bUnrecognizedClient(?:Exception)?\b"
        r"|\bSignatureDoesNotMatch\b|\bExpiredToken(?:Exception)?\b|\bInvalidIdentityToken\b|\bAuthFailure\b"
        r"|\bMissingAuthenticationToken\b|\bIncompleteSignature\b|\bKMS\.AccessDenied\w*"
        r"|no EC2 IMDS role found|failed to refresh cached credentials|static credentials are empty"
    ),
    "QueueMissing": (
        r"NOT_FOUND - no queue\b|\bno queue '|API status: 404\b|\bException \(404\)"
        r"|\bNonExistentQueue\b|\bQueueDoesNotExist\b|specified queue does not exist"
    ),
    "BrokerUnreachable": (
        r"no such host|connection refused|no route to host|network is unreachable|i/o timeout|connection timed out"
        r"|context deadline exceeded|connection reset by peer|x509: |tls: |certificate signed by unknown authority"
    ),
}
_PATTERNS: Final = {cause: re.compile(words, re.IGNORECASE) for cause, words in _WORDS.items()}


def cause_of(text: str) -> Cause | None:
    """The cause that the errors in ``text`` name; None if they name no known cause."""
    return next((cause for cause, pattern in _PATTERNS.items() if pattern.search(text)), None)
