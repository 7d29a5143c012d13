"""Runs users' functions.

The one worker loop, for a tenant's own process and for the server's pool alike.
"""
