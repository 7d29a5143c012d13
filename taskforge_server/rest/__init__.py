"""The HTTP face: it translates between HTTP and `operations`, and knows no SQL."""
