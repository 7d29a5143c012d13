"""Loops nobody calls: each service takes steps on the database and meets callers only there."""
