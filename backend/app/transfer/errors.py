"""Why a file is refused as a whole. Errors of single rows are `model.Problem`s."""

from app.kit.errors import InvalidInput


class FileRejected(InvalidInput):
    """Nothing of the file can be used; the code says why."""


class UnknownFileFormat(FileRejected):
    code, title = "unknown_file_format", "The kind of file is not known; name it in `format`"


class WrongFileFormat(FileRejected):
    code, title = "wrong_file_format", "The file is not of the format that was named"


class UnreadableFile(FileRejected):
    code, title = "unreadable_file", "The file cannot be read as text"


class InvalidMapping(FileRejected):
    code, title = "invalid_mapping", "The columns of the table cannot be matched with the fields of a task"
