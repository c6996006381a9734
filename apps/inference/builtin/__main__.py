"""`python -m apps.inference.builtin`: listens at once, loads meanwhile, stops within a second."""

import asyncio
import logging
import os
import signal
import sys

from aiohttp import web

from apps.inference.builtin.options import Options, read_options
from apps.inference.builtin.server import ModelServer

log = logging.getLogger("octavo.model_server")

DRAIN_S = 0.5


async def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT, then give open answers half a second."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        ModelServer(options).application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=DRAIN_S,
    )
    await runner.setup()
    site = web.TCPSite(runner, options.host, options.port)
    await site.start()
    log.info("The model server listens on %s:%d", *runner.addresses[0][:2])
    await stop.wait()
    await runner.cleanup()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    options = read_options(argv=sys.argv[1:], environ=os.environ)
    try:
        asyncio.run(serve(options))
    except OSError as error:
        log.error("The model server cannot listen on %s:%d: %s. Choose another --port.",
                  options.host, options.port, error)  # fmt: skip
        os._exit(1)
    # llama.cpp joins its threads for seconds at interpreter exit, and there is nothing to save.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
