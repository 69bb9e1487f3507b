from app.kit.errors import AppError, Conflict, FieldProblem, InvalidInput


class TaskCycle(InvalidInput):
    code, title = "task_cycle", "A task cannot be its own subtask, at any depth"

    def __init__(self, pointer: str) -> None:
        super().__init__(errors=[FieldProblem(pointer, "task_cycle", self.title)])


class TooDeep(InvalidInput):
    code, title = "task_too_deep", "Subtasks nest too deep"

    def __init__(self, pointer: str, limit: int) -> None:
        message = f"Subtasks nest at most {limit} levels deep"
        super().__init__(message, errors=[FieldProblem(pointer, "task_too_deep", message)])


class ProjectGone(Conflict):
    code, title = "project_gone", "The task's project is deleted or archived"


class BulkRejected(InvalidInput):
    """What was wrong with one entry, its pointers leading into the bulk."""

    code, title = "bulk_rejected", "One of the entries is not valid, so nothing was written"

    def __init__(self, entry: str, cause: AppError) -> None:
        inner = cause.errors or (FieldProblem("", cause.code, cause.detail),)
        problems = [FieldProblem(entry + problem.pointer, problem.code, problem.message) for problem in inner]
        super().__init__(f"{entry}: {cause.detail}", errors=problems)
