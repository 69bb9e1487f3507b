"""Task Management API: tasks, projects and durable background jobs."""

__version__ = "0.1.0"
SERVICE_NAME = "task-management-api"
