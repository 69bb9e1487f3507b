"""What operators see and do across all workspaces. For superusers."""
