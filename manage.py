#!/usr/bin/env python3
"""Octavo's command line.

`platform/` is a source root, so it is put on the path before Django starts.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main() -> None:
    if sys.version_info < (3, 12):  # noqa: UP036  this very check must run on an old Python
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"Octavo needs Python 3.12 or newer; this is {found}. Install 3.12, then run `make up`."
        )
    sys.path.insert(1, str(ROOT / "platform"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "octavo.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    except OperationalError as error:
        sys.exit(
            f"The database does not answer: {error}\nStart Octavo with `make up`, then try again."
        )


if __name__ == "__main__":
    main()
