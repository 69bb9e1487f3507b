"""Doors to the outside: settings, database, Redis, broker, storage, logging, metrics."""
