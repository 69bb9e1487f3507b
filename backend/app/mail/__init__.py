"""Messages to people: one job each, so that each is tried by itself."""
