"""The project: settings, URLs, the ASGI root, the supervisor and the kernel below every layer."""
