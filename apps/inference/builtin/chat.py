"""The chat model: llama.cpp inside this process, reachable only with a key that never leaves it."""

import importlib.util
import os
import secrets
from dataclasses import dataclass, field
from typing import Any

from apps.inference.builtin.options import Options

PARALLEL_CHATS = 2
PROMPT_CACHE_MIB = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatModel:
    """A running llama.cpp server: its loopback address, and the header that opens it."""

    url: str
    headers: dict[str, str] = field(repr=False)
    server: Any = field(repr=False)


def find_obstacle(options: Options) -> str:
    """What keeps the chat model from loading, with the next step; "" when nothing does."""
    if importlib.util.find_spec("xllamacpp") is None:
        return (
            "The package xllamacpp, which runs the built-in chat model, is not installed. "
            "Install Octavo with its `embedded` extra, or set OCTAVO_MODEL_URL to another server."
        )
    if not options.chat_path.is_file():
        return (
            f"The chat model's file {options.chat_path} is missing. Run `make up`, which fetches "
            "the starter model, or set OCTAVO_BUILTIN_MODEL to a GGUF file."
        )
    return ""


def load_chat(options: Options) -> ChatModel:
    """Load the GGUF file and start llama.cpp's server on a free loopback port.

    The constructor holds the interpreter's lock: 0.5 s for the starter model, in which no other
    thread runs.
    """
    # llama.cpp's OpenMP threads otherwise spin between tokens and starve the embedding threads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    key = secrets.token_urlsafe(32)
    server = xllamacpp.Server(_parameters(xllamacpp, options=options, key=key))
    return ChatModel(
        url=server.listening_address, headers={"Authorization": f"Bearer {key}"}, server=server
    )


def _parameters(xllamacpp: Any, *, options: Options, key: str) -> Any:
    """Each chat has a window of its own: drawing on one pool, two long chats make each other fail.

    Keys and values stay in 16 bits: 8 bits halve their memory but take 1.8 times the CPU on AVX2.
    """
    params = xllamacpp.CommonParams()
    params.model.path = str(options.chat_path)
    params.model_alias = {options.chat_model}
    params.n_ctx = options.context_tokens * PARALLEL_CHATS
    params.n_parallel = PARALLEL_CHATS
    params.kv_unified = False
    params.n_batch = 512
    params.n_ubatch = 256
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.n_gpu_layers = 0
    params.fit_params = False
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.n_ctx_checkpoints = 0
    params.api_keys = [key]
    params.port = 0
    params.n_threads_http = PARALLEL_CHATS + 2
    params.sse_ping_interval = -1
    params.endpoint_slots = False
    params.ui = False
    params.verbosity = 0
    return params
