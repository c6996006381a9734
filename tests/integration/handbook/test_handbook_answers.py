"""The documentation answers what newcomers ask, in its own sentences, without a real model."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from apps.accounts.types import Installation
from apps.console.seeding import HANDBOOK, seed_project
from apps.context.services import searching
from apps.inference.services import discovery
from apps.model_registry import services as registry

ROOT = Path(__file__).resolve().parents[3]
MODELS = Path(os.environ.get("OCTAVO_MODELS_DIR") or Path.home() / ".cache/octavo/models")

pytestmark = pytest.mark.skipif(
    not (MODELS / "minilm" / "tokenizer.json").is_file(),
    reason=f"the built-in models are not in {MODELS}; set OCTAVO_MODELS_DIR",
)

# A question, and what a useful answer must hold.
ANSWERED = {
    "How do I add my own files to a space?": "context add",
    "How can I add my documents?": "context add",
    "How do I create an API key?": "/api/v1/keys",
    "How do I revoke an API key?": "DELETE /api/v1/keys",
    "How do I add a model?": ".env",
    "How do I use OpenAI?": "OPENAI_API_KEY",
    "How do I stop Octavo?": "Ctrl-C",
    "Where is the data stored?": ".data",
    "How do I make a backup?": ".data",
    "How do I restore a backup?": ".data",
    "How do I upgrade?": "git pull",
    "How do I create an agent?": "POST /api/v1/agents",
    "How do I start a run?": "POST /api/v1/runs",
    "How do I cancel a run?": "/cancel",
    "What is a run?": "from its input to its answer",
    "What is an approval?": "waits for a person",
    "What is a citation?": "revision",
    "What is a space?": "entries",
    "What is a budget?": "bounds",
    "How do I approve a call?": "/decide",
    "What happens when a worker is killed?": "journal",
    "How do I change the port?": "OCTAVO_PORT",
    "How do I ask an agent from the terminal?": "manage.py run",
    "How do I get a new login link?": "make up",
    "Which file formats can be read?": "Markdown",
    "How do I reach an internal host?": "OCTAVO_EGRESS_ALLOW",
}
UNANSWERED = [
    "What is the capital of France?",
    "How many moons does Jupiter have?",
    "Who won the football world cup in 1998?",
    "How do I bake sourdough bread?",
]


@pytest.fixture
def handbook(installation: Installation, processes: Any, free_port: int) -> Installation:
    """The seeded project, on a model server of this test."""
    server = processes.model()
    nowhere = f"http://127.0.0.1:{free_port}"
    unset = dict.fromkeys(
        ("MODEL_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), ""
    )
    with override_settings(**unset, BUILTIN_MODEL="", MODEL_SERVER_URL=server.url):
        found = discovery.find_model(ollama=nowhere, vllm=nowhere)
        registry.ensure_default_routes(scope=installation.scope, found=found)
    seeded = seed_project(scope=installation.scope, root=ROOT)
    assert not seeded.problem
    assert seeded.files == seeded.changed
    return installation


def test_the_handbook_answers_what_newcomers_ask(handbook: Installation) -> None:
    missed = {}
    for question, expected in ANSWERED.items():
        quotes = searching.quote(scope=handbook.scope, query=question, spaces=[HANDBOOK])
        answer = "\n".join(quote.text for quote in quotes)
        if expected not in answer:
            missed[question] = answer
    assert missed == {}
    for question in UNANSWERED:
        assert not searching.quote(scope=handbook.scope, query=question, spaces=[HANDBOOK])
