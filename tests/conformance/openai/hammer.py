"""A client process: `hammer.py <url> <key> <attempts>` prints how many calls had which status."""

import http.client
import json
import sys
from collections import Counter
from urllib.parse import urlsplit

BODY = json.dumps(
    {"model": "main", "max_tokens": 7, "messages": [{"role": "user", "content": "Hello?"}]}
)


def main(url: str, key: str, attempts: int) -> None:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=300)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    found: Counter[int] = Counter()
    for _ in range(attempts):
        connection.request("POST", "/v1/chat/completions", BODY, headers)
        answer = connection.getresponse()
        answer.read()
        found[answer.status] += 1
    print(json.dumps(found))  # noqa: T201  the report to the test


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
