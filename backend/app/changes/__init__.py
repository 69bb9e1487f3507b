"""The one record of what changed: history, feed, undo and webhooks read it; nothing else publishes events."""
