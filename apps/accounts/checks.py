"""What an identity may be called: an address that mail can reach, a name that fits on a line."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from octavo.kernel.errors import InvalidInput


def checked_email(email: str) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidInput(
            f"{email!r} is not an e-mail address. Correct it; the first admin's "
            "is OCTAVO_ADMIN_EMAIL.",
            errors=[{"path": "/email", "detail": "is not an e-mail address"}],
        ) from None
    return email


def checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 200:
        raise InvalidInput(
            "A name has 1 to 200 characters.",
            errors=[{"path": "/name", "detail": "must have 1 to 200 characters"}],
        )
    return name
