"""Accounts over HTTP: registering, signing in and out, one's own profile."""
