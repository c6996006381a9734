"""A process that adds lines to one entry, each to what it last read: `writer.py <name> <lines>`."""

import sys


def main(name: str, lines: int) -> None:
    import django

    django.setup()
    from apps.accounts import selectors as accounts
    from apps.context import selectors
    from apps.context.services import writing
    from octavo.kernel.errors import Conflict

    scope = accounts.system_scope(project_id=accounts.default_project().id)
    written = 0
    while written < lines:
        head = selectors.get_entry(scope=scope, space="notes", key="log")
        try:
            writing.write_entry(
                scope=scope,
                space="notes",
                key="log",
                content=f"{head.text} {name}.{written}",
                why=f"{name}.{written}",
                base_rev=head.revision.number,
            )
        except Conflict:
            continue
        written += 1


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
