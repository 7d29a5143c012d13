"""What the server tells about itself.

Events, who hears them, metrics and log lines. It decides nothing.
"""
