"""`io.call` bounds every wait and refuses to run where it would block the loop."""

import asyncio
import contextvars
import threading

import pytest

from octavo.kernel import io


async def answer(value: int) -> int:
    return value


def test_the_result_comes_back() -> None:
    assert io.call(answer(7), timeout=5) == 7


def test_every_call_of_a_process_runs_on_one_loop() -> None:
    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    loops = {io.call(running(), timeout=5) for _ in range(3)}
    assert loops == {io.loop()}


def test_an_error_comes_back_as_it_was_raised() -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        io.call(fail(), timeout=5)


def test_a_timeout_cancels_the_coroutine() -> None:
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError, match=r"No answer within 0\.05 s"):
        io.call(hang(), timeout=0.05)
    assert cancelled.wait(5)


def test_a_timeout_of_the_coroutine_keeps_its_own_message() -> None:
    async def give_up() -> None:
        raise TimeoutError("The model server did not answer within 2 s.")

    with pytest.raises(TimeoutError, match="The model server"):
        io.call(give_up(), timeout=5)


def test_a_cancelled_coroutine_is_a_timeout_to_its_caller() -> None:
    async def be_cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(TimeoutError, match="cancelled"):
        io.call(be_cancelled(), timeout=5)


def test_a_call_on_the_loop_itself_is_refused() -> None:
    async def misuse() -> int:
        return io.call(answer(1), timeout=5)

    with pytest.raises(io.MisusedError, match="the I/O loop"):
        io.call(misuse(), timeout=5)


def test_a_call_on_another_event_loop_is_refused() -> None:
    async def misuse() -> int:
        return io.call(answer(1), timeout=5)

    with pytest.raises(io.MisusedError, match="an event loop"):
        asyncio.run(misuse())


def test_sync_code_runs_off_the_loop_in_the_caller_s_context() -> None:
    run_id = contextvars.ContextVar("run_id", default="none")

    async def ask() -> tuple[str, str, str]:
        run_id.set("run_1")
        seen, thread = await io.db(lambda: (run_id.get(), threading.current_thread().name))
        return seen, thread, threading.current_thread().name

    seen, worker, loop = asyncio.run(ask())
    assert seen == "run_1"
    assert worker.startswith("octavo-db")
    assert worker != loop


def test_sync_code_gets_its_arguments_and_its_errors_come_back() -> None:
    async def ask() -> list[int]:
        with pytest.raises(ZeroDivisionError):
            await io.db(divmod, 1, 0)
        return await io.db(sorted, [2, 1], reverse=False)

    assert asyncio.run(ask()) == [1, 2]


def test_no_more_threads_than_the_executor_has_run_at_once() -> None:
    lock = threading.Lock()
    running = peak = 0
    full = threading.Event()

    def occupy() -> None:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
            if running == io._DATABASE_THREADS:
                full.set()
        full.wait(5)
        with lock:
            running -= 1

    async def flood() -> None:
        await asyncio.gather(*(io.db(occupy) for _ in range(3 * io._DATABASE_THREADS)))

    asyncio.run(flood())
    assert peak == io._DATABASE_THREADS
