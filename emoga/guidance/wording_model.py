"""Free text to a plan by a language model behind an OpenAI-compatible endpoint that the user names.

Whatever comes back is judged, never trusted: limited in size and time, parsed strictly, every name checked against
the vocabulary. Redirects are not followed, and a key goes into one request header and nowhere else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import socket
import threading
import urllib.parse
from collections.abc import Collection
from typing import Any

from emoga.errors import InputError, MissingComponent
from emoga.guidance.wording import APPEARANCE, EMOTIONS, MAX_STRENGTH, MAX_TEXT, EmotionPlan, short_name

# Environment variable that names the endpoint where no option does.
ADDRESS_VARIABLE = "EMOGA_LANGUAGE_MODEL"
MAX_ANSWER = 256 * 1024
SECTIONS = ("emotions", "units", "appearance")
INSTRUCTION = (
    "You turn a description of a facial expression into numbers. Answer with one JSON object with exactly the keys "
    '"emotions", "units", "appearance" (objects of name to number) and "not_understood" (list of strings). '
    "Use only these names. Left and right are the subject's. Leave out what is zero."
)


def plan_emotion_by_model(
    text: str,
    units: Collection[str],
    url: str,
    model: str = "default",
    key: str | None = None,
    emotions: Collection[str] = tuple(EMOTIONS),
    timeout: float = 60.0,
    retries: int = 2,
) -> EmotionPlan:
    """Ask the endpoint `url` (such as http://localhost:8080/v1) for the plan of `text`.

    timeout: seconds for one whole answer; retries: further attempts after a bad answer.
    Raises InputError for an answer that is no valid plan, MissingComponent when no server answers in time.
    """
    if not text.strip() or len(text) > MAX_TEXT:
        raise InputError(f"an emotion is described in 1 to {MAX_TEXT} characters")
    allowed = {"emotions": set(emotions), "units": set(units), "appearance": set(APPEARANCE)}
    question = _question(text, model, allowed)
    failure: Exception | None = None
    for _ in range(retries + 1):
        try:
            return _plan(text, _content(_post(url, question, key, timeout)), allowed)
        except _Refused as error:
            raise InputError(f"{url}: {error}") from error
        except (_BadAnswer, OSError, http.client.HTTPException) as error:
            failure = error
    if isinstance(failure, _BadAnswer):
        raise InputError(f"{url}: the language model gave no valid plan: {failure}") from failure
    reason = "no answer in time" if isinstance(failure, TimeoutError) else _one_line(failure)
    raise MissingComponent(
        f"{url}: the language model cannot be reached ({reason}); start it, or leave it out for the built-in rules"
    ) from failure


class _BadAnswer(Exception):
    """An answer that is no plan; asking again may help."""


class _Refused(Exception):
    """The server does not want this request; asking again will not help."""


def _question(text: str, model: str, allowed: dict[str, set[str]]) -> bytes:
    names = {section: sorted(allowed[section]) for section in SECTIONS}
    sections = {
        section: {
            "type": "object",
            "properties": {name: {"type": "number", "minimum": 0, "maximum": 1} for name in names[section]},
            "additionalProperties": False,
        }
        for section in SECTIONS
    }
    strings = {"type": "array", "items": {"type": "string"}}
    schema = {
        "type": "object",
        "properties": {**sections, "not_understood": strings},
        "required": [*SECTIONS, "not_understood"],
        "additionalProperties": False,
    }
    body = {
        "model": model,
        "temperature": 0,
        "messages": [
            {"role": "system", "content": f"{INSTRUCTION}\n{json.dumps(names)}"},
            {"role": "user", "content": text},
        ],
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
            raise _Refused(f"the server answers {response.status} {_one_line(response.reason)}")
        answer = response.read(MAX_ANSWER + 1)
        if response.status >= 400:
            raise _BadAnswer(f"the server answers {response.status} {_one_line(response.reason)}")
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
        raise _BadAnswer(f"longer than {MAX_ANSWER // 1024} KiB")
    return answer


def _content(answer: bytes) -> dict[str, Any]:
    """The JSON object that the model wrote, out of the server's envelope; a code fence around it is forgiven."""
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"].strip()
        if content.startswith("```"):
            content = content.strip("`").removeprefix("json")
        plan = json.loads(content)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise _BadAnswer("not the JSON object asked for") from error
    if not isinstance(plan, dict):
        raise _BadAnswer("not the JSON object asked for")
    return plan


def _plan(text: str, answer: dict[str, Any], allowed: dict[str, set[str]]) -> EmotionPlan:
    strange = sorted(answer.keys() - {*SECTIONS, "not_understood"})
    if strange:
        raise _BadAnswer(f"it has a key {_one_line(strange[0])!r}")
    read = {section: _weights(section, answer.get(section), allowed[section]) for section in SECTIONS}
    rest = answer.get("not_understood", [])
    if not (isinstance(rest, list) and len(rest) <= 50 and all(isinstance(word, str) for word in rest)):
        raise _BadAnswer("not_understood is no list of words")
    plan = EmotionPlan(
        " ".join(text.split()),
        short_name(text.partition(":")[0]),
        emotions=read["emotions"],
        units=read["units"],
        appearance=read["appearance"],
        not_understood=tuple(_one_line(word) for word in rest),
    )
    if plan.empty:
        raise _BadAnswer("it is empty")
    return plan


def _weights(section: str, found: object, allowed: set[str]) -> dict[str, float]:
    if not isinstance(found, dict):
        raise _BadAnswer(f"{section} is no object")
    for name, value in found.items():
        if name not in allowed:
            raise _BadAnswer(f"{section} has an unknown name {_one_line(name)!r}")
        high = MAX_STRENGTH if section == "emotions" else 1.0
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and 0 <= value <= high):
            raise _BadAnswer(f"{section} {name} is not a number from 0 to {high:g}")
    return {name: float(value) for name, value in found.items() if value > 0}


def _one_line(text: object) -> str:
    """Text of a stranger, fit for one line of a message."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:120]
