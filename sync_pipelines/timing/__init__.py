"""When: which instants a cadence means in a zone, and how to say it in words. Pure."""
