"""Files on a task, and the thumbnails of those that are images."""
