"""`manage.py bootstrap`: everything a first start needs, made where it is missing. Run at every
start.
"""

from typing import Any

import orjson
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts import services as accounts
from apps.accounts.types import Installation
from apps.console import seeding
from apps.inference.services import discovery
from apps.model_registry import services as model_registry
from octavo.kernel.errors import OctavoError


class Command(BaseCommand):
    help = "Create the first project, admin, key, routes, spaces and agent where they are missing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print one JSON object, no prose.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = bootstrap()
        except OctavoError as error:
            raise CommandError(error.detail) from error
        if options["json"]:
            self.stdout.write(orjson.dumps(found).decode())
        else:
            self._tell(found)

    def _tell(self, found: dict[str, Any]) -> None:
        model, handbook = found["model"], found["handbook"]
        self.stdout.write(f"Project        {found['project']}")
        self.stdout.write(f"Admin          {found['admin_email']}")
        self.stdout.write(f"Sign in (once) {found['login_url']}")
        self.stdout.write(f"API key        {found['api_key'] or '(created earlier)'}")
        self.stdout.write(f"Model          {model['name']} ({model['tier']}, {model['source']})")
        self.stdout.write(
            f"Handbook       {handbook['files']} pages, {handbook['changed']} changed"
        )
        for line in (model["hint"], handbook["problem"]):
            if line:
                self.stdout.write(line)


def bootstrap() -> dict[str, Any]:
    """Idempotent. The API key is in the answer of the call that made it, and in no other."""
    installation = accounts.bootstrap_installation(
        admin_email=settings.ADMIN_EMAIL,
        admin_password=settings.ADMIN_PASSWORD,
        api_key=settings.BOOTSTRAP_API_KEY,
    )
    model = _ensure_model(installation)
    seeded = seeding.seed_project(scope=installation.scope, root=settings.BASE_DIR)
    link = accounts.issue_login_link(email=installation.admin_email)
    issued = installation.issued_key
    return {
        "project": installation.project.slug,
        "admin_email": installation.admin_email,
        "admin_password_set": _has_password(installation.admin_email),
        "login_url": f"{settings.PUBLIC_URL}{link}",
        "api_key": issued.secret if issued else None,
        "model": model,
        "handbook": {
            "files": seeded.files,
            "changed": seeded.changed,
            "problem": seeded.problem,
        },
    }


def _ensure_model(installation: Installation) -> dict[str, str]:
    found = discovery.find_model()
    route = model_registry.ensure_default_routes(scope=installation.scope, found=found)
    model = route.targets[0].model
    is_found = (model.provider, model.name) == (found.provider, found.name)
    return {
        "name": model.name,
        "provider": model.provider,
        "tier": str(model.tier),
        "source": found.source if is_found else "route `default` as it was set",
        "hint": found.hint if is_found else "",
    }


def _has_password(email: str) -> bool:
    users = get_user_model()._default_manager
    return users.get(email=email).has_usable_password()
