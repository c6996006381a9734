"""A model's states, the batches its texts are cut into, and the files the options point at."""

import asyncio
import threading
from pathlib import Path

import pytest

from apps.inference.builtin.embedding import MAX_TOKENS, truncate
from apps.inference.builtin.embedding_queue import BATCH_INPUTS, BATCH_TOKENS, plan_batches
from apps.inference.builtin.loading import LoadedModel
from apps.inference.builtin.options import DEFAULT_PORT, STARTER_MODEL, read_options
from apps.inference.builtin.problems import ModelUnavailable


def test_a_missing_model_says_why_and_loads_once_the_obstacle_is_gone() -> None:
    obstacles = ["The file x is missing."]

    async def scenario() -> str:
        model = LoadedModel(
            name="m", find_obstacle=lambda: "".join(obstacles), load=lambda: "loaded"
        )
        with pytest.raises(ModelUnavailable, match=r"The file x is missing"):
            await model.get()
        assert model.state == "missing"
        obstacles.clear()
        loaded = await model.get()
        assert (model.state, model.detail) == ("ready", "")
        return loaded

    assert asyncio.run(scenario()) == "loaded"


def test_a_request_during_loading_waits_and_a_cancelled_one_does_not_stop_the_loading() -> None:
    release = threading.Event()

    def load() -> str:
        assert release.wait(timeout=10)
        return "loaded"

    async def scenario() -> str:
        model = LoadedModel(name="m", find_obstacle=lambda: "", load=load)
        model.start()
        impatient = asyncio.create_task(model.get())
        patient = asyncio.create_task(model.get())
        await asyncio.sleep(0)
        assert model.state == "loading"
        impatient.cancel()
        release.set()
        return await patient

    assert asyncio.run(scenario()) == "loaded"


def test_a_model_that_fails_to_load_stays_failed_and_keeps_its_reason() -> None:
    attempts = []

    def load() -> str:
        attempts.append(1)
        raise ValueError("the file ends early")

    async def scenario() -> None:
        model = LoadedModel(name="m", find_obstacle=lambda: "", load=load)
        for _ in range(2):
            with pytest.raises(ModelUnavailable, match="the file ends early"):
                await model.get()
        assert model.state == "failed"

    asyncio.run(scenario())
    assert len(attempts) == 1


def test_every_text_is_in_exactly_one_batch_within_the_bounds() -> None:
    lengths = [3, 256, 17, 200, 3, 90] * 20
    batches = plan_batches(lengths)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        width = max(lengths[index] for index in batch)
        assert len(batch) <= BATCH_INPUTS
        assert len(batch) == 1 or width * len(batch) <= BATCH_TOKENS


def test_truncation_keeps_the_end_mark() -> None:
    assert truncate([101, 5, 102]) == [101, 5, 102]
    long = truncate([101, *range(1000, 1400), 102])
    assert (len(long), long[0], long[-1]) == (MAX_TOKENS, 101, 102)


def test_options_come_from_the_environment_and_flags_win(tmp_path: Path) -> None:
    environ = {
        "OCTAVO_DATA_DIR": str(tmp_path),
        "OCTAVO_MODEL_SERVER_URL": "http://127.0.0.1:9123",
        "OCTAVO_BUILTIN_MODEL": "Other-1B.gguf",
    }
    options = read_options(argv=[], environ=environ)
    assert (options.port, options.chat_model) == (9123, "Other-1B")
    assert options.chat_path == tmp_path / "models" / "Other-1B.gguf"
    assert read_options(argv=["--port", "7"], environ=environ).port == 7


def test_without_settings_the_starter_model_is_served_on_the_default_port() -> None:
    options = read_options(argv=[], environ={})
    assert (options.port, options.chat_model) == (DEFAULT_PORT, STARTER_MODEL)
    assert options.tokenizer_path == Path(".data/models/minilm/tokenizer.json")
