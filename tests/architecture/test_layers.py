"""A layer imports only lower layers' public modules, and every list has the same order."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from functools import cache

import grimp
from django.conf import settings

from tests.architecture.source import ROOT, imports, name_of, python_files, tree_of

PUBLIC = re.compile(r"apps\.\w+\.(services|selectors|types)(\.|$)")
ALSO_PUBLIC = {
    "apps.observability.metrics": "counters are objects that a layer increments in place"
}
EDGES = ("apps.api", "apps.console")
HTTP_CLIENTS = {
    "aiohttp",
    "http.client",
    "httpx",
    "httpx2",
    "requests",
    "urllib.request",
    "urllib3",
}
SPEAKS_HTTP = (  # the guarded way out, the model server, and what starts and probes processes
    "octavo.kernel.egress",
    "apps.inference.builtin",
    "octavo.devserver",
)
COMPOSITION = ("octavo.urls", "octavo.asgi")  # they assemble the edges, so they see inside them


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("octavo", "apps", "workers", cache_dir=None)


@cache
def contract_layers() -> tuple[str, ...]:
    """The layers of the import contract, top first, alternatives side by side."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c["type"] == "layers")
    return tuple(name.strip() for line in layers for name in line.split("|"))


def app_of(module: str) -> str:
    return ".".join(module.split(".")[:2]) if module.startswith("apps.") else ""


def private_imports(edges: Iterable[tuple[str, str]]) -> list[str]:
    """Imports that reach past another app's public modules."""
    return sorted(
        f"{importer} imports {imported}"
        for importer, imported in edges
        if app_of(imported) not in {"", app_of(importer)}
        and not PUBLIC.match(imported)
        and imported not in ALSO_PUBLIC
        and not (importer.startswith(COMPOSITION) and imported.startswith(EDGES))
    )


def all_imports() -> list[tuple[str, str]]:
    known = graph()
    return [
        (importer, imported)
        for importer in sorted(known.modules)
        for imported in known.find_modules_directly_imported_by(importer)
    ]


def imported_names() -> list[tuple[str, str]]:
    """Each module of ours with each name of `HTTP_CLIENTS` that it imports, lazily or not."""
    return [
        (name_of(path).removeprefix("platform/").removesuffix(".py").replace("/", "."), client)
        for path in python_files()
        for name in imports(tree_of(path))
        for client in HTTP_CLIENTS
        if name == client or name.startswith(f"{client}.")
    ]


def test_the_import_contracts_hold() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_public_modules_cross_apps() -> None:
    assert private_imports(all_imports()) == []


def test_every_further_public_module_is_needed() -> None:
    known = graph()
    importers = {name: known.find_modules_that_directly_import(name) for name in ALSO_PUBLIC}
    assert all({app_of(i) for i in found} - {app_of(n)} for n, found in importers.items())
    assert all(ALSO_PUBLIC.values())


def test_reaching_into_another_app_is_noticed() -> None:
    edges = [
        ("apps.tools.services", "apps.governance.models"),
        ("octavo.asgi", "apps.governance.models"),
        ("apps.tools.services", "apps.governance.services.budgets"),
        ("apps.tools.services", "apps.tools.models"),
        ("octavo.urls", "apps.api.rest.urls"),
    ]
    assert private_imports(edges) == [
        "apps.tools.services imports apps.governance.models",
        "octavo.asgi imports apps.governance.models",
    ]


def network_clients(edges: Iterable[tuple[str, str]]) -> list[str]:
    """Modules that speak HTTP and are neither an adapter nor one of those that may."""
    return sorted(
        importer
        for importer, imported in edges
        if imported in HTTP_CLIENTS
        and ".adapters." not in f"{importer}."
        and not importer.startswith(SPEAKS_HTTP)
    )


def test_only_adapters_speak_http_outwards() -> None:
    assert network_clients(imported_names()) == []


def test_a_client_outside_the_adapters_is_noticed() -> None:
    edges = [
        ("apps.tools.services", "aiohttp"),
        ("apps.tools.adapters.mcp", "aiohttp"),
        ("octavo.kernel.egress", "aiohttp"),
        ("apps.tools.selectors", "django"),
    ]
    assert network_clients(edges) == ["apps.tools.services"]


def test_installed_apps_follow_the_order_of_the_contract() -> None:
    ours = [name for name in settings.INSTALLED_APPS if name.startswith(("apps.", "octavo."))]
    assert ours == [name for name in contract_layers() if name not in {"octavo.urls", "workers"}]


def test_the_stack_picture_follows_the_order_of_the_contract() -> None:
    text = (ROOT / "apps" / "README.md").read_text()
    listed = re.findall(r"`(apps\.\w+)`", "\n".join(re.findall(r"^\d+\. .*$", text, re.MULTILINE)))
    assert listed == [name for name in contract_layers() if name.startswith("apps.")]
    picture = text.partition("```")[2].partition("```")[0]
    leading = [line.split()[0] for line in picture.splitlines() if line[1:2].isalpha()]
    drawn = ["apps.api", "apps.console", *(f"apps.{name}" for name in leading if "." not in name)]
    drawn = [name for name in drawn if name in contract_layers()]
    assert sorted(set(drawn), key=drawn.index) == listed


def test_every_app_is_a_layer_of_the_contract() -> None:
    folders = {path.parent.name for path in (ROOT / "apps").glob("*/apps.py")}
    assert {f"apps.{name}" for name in folders} <= set(contract_layers())


def test_the_supervisor_knows_no_app() -> None:
    reached = {
        imported
        for importer, imported in all_imports()
        if importer.startswith("octavo.devserver") and imported.startswith(("apps", "workers"))
    }
    assert reached == set()


def test_the_kernel_knows_the_supervisor_only_in_its_commands() -> None:
    reached = {
        importer
        for importer, imported in all_imports()
        if importer.startswith("octavo.kernel") and imported.startswith("octavo.devserver")
    }
    assert all(name.startswith("octavo.kernel.management.") for name in reached), reached
