"""Keeping the tables small: what has served its time is deleted."""
