from app.kit.errors import FieldProblem, InvalidInput


class PeriodInvalid(InvalidInput):
    code, title = "invalid_period", "The period of the report is empty or too long"

    def __init__(self, message: str) -> None:
        super().__init__(message, errors=[FieldProblem("/since", self.code, message)])
