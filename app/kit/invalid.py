"""The error of values that are refused."""


class InvalidValueError(ValueError):
    """A value is refused; the text is written for whoever gave it, and quotes no secret.

    Validators of pydantic models may raise it: it becomes a fault, as any `ValueError` does.
    """
