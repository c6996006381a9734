"""Ports on the loopback interface: which is free, and who holds the one that is not."""

import random
import socket

_BELOW_EPHEMERAL = range(20_000, 32_000)  # outgoing connections never take these


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on now, outside the range that outgoing connections use."""
    while True:
        port = random.choice(_BELOW_EPHEMERAL)  # noqa: S311  spreads out parallel runs; no secret
        if is_free(host, port):
            return port


def holder_of(port: int) -> str:
    """`name (pid 123)` of the process that listens on `port`; "" where the system does not tell."""
    try:
        import psutil
    except ImportError:
        return ""
    try:
        found = [
            c.pid
            for c in psutil.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid
        ]
        return f"{psutil.Process(found[0]).name()} (pid {found[0]})" if found else ""
    except psutil.Error:
        return ""
