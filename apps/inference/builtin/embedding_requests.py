"""Pure codec of the embeddings endpoint.

Protocol: https://platform.openai.com/docs/api-reference/embeddings
"""

import base64
from dataclasses import dataclass
from typing import Any

from apps.inference.builtin.chat_requests import check_model
from apps.inference.builtin.embedding import DIMENSIONS, Vectors
from apps.inference.builtin.options import EMBEDDING_MODEL
from apps.inference.builtin.problems import InvalidRequest

MAX_INPUTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    texts: tuple[str, ...]
    base64: bool


def parse_request(body: Any) -> EmbeddingRequest:
    """Raises `InvalidRequest` or `ModelNotFound`."""
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    check_model(body, model=EMBEDDING_MODEL)
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):  # a list can be compared, but is in no set
        message = f"'encoding_format' must be 'float' or 'base64', not {encoding!r}."
        raise InvalidRequest(message, param="encoding_format")
    if body.get("dimensions") not in (None, DIMENSIONS):
        message = f"{EMBEDDING_MODEL} has {DIMENSIONS} dimensions and cannot be shortened."
        raise InvalidRequest(message, param="dimensions")
    return EmbeddingRequest(texts=_texts(body.get("input")), base64=encoding == "base64")


def _texts(given: Any) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise InvalidRequest("'input' must be a string or a non-empty array.", param="input")
    if not all(isinstance(text, str) for text in texts):
        message = "'input' must hold strings: this server does not take token arrays."
        raise InvalidRequest(message, param="input")
    if len(texts) > MAX_INPUTS:
        message = f"'input' has {len(texts)} texts; send at most {MAX_INPUTS} a request."
        raise InvalidRequest(message, param="input")
    return tuple(texts)


def answer(request: EmbeddingRequest, *, vectors: Vectors, tokens: int) -> dict[str, Any]:
    """The list object. Base64 is of little-endian 32-bit floats, as OpenAI's SDK decodes it.

    Float rows stay numpy arrays, which orjson writes with `OPT_SERIALIZE_NUMPY`.
    """
    rows = [_base64(row) for row in vectors] if request.base64 else list(vectors)
    data = [
        {"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": EMBEDDING_MODEL, "usage": usage}


def _base64(row: Vectors) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()
