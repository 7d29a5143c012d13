"""Verbs somebody calls: one function each, from a caller and a wire request to a wire answer.

Who may do what is decided here, once, for every interface. Loops that nobody calls are `engine`.
"""
