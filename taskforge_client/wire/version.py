"""The protocol's own number, apart from the packages' versions.

What each side speaks and still understands.
"""

PROTOCOL = 1
OLDEST_UNDERSTOOD = 1
