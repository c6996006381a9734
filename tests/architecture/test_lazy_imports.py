"""Web and worker processes stay small: heavy libraries are imported where they are used."""

import os
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT

HEAVY = {
    "anthropic",
    "genai_prices",
    "kreuzberg",
    "onnxruntime",
    "openai",
    "pypdfium2",
    "torch",
    "transformers",
    "tree_sitter",
    "vllm",
    "xllamacpp",
}
WEB = "import octavo.asgi, octavo.urls"
WORKER = "import workers; workers.app.loader.import_default_modules()"
REPORT = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def modules_after(statement: str) -> set[str]:
    """Top-level names in `sys.modules` of a fresh process that has run `statement`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{REPORT}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", [WEB, WORKER], ids=["web", "worker"])
def test_a_fresh_process_has_imported_nothing_heavy(statement: str) -> None:
    loaded = modules_after(statement)
    assert "django" in loaded
    assert loaded & HEAVY == set()


def test_a_web_process_does_not_import_celery() -> None:
    assert "celery" not in modules_after(WEB)


def test_an_early_import_would_be_noticed() -> None:
    assert modules_after("import genai_prices") & HEAVY
