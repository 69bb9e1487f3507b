"""Stored files: bytes in storage, a row that says whose they are."""
