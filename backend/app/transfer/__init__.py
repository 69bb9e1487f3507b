"""Tasks in from other products, and out again."""
