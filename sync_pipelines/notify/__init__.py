"""Who is told of what: from outcomes by rules into the outbox, and from there to people."""
