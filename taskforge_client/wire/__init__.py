"""The one wire schema of TaskForge: frozen values and their codec, without any I/O.

Both distributions speak only these values to each other, whether they travel as JSON, as
MessagePack or as SQL arguments. Nothing in here reads a clock, a random source or the network.
"""
