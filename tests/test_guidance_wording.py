"""Words to plans: by rules, and by a language model that answers well, badly, hugely, slowly or not at all."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server import reply, says, server

from emoga.errors import InputError, MissingComponent
from emoga.guidance import plan_emotion, plan_emotion_by_model
from emoga.head import load_head

UNITS = tuple(load_head("open").expr_names)


def both(**weights: float) -> dict[str, float]:
    return {f"{name}{side}": weight for name, weight in weights.items() for side in ("Left", "Right")}


@pytest.mark.parametrize(
    ("text", "emotions"),
    [
        ("happy", {"happy": 1.0}),
        ("slightly happy", {"happy": 0.4}),
        ("Very ANGRY!", {"angry": 1.3}),
        ("very, very sad", {"sad": 1.3}),
        ("very very sad", {"sad": 1.5}),
        ("furious", {"angry": 1.4}),
        ("happily surprised", {"happy": 1.0, "surprised": 1.0}),
        ("happy and a little surprised", {"happy": 1.0, "surprised": 0.4}),
        ("not happy but sad", {"sad": 1.0}),
        ("make him look afraid", {"fear": 1.0}),
        ("neutral", {"neutral": 1.0}),
    ],
)
def test_emotions_and_how_strong(text: str, emotions: dict[str, float]) -> None:
    plan = plan_emotion(text, UNITS)
    assert plan.emotions == pytest.approx(emotions) and not plan.units


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("eyes half closed", both(eyeBlink=0.45)),
        ("left eye winking", {"eyeBlinkLeft": 1.0}),
        ("a smirk on the right", {"mouthSmileRight": 0.6, "mouthDimpleRight": 0.4}),
        ("looking left", {"eyeLookOutLeft": 0.7, "eyeLookInRight": 0.7}),
        ("brows furrowed", both(browDown=0.8)),
        ("right eyebrow up", {"browInnerUp": 0.35, "browOuterUpRight": 0.8}),
        ("lip corners down slightly", both(mouthFrown=0.28)),
        ("mouth wide open", {"jawOpen": 0.65}),
        ("nose wrinkled, tongue out", {**both(noseSneer=0.8), "tongueOut": 1.0}),
        ("brows raised and furrowed", {"browInnerUp": 0.7, **both(browOuterUp=0.8, browDown=0.8)}),
    ],
)
def test_descriptions_become_units_on_the_subjects_sides(text: str, units: dict[str, float]) -> None:
    plan = plan_emotion(text, UNITS)
    assert plan.units == pytest.approx(units)
    assert not plan.not_understood and not plan.emotions


def test_the_skeptical_face_of_the_documentation() -> None:
    plan = plan_emotion("skeptical: one brow raised, lips pressed", UNITS)
    assert plan.name == "skeptical"
    assert plan.units == {"browInnerUp": 0.35, "browOuterUpLeft": 0.8, **both(mouthPress=0.7)}
    alone = plan_emotion("skeptical", UNITS)
    assert {"browOuterUpLeft", "browDownRight", "mouthPressLeft"} <= set(alone.units)
    assert plan_emotion("very skeptical", UNITS).units["mouthPressLeft"] > alone.units["mouthPressLeft"]


def test_the_other_brow_is_the_one_not_named_before() -> None:
    plan = plan_emotion("right brow raised, the other brow lowered", UNITS)
    assert "browOuterUpRight" in plan.units and "browDownLeft" in plan.units


def test_what_must_not_move_is_held() -> None:
    plan = plan_emotion("slight smile, no brow raise", UNITS)
    assert plan.units["mouthSmileLeft"] == pytest.approx(0.3)
    assert plan.without == ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")


def test_appearance_is_typed() -> None:
    plan = plan_emotion("tears in his eyes, very flushed cheeks, slightly sweaty", UNITS)
    assert plan.appearance == pytest.approx({"tears": 0.6, "flush": 0.78, "sweat": 0.24})
    assert plan_emotion("pale", UNITS).appearance == pytest.approx({"pallor": 0.6})


def test_what_is_not_understood_is_named() -> None:
    assert plan_emotion("happy with a moustache", UNITS).not_understood == ("moustache",)
    few = plan_emotion("smiling, tongue out", ["mouthSmileLeft", "mouthSmileRight"])
    assert set(few.units) == {"mouthSmileLeft", "mouthSmileRight"}
    assert {"tongueOut", "cheekSquintLeft"} <= set(few.not_understood)


@pytest.mark.parametrize("text", ["blorf", "", "   ", ":", "42", "a" * 2000, "not happy"])
def test_texts_that_mean_nothing_list_the_known_emotions(text: str) -> None:
    with pytest.raises(InputError, match="known are: angry, contempt, disgust, fear, happy"):
        plan_emotion(text, UNITS)


WORDS = ["not", "very", "one", "left", "other", "brow", "raised", "happy", ":", ",", "lips", "eyes", "half"]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80) | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        plan = plan_emotion(text, UNITS)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert set(plan.units) <= set(UNITS) and not set(plan.units) & set(plan.without)
    assert all(0 <= value <= 1 for value in (*plan.units.values(), *plan.appearance.values()))
    assert all(0 <= value <= 1.5 for value in plan.emotions.values())
    assert not set(plan.name) & set(":,@/\\ ")


# ---- language models -----------------------------------------------------------------------------------------

GOOD = {
    "emotions": {"happy": 0.5},
    "units": {"browOuterUpLeft": 0.8, "jawOpen": 0},
    "appearance": {"flush": 0.3},
    "not_understood": ["hat"],
}


def ask(url: str, **options: object) -> object:
    return plan_emotion_by_model("wry: half a smile", UNITS, url, **{"timeout": 5.0, "retries": 1, **options})


def test_a_good_answer_becomes_a_plan() -> None:
    with server(lambda handler, _: reply(handler, says(GOOD))) as (url, seen):
        plan = ask(url, model="tiny", key="secret-key")
    assert plan.name == "wry" and plan.emotions == {"happy": 0.5}
    assert plan.units == {"browOuterUpLeft": 0.8} and plan.appearance == {"flush": 0.3}
    assert plan.not_understood == ("hat",)
    assert seen.paths == ["/v1/chat/completions"]
    assert seen.headers[0]["Authorization"] == "Bearer secret-key"
    assert "secret-key" not in json.dumps(seen.bodies)
    schema = seen.bodies[0]["response_format"]["json_schema"]["schema"]
    assert set(schema["properties"]["units"]["properties"]) == set(UNITS)
    assert schema["properties"]["units"]["additionalProperties"] is False


def test_a_bad_answer_is_asked_for_again() -> None:
    with server(lambda handler, count: reply(handler, says(GOOD) if count else b"oops")) as (url, seen):
        assert ask(url).emotions == {"happy": 0.5}
    assert len(seen.bodies) == 2


def test_a_code_fence_is_forgiven() -> None:
    with server(lambda handler, _: reply(handler, says(f"```json\n{json.dumps(GOOD)}\n```"))) as (url, _):
        assert ask(url).emotions == {"happy": 0.5}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not the JSON object"),
        (b"\xff\xfe<html>", "not the JSON object"),
        (b"[" * 50_000, "not the JSON object"),
        (b"{}", "not the JSON object"),
        (says("I would raise the brows."), "not the JSON object"),
        (says([1, 2]), "not the JSON object"),
        (says({}), "emotions is no object"),
        (says({**GOOD, "units": {"rm -rf /\n": 1}}), "units has an unknown name 'rm -rf /'"),
        (says({**GOOD, "units": {"jawOpen": 7}}), "jawOpen is not a number from 0 to 1"),
        (says({**GOOD, "units": {"jawOpen": True}}), "jawOpen is not a number"),
        (says('{"emotions": {"happy": NaN}, "units": {}, "appearance": {}}'), "happy is not a number"),
        (says({**GOOD, "emotions": {"hungry": 1}}), "unknown name 'hungry'"),
        (says({**GOOD, "read_file": "/etc/passwd"}), "it has a key 'read_file'"),
        (says({**GOOD, "not_understood": [3]}), "no list of words"),
        (says({"emotions": {}, "units": {}, "appearance": {}}), "it is empty"),
        (says({**GOOD, "not_understood": ["x"]}) + b" " * (300 * 1024), "longer than 256 KiB"),
    ],
    ids=range(16),
)
def test_garbage_is_refused_in_one_line(body: bytes, words: str) -> None:
    with server(lambda handler, _: reply(handler, body)) as (url, seen), pytest.raises(InputError) as caught:
        ask(url)
    assert words in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert len(seen.bodies) == 2


def test_an_endless_answer_is_cut_off() -> None:
    sent = []

    def flood(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(4000):
            handler.wfile.write(b"x" * 65536)
            sent.append(65536)

    with server(flood) as (url, _), pytest.raises(InputError, match="longer than 256 KiB"):
        ask(url, retries=0)
    assert sum(sent) < 64 << 20


@pytest.mark.parametrize("part", ["silence", "headers", "body"])
def test_a_slow_server_ends_at_the_time_limit_however_it_drips(part: str) -> None:
    release = threading.Event()

    def drip(handler: BaseHTTPRequestHandler, _: int) -> None:
        if part == "body":
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
        elif part == "headers":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not release.wait(0.05):
            if part != "silence":
                handler.wfile.write(b"a")
                handler.wfile.flush()

    with server(drip) as (url, _):
        begun = time.monotonic()
        try:
            with pytest.raises(MissingComponent, match="no answer in time"):
                ask(url, timeout=0.5, retries=1)
        finally:
            release.set()
        assert time.monotonic() - begun < 10, "a server that drips holds the caller for ever"


@pytest.mark.parametrize("status", [301, 401, 404])
def test_refusals_and_redirects_are_not_followed(status: int) -> None:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(status)
        handler.send_header("Location", "http://127.0.0.1:9/steal")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with server(answer) as (url, seen), pytest.raises(InputError, match=f"answers {status}") as caught:
        ask(url, key="secret-key")
    assert len(seen.bodies) == 1 and "secret-key" not in str(caught.value)


def test_an_overloaded_server_is_asked_again() -> None:
    with server(lambda handler, count: reply(handler, says(GOOD)) if count else reply(handler, b"", 503)) as (
        url,
        seen,
    ):
        assert ask(url).emotions == {"happy": 0.5}
    assert len(seen.bodies) == 2


def test_a_server_that_is_not_there_is_a_missing_component() -> None:
    with server(lambda handler, _: reply(handler, b"")) as (url, _):
        pass
    with pytest.raises(MissingComponent, match="cannot be reached"):
        ask(url, retries=0)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/x",
        "localhost:8080",
        "http://",
        "http://h:99999/v1",
        "http://a:b@h/v1",
    ],
)
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="not an address"):
        ask(url)
