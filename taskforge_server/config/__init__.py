"""The server's settings.

What there is, and where each value came from. It reads nothing by itself.
"""
