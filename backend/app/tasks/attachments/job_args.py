"""What the job that makes thumbnails is told."""

from app.kit.schema import Id
from app.worker import JobArgs


class ImageArgs(JobArgs, kind="image.process", queue="images", max_attempts=3, timeout=120.0):
    """Makes the thumbnails of an attachment that is an image."""

    attachment_id: Id
