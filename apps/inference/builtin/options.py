"""Where the server listens and which files it loads, read once from flags and environment."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

EMBEDDING_MODEL = "all-minilm-l6-v2"
STARTER_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
STARTER_MODEL = "smollm2-135m-instruct"
DEFAULT_PORT = 8090
DEFAULT_CONTEXT_TOKENS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`context_tokens` is one chat's window, shared by prompt and completion."""

    host: str
    port: int
    models_dir: Path
    chat_path: Path
    threads: int
    context_tokens: int = DEFAULT_CONTEXT_TOKENS

    @property
    def chat_model(self) -> str:
        """The id clients use: the starter's own name, or the stem of another GGUF file."""
        return STARTER_MODEL if self.chat_path.name == STARTER_FILE else self.chat_path.stem

    @property
    def tokenizer_path(self) -> Path:
        return self.models_dir / "minilm" / "tokenizer.json"


def read_options(*, argv: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Flags win over the environment. Exits with a usage message (status 2) on an invalid flag."""
    data_dir = Path(environ.get("OCTAVO_DATA_DIR") or ".data")
    models_dir = Path(environ.get("OCTAVO_MODELS_DIR") or data_dir / "models")
    url = urlsplit(environ.get("OCTAVO_MODEL_SERVER_URL", ""))
    parser = argparse.ArgumentParser(prog="python -m apps.inference.builtin")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=url.port or DEFAULT_PORT)
    parser.add_argument("--models-dir", type=Path, default=models_dir)
    parser.add_argument("--chat-model", default=environ.get("OCTAVO_BUILTIN_MODEL", ""))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--context-tokens", type=int, default=DEFAULT_CONTEXT_TOKENS)
    flags = parser.parse_args(argv)
    return Options(
        host=flags.host,
        port=flags.port,
        models_dir=flags.models_dir.expanduser(),
        chat_path=_chat_path(named=flags.chat_model, models_dir=flags.models_dir.expanduser()),
        threads=max(1, flags.threads),
        context_tokens=flags.context_tokens,
    )


def _chat_path(*, named: str, models_dir: Path) -> Path:
    """A bare file name is looked up in the models folder; anything else is a path."""
    if not named:
        return models_dir / STARTER_FILE
    path = Path(named).expanduser()
    return models_dir / path if path.name == named else path
