"""The project: settings, URLs, the ASGI root, the supervisor, and the kernel that every layer stands on."""
