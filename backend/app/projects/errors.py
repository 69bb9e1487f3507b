from app.kit.errors import Conflict


class ProjectKeyExists(Conflict):
    code, title = "project_key_exists", "Another project of this workspace has this key, or had it"


class InboxStays(Conflict):
    code, title = "inbox_stays", "The inbox cannot be deleted or archived"
