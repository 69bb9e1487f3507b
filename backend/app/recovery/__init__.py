"""Backups of the database and the stored files, proven by restoring them."""
