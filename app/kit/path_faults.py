"""What is wrong with a JMESPath, in our words: the library's quote the values that it was given."""

from jmespath.exceptions import (
    ArityError,
    EmptyExpressionError,
    JMESPathTypeError,
    ParseError,
    UnknownFunctionError,
)


def path_fault(error: Exception) -> str:
    """What a path's author reads of an error that compiling or following it raised."""
    match error:
        case ArityError():
            fault = f"{error.function_name}() takes {error.expected_arity} argument(s)"
        case JMESPathTypeError():
            fault = f"{error.function_name}() takes no value of the type {error.actual_type}"
        case ParseError():
            fault = f"it cannot be read from column {error.lex_position + 1} on"
        case EmptyExpressionError():
            fault = "it is empty"
        case UnknownFunctionError():
            fault = "it calls a function that there is not"
        case RecursionError():
            fault = "it nests too deeply"
        case _:
            fault = "it does not fit the data"
    return fault
