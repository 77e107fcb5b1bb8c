"""Asking a language model behind an OpenAI-compatible endpoint, that the user names, for one JSON object.

Whatever comes back is judged, never trusted: limited in size and time and parsed strictly; what is in the object is
for the caller to check. Redirects are not followed, and a key goes into one request header and nowhere else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from emoga.errors import InputError, MissingComponent

MAX_ANSWER = 256 * 1024
Read = TypeVar("Read")


@dataclass(frozen=True)
class Endpoint:
    """A server such as http://localhost:8080/v1, and how to ask it.

    key: sent as a bearer token; timeout: seconds for one whole answer; retries: further attempts after a bad one.
    """

    url: str
    model: str = "default"
    key: str | None = None
    timeout: float = 60.0
    retries: int = 2

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, {self.model!r})"


class BadAnswer(Exception):
    """An answer that is not what was asked for; asking again may help."""


class _Refused(Exception):
    """The server does not want this request; asking again will not help."""


def ask(
    endpoint: Endpoint,
    instruction: str,
    text: str,
    schema: dict[str, Any],
    read: Callable[[dict[str, Any]], Read],
) -> Read:
    """What `read` makes of the JSON object that the model answers to `text`; it raises BadAnswer to ask again.

    Raises InputError for answers that stay bad, MissingComponent when no server answers in time.
    """
    question, url = _question(endpoint.model, instruction, text, schema), endpoint.url
    failure: Exception | None = None
    for _ in range(endpoint.retries + 1):
        try:
            return read(_content(_post(url, question, endpoint.key, endpoint.timeout)))
        except _Refused as error:
            raise InputError(f"{url}: {error}") from error
        except (BadAnswer, OSError, http.client.HTTPException) as error:
            failure = error
    if isinstance(failure, BadAnswer):
        raise InputError(f"{url}: the language model gave no valid plan: {failure}") from failure
    reason = "no answer in time" if isinstance(failure, TimeoutError) else one_line(failure)
    raise MissingComponent(
        f"{url}: the language model cannot be reached ({reason}); start it, or leave it out for the built-in rules"
    ) from failure


def one_line(text: object, most: int = 120) -> str:
    """Text of a stranger, fit for one line of a message."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:most]


def _question(model: str, instruction: str, text: str, schema: dict[str, Any]) -> bytes:
    body = {
        "model": model,
        "temperature": 0,
        "messages": [{"role": "system", "content": instruction}, {"role": "user", "content": text}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "plan", "schema": schema}},
    }
    return json.dumps(body).encode()


def _post(url: str, body: bytes, key: str | None, timeout: float) -> bytes:
    """The answer's bytes. A timer ends the connection, because a socket's own limit starts anew with every byte."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InputError(f"{url}: not an address; write it as http://localhost:8080/v1")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname, parts.port, timeout=timeout)
    except ValueError as error:
        raise InputError(f"{url}: not an address; {error}") from error
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    late = threading.Event()
    sockets: list[socket.socket] = []

    def give_up() -> None:
        late.set()
        # Not connection.sock: a connection lets go of its socket while its answer is still read.
        for opened in sockets:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout, give_up)
    timer.daemon = True
    timer.start()
    try:
        connection.connect()
        sockets.append(connection.sock)
        connection.request("POST", f"{parts.path.rstrip('/')}/chat/completions", body, headers)
        response = connection.getresponse()
        if 300 <= response.status < 500 and response.status not in (408, 429):
            raise _Refused(f"the server answers {response.status} {one_line(response.reason)}")
        answer = response.read(MAX_ANSWER + 1)
        if response.status >= 400:
            raise BadAnswer(f"the server answers {response.status} {one_line(response.reason)}")
    except (OSError, http.client.HTTPException) as error:
        if late.is_set():
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
        connection.close()
    if late.is_set():
        raise TimeoutError
    if len(answer) > MAX_ANSWER:
        raise BadAnswer(f"longer than {MAX_ANSWER // 1024} KiB")
    return answer


def _content(answer: bytes) -> dict[str, Any]:
    """The JSON object that the model wrote, out of the server's envelope; a code fence around it is forgiven."""
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"].strip()
        if content.startswith("```"):
            content = content.strip("`").removeprefix("json")
        plan = json.loads(content)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise BadAnswer("not the JSON object asked for") from error
    if not isinstance(plan, dict):
        raise BadAnswer("not the JSON object asked for")
    return plan
