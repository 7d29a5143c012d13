"""The version of this distribution, read by the build and by nothing else at import time."""

__version__ = "0.1.0"
