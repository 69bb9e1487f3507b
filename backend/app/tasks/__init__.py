"""Users' to-do items."""
