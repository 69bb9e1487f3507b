from app.kit.errors import Conflict


class TooManyAttachments(Conflict):
    code, title = "too_many_attachments", "The task has as many attachments as it may have"
