"""Calls to others over HTTP as jobs: tried again, each time with the same key."""
