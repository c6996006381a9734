"""Every refusal is OpenAI's error object, so that clients' SDKs raise the errors they know.

    Problem
    ├── InvalidRequest     400  the request itself is wrong; repeating it does not help
    ├── ModelNotFound      404  no such model here
    └── ModelUnavailable   503  the model's file is missing, unreadable or still loading

Shape: https://platform.openai.com/docs/guides/error-codes
"""

from typing import Any


class Problem(Exception):
    status = 500
    type = "server_error"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param

    def body(self) -> dict[str, Any]:
        return error_body(message=str(self), type=self.type, code=self.code, param=self.param)


class InvalidRequest(Problem):
    status = 400
    type = "invalid_request_error"


class ModelNotFound(Problem):
    status = 404
    type = "invalid_request_error"


class ModelUnavailable(Problem):
    status = 503


def error_body(
    *, message: str, type: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}
