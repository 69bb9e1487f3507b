"""Why a file is refused as a whole. Errors of single rows are `model.Problem`s."""

from app.kit.errors import FieldProblem, InvalidInput


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


class InvalidProject(InvalidInput):
    code, title = "invalid_reference", "The input refers to something that does not exist"

    def __init__(self) -> None:
        super().__init__(errors=[FieldProblem("/project_id", "invalid_reference", "This does not exist")])
