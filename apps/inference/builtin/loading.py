"""A model that loads in a thread while the server answers: missing, loading, ready or failed."""

import asyncio
import ctypes
import logging
from collections.abc import Callable
from enum import StrEnum

from apps.inference.builtin.problems import ModelUnavailable

log = logging.getLogger(__name__)

LOAD_WAIT_S = 60.0


class ModelState(StrEnum):
    MISSING = "missing"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class LoadedModel[T]:
    """One model's life. `find_obstacle` returns what is absent and the next step, or "".

    A missing file is looked for again at each request, so a file that arrives later is picked up
    without a restart. A file that failed to load is not tried twice.
    """

    def __init__(
        self, *, name: str, find_obstacle: Callable[[], str], load: Callable[[], T]
    ) -> None:
        self.name = name
        self.state = ModelState.MISSING
        self.detail = ""
        self._find_obstacle = find_obstacle
        self._load = load
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        """Begin loading if the files are there. Returns at once; call it on the event loop."""
        if self._task is not None:
            return
        self.detail = self._find_obstacle()
        if not self.detail:
            self.state = ModelState.LOADING
            self._task = asyncio.create_task(self._run())

    async def get(self) -> T:
        """The loaded model, waiting up to `LOAD_WAIT_S` for it. Raises `ModelUnavailable`."""
        self.start()
        if self._task is None:
            raise ModelUnavailable(self.detail, code="model_missing")
        try:
            return await asyncio.wait_for(asyncio.shield(self._task), LOAD_WAIT_S)
        except TimeoutError:
            message = (
                f"The model {self.name} is still loading after {LOAD_WAIT_S:.0f} s. Try again."
            )
            raise ModelUnavailable(message, code="model_loading") from None

    async def _run(self) -> T:
        try:
            model = await asyncio.to_thread(self._load)
        except Exception as error:
            log.exception("The model %s did not load", self.name)
            self.state = ModelState.FAILED
            self.detail = (
                f"The model {self.name} did not load: {error}. "
                "Replace its file with an intact one and restart the model server."
            )
            raise ModelUnavailable(self.detail, code="model_failed") from error
        return_freed_memory()
        self.state = ModelState.READY
        return model


def return_freed_memory() -> None:
    """Give glibc's freed blocks back: 50 MB after loading, 150 MB after much embedding."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
