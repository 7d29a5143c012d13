"""What the server decides: values and a time in, values out.

No database, no clock, no randomness, no await.
"""
