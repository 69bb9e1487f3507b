"""The one record of what changed: the history and the figures read it; nothing else publishes events."""
