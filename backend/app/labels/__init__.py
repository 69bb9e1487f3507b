"""Labels: words on tasks."""
