"""Instructions to plans of edits: by rules, by a language model, and from files that may hold anything."""

from __future__ import annotations

import json

import pytest
from edit_scoring import MORE, compare, expected_prompts, f1
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server import reply, says, server

from emoga.errors import InputError, MissingComponent
from emoga.guidance.chat import Endpoint
from emoga.guidance.edit_plan import (
    BadPlan,
    EditPlan,
    Operation,
    colour_value,
    plan_from_json,
    plan_from_text,
)
from emoga.guidance.planning import hint_for, plan_edit
from emoga.guidance.planning_model import plan_edit_by_model, plan_schema
from emoga.guidance.spelling import spelt

PROMPTS = expected_prompts()


def operations(text: str) -> tuple[Operation, ...]:
    plan = plan_edit(text)
    assert not plan.refused, plan.refused
    return plan.operations


def test_the_committed_prompts_are_planned() -> None:
    assert len(PROMPTS) == 40
    plans = [plan_edit(wanted["prompt"]) for wanted in PROMPTS]
    scores = [compare(plan, wanted) for plan, wanted in zip(plans, PROMPTS, strict=True)]
    wrong = [wanted["prompt"] for wanted, score in zip(PROMPTS, scores, strict=True) if any(score[1:])]
    assert f1(scores) >= 0.9, wrong
    refusals = [bool(wanted.get("refused")) for wanted in PROMPTS]
    assert sum(refusals) >= 5
    assert [bool(plan.refused) for plan in plans] == refusals


@pytest.mark.parametrize(
    ("number", "count"), [*((number, 25) for number in range(1, 6)), (6, 30), (7, 30), (8, 30)]
)
def test_lists_that_were_planned_unseen_once_stay_planned(number: int, count: int) -> None:
    wanted = [row for row in expected_prompts(MORE) if row["list"] == number]
    assert len(wanted) == count
    assert f1([compare(plan_edit(row["prompt"]), row) for row in wanted]) >= 0.94


def test_the_score_counts_what_is_missing_and_what_is_too_much() -> None:
    wanted = {"operations": [{"action": "change", "target": "lips", "attribute": "colour", "colour": "red"}]}
    nothing = EditPlan("", refused=("redder lips",))
    assert compare(plan_edit("red lips"), wanted) == (4, 0, 0)
    assert compare(plan_edit("pink lips"), wanted) == (3, 1, 1)
    assert compare(nothing, wanted) == (0, 1, 4)
    assert f1([compare(nothing, wanted)]) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("make her 20 years older", [Operation("change", "person", "age", "more")]),
        ("make him look tired", [Operation("add", "dark_circles")]),
        (
            "a silver ring through the left nostril",
            [Operation("add", "nose_ring", side="left", material="silver")],
        ),
        ("turn her into a grandmother", [Operation("change", "person", "age", "more")]),
        ("make him ten years younger", [Operation("change", "person", "age", "less", strength=0.5)]),
        ("eyes 10% bigger", [Operation("change", "eyes", "size", "more", strength=0.5)]),
        (
            "I'd like her eyebrows a little thinner",
            [Operation("change", "brows", "thickness", "less", strength=0.4)],
        ),
        ("emerald green eyes", [Operation("change", "eyes", "colour", colour="emerald")]),
        ("hair from black to reddish brown", [Operation("change", "hair", "colour", colour="brown")]),
        (
            "blond hair, marble",
            [
                Operation("change", "hair", "colour", colour="blond"),
                Operation("change", "person", "material", material="marble"),
            ],
        ),
        ("silver hair", [Operation("change", "hair", "colour", colour="silver")]),
        ("let her gain some weight", [Operation("change", "person", "weight", "more")]),
        ("purple lipstick on the lower lip", [Operation("add", "lipstick", colour="purple")]),
        ("slim her face a bit", [Operation("change", "face", "width", "less", strength=0.4)]),
        ("increase the width of his nose", [Operation("change", "nose", "width", "more")]),
        ("fewer wrinkles", [Operation("remove", "wrinkles")]),
        ("a ring in her nose", [Operation("add", "nose_ring")]),
        (
            "gold hoop in the right ear",
            [Operation("add", "earring", material="gold", side="right", style=("hoop",))],
        ),
        ("a pair of round glasses", [Operation("add", "glasses", style=("round",))]),
        ("grey hair at the temples", [Operation("change", "temples", "colour", colour="grey")]),
        (
            "thicker eyebrows, except the left one",
            [Operation("change", "brows", "thickness", "more", side="right")],
        ),
        ("golden skin", [Operation("change", "skin", "tan", "more")]),
        ("a golden head", [Operation("change", "person", "material", material="gold")]),
        ("lips in #aa2233", [Operation("change", "lips", "colour", colour="#aa2233")]),
        (
            "smaller nose and ears",
            [Operation("change", part, "size", "less") for part in ("nose", "ears")],
        ),
        (
            "sunglasses, black and large",
            [Operation("add", "sunglasses", colour="black", style=("large",))],
        ),
    ],
)
def test_rules_read_what_was_not_in_the_list(text: str, expected: list[Operation]) -> None:
    assert operations(text) == tuple(expected)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("fuller, redder lips", ["change lips: more fullness", "change lips: red colour"]),
        ("give him thicker and darker brows", ["change brows: more thickness", "change brows: less lightness"]),
        ("add a thin, golden earring", ["add earring: gold thin"]),
        ("his ears are too big and his lips too thin", ["change ears: less size", "change lips: more fullness"]),
        ("one blue and one green eye", ["change eyes: blue colour (left)", "change eyes: green colour (right)"]),
        ("his left eye blue, the other one green",
         ["change eyes: blue colour (left)", "change eyes: green colour (right)"]),
        ("bigger left and smaller right ear", ["change ears: more size (left)", "change ears: less size (right)"]),
        ("I'm sick of his hat, remove it", ["remove hat"]),
        ("she doesn't need glasses", ["remove glasses"]),
        ("more wrinkles at the mouth, none on the forehead", ["add wrinkles at mouth", "remove wrinkles at forehead"]),
        ("two silver studs, one in each ear", ["add stud: silver (both)"]),
        ("a brown-eyed blonde", ["change eyes: brown colour", "change hair: blond colour"]),
        ("smooth out the wrinkles", ["remove wrinkles"]),
        ("he wears earrings, take them off", ["remove earring (both)"]),
        ("the stubble has to go", ["remove stubble"]),
        ("swap her glasses for a blue headband", ["remove glasses", "add headband: blue"]),
        ("a fedora instead of the headband", ["add hat: fedora", "remove headband"]),
        ("replace his brown eyes with green ones", ["change eyes: green colour"]),
        ("instead of brown, her eyes should be grey", ["change eyes: grey colour"]),
        ("neither glasses nor wrinkles", ["remove glasses", "remove wrinkles"]),
        ("older, but not heavier", ["change person: more age"]),
        ("grene eyes, a litle bigger, and no freckels",
         ["change eyes: green colour", "change eyes: more size, strength 0.4", "remove freckles"]),
        ("make the viewer's left ear bigger", ["change ears: more size (right)"]),
        ("the right ear should stick out more than the left one", ["change ears: more prominence (right)"]),
        ("hair: blond; lips: fuller", ["change hair: blond colour", "change lips: more fullness"]),
        ("draw a little heart on her right cheek", ["add tattoo: heart small (right) at cheeks"]),
        ("put the mole on the other cheek", ["move mole (other) at cheeks"]),
        ("clown make-up", ["change skin: white colour", "change nose: bright red colour",
                           "add lipstick: bright red", "add eyeshadow: blue"]),
        ("she looks too old, knock off ten years", ["change person: less age, strength 0.5"]),
        ("make him look like he's in his seventies", ["change person: more age"]),
        ("he could do with losing a few pounds", ["change person: less weight"]),
        ("his ears stick out too much", ["change ears: less prominence"]),
        ("the lips aren't red enough", ["change lips: red colour"]),
        ("not so pale, and rosier lips", ["change skin: less pallor", "change lips: rose colour"]),
        ("take the shine off his skin", ["change skin: less shine"]),
        ("put some colour in his cheeks", ["change cheeks: more flush"]),
        ("turn him into an old bronze bust", ["change person: bronze material"]),
        ("turn her into a wooden puppet", ["change person: wood material"]),
        ("a clay version of her head wearing glasses", ["change person: clay material", "add glasses"]),
        ("she isn't wearing earrings, fix that", ["add earring (both)"]),
        ("he has no hat; give him a red one", ["add hat: red"]),
        ("he shouldn't be wearing a cap", ["remove hat: cap"]),
        ("his left ear only: a diamond stud", ["add stud: diamond (left)"]),
        ("heavy eyeshadow, light freckles", ["add eyeshadow, strength 1.5", "add freckles, strength 0.5"]),
        ("a heart tattoo under the right eye in red", ["add tattoo: red heart (right) at eyes"]),
        ("lighten the hair three shades", ["change hair: more lightness"]),
        ("gve her freckles", ["add freckles"]),
        ("he has a beard, shave it off", ["remove beard"]),
        ("remove the tattoo from his cheek and put it on the neck", ["move tattoo at neck"]),
        ("two earrings in the left ear, none in the right", ["add earring (left)", "remove earring (right)"]),
        ("a purple beret, on the left", ["add hat: purple beret"]),
        ("I think her lips are thin, plump them up", ["change lips: more fullness"]),
        ("a tattoo of a cross on the forehead, small", ["add tattoo: cross small at forehead"]),
        ("auburn hair like a true redhead", ["change hair: auburn colour"]),
        ("mirror the scar", ["move scar (other)"]),
        ("a jawline like a superhero", ["change jaw: more width"]),
        ("turn her brown eyes into green ones", ["change eyes: green colour"]),
        ("cut her hair a lot shorter, slightly wavier", ["change hair: less length, strength 1.5",
                                                         "change hair: more curl, strength 0.4"]),
        ("I don't like how big his ears are", ["change ears: less size"]),
        ("his right ear is bigger than the left, fix that", ["change ears: less size (right)"]),
        ("the nose half as wide", ["change nose: less width"]),
        ("rejuvenate this gentleman by two decades", ["change person: less age"]),
        ("make him look sixty", ["change person: more age"]),
        ("fuller lips, but only a tiny bit", ["change lips: more fullness, strength 0.4"]),
        ("freckles, but only on the nose, none on the cheeks",
         ["add freckles at nose", "remove freckles at cheeks"]),
        ("more wrinkles on the forehead, fewer around the eyes",
         ["add wrinkles at forehead", "remove wrinkles at eyes"]),
        ("move the mole from the left to the right cheek", ["move mole (right) at cheeks"]),
        ("swap the glasses for round ones", ["remove glasses", "add glasses: round"]),
        ("replace the studs with pearls", ["remove stud", "add stud: pearl (both)"]),
        ("a bald man with a scar over his right eye", ["remove hair", "add scar (right) at eyes"]),
        ("a freckled redhead", ["add freckles", "change hair: ginger colour"]),
        ("left eye green right eye brown", ["change eyes: green colour (left)", "change eyes: brown colour (right)"]),
        ("could the lips be more coral, less pink?", ["change lips: coral colour"]),
        ("without the heavy eyeliner", ["remove eyeliner"]),
        ("pierce both ears with tiny gold hoops", ["add earring: gold hoop small (both)"]),
        ("a nose ring, nothing fancy, thanks a lot", ["add nose_ring"]),
        ("mkae teh jaw softer", ["change jaw: less width"]),
        ("remove the acne", ["change skin: more smoothness"]),
        ("less hair", ["change hair: less thickness"]),
        ("add volume to her hair", ["change hair: more thickness"]),
    ],
)  # fmt: skip
def test_rules_read_what_is_said_in_odd_ways(text: str, lines: list[str]) -> None:
    plan = plan_edit(text)
    assert [step.words() for step in plan.operations] == lines
    assert not plan.refused and not plan.keep


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("thinner nose, but not her lips", "lips"),
        ("thinner nose, no change to the ears", "ears"),
        ("thinner nose, hair stays black", "hair"),
        ("nothing should change except the nose, make it thinner", ""),
        ("make the nose thinner without touching the mouth", "mouth"),
        ("a thinner nose without making the lips darker", "lips"),
        ("the nose thinner, the hairline stays put", "hair"),
        ("a thinner nose, same eyes", "eyes"),
        ("keep everything but the nose the same and make it thinner", ""),
    ],
)
def test_what_shall_stay_is_kept(text: str, keep: str) -> None:
    plan = plan_edit(text)
    assert plan.operations == (Operation("change", "nose", "width", "less"),)
    assert plan.keep == ((keep,) if keep else ()) and not plan.refused


@pytest.mark.parametrize("word", ["bear", "wings", "scarf", "crown", "hood", "brad", "finger", "chain"])
def test_words_that_are_right_are_not_corrected(word: str) -> None:
    assert spelt(word) == word


@pytest.mark.parametrize(
    ("form", "known"),
    [
        ("wavier", "wavy"),
        ("whitens", "whiten"),
        ("narrowing", "narrow"),
        ("reddest", "red"),
        ("slimming", "slim"),
    ],
)
def test_other_forms_of_a_word_are_the_word(form: str, known: str) -> None:
    assert spelt(form) == known


@pytest.mark.parametrize("word", ["lighting", "taller", "ring", "piercing", "corner", "winter"])
def test_words_that_only_end_alike_are_left(word: str) -> None:
    assert spelt(word) == word


@pytest.mark.parametrize(
    "text",
    ["a parrot on his shoulder", "a big parrot on his nose", "two noses", "rotate the earrings", "zoom in", "???",
     "not older", "neither older nor heavier", "turn him into a bear", "gold ones please",
     "turn his head to the left", "a double chin", "remove his face",
     "rm -rf /", "a chocolate statue",
     "make him less bald", "something like a tomato", "longer ears, please bark", "plus vieux"],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_and_not_half_done(text: str) -> None:
    plan = plan_edit(text)
    assert plan.refused
    assert all(step.target == "ears" for step in plan.operations)


def test_a_part_that_was_refused_is_still_what_the_next_clause_is_about() -> None:
    plan = plan_edit("his nose is crooked and too wide")
    assert plan.operations == (Operation("change", "nose", "width", "less"),)
    assert plan.refused == ("his nose is crooked",)


def test_refusals_say_why_where_it_is_known() -> None:
    assert "emoga reenact" in hint_for("make him smile")
    assert hint_for("a parrot") == ""


@pytest.mark.parametrize("text", ["", "   ", "a" * 1001])
def test_no_text_is_no_instruction(text: str) -> None:
    with pytest.raises(InputError, match="make him older"):
        plan_edit(text)


WORDS = [
    "keep",
    "red",
    "lips",
    "and",
    ",",
    "his",
    "left",
    "earring",
    "ear",
    "remove",
    "less",
    "older",
    "wings",
    "a",
]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80) | st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_any_text_gives_a_plan_that_survives_its_own_checks(text: str) -> None:
    try:
        plan = plan_edit(text)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert plan.operations or plan.refused or plan.keep
    assert plan_from_text(json.dumps(plan.as_json()), "plan").operations == plan.operations


def test_colours_have_values() -> None:
    assert colour_value("#ff0000") == (1, 0, 0)
    assert sum(colour_value("dark red")) < sum(colour_value("red")) < sum(colour_value("light red"))


STEP = {"action": "change", "target": "lips", "attribute": "colour", "colour": "red"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "no JSON object"),
        ({"operations": {}}, "no list"),
        ({"operations": [STEP] * 41}, "no list of at most 40"),
        ({"operations": [3]}, "an operation is no JSON object"),
        ({"operations": [{**STEP, "file": "/etc/passwd"}]}, "a key 'file'"),
        ({"read": "/etc/passwd"}, "a key 'read'"),
        ({"operations": [{**STEP, "target": "/etc/passwd"}]}, "'/etc/passwd' is not known"),
        ({"operations": [{**STEP, "action": "run\nrm"}]}, "'run rm' is not known"),
        ({"operations": [{**STEP, "strength": float("nan")}]}, "nan is not a number"),
        ({"operations": [{**STEP, "strength": True}]}, "not a number"),
        ({"operations": [{**STEP, "strength": 1e9}]}, "not a number from 0 to 2"),
        ({"operations": [{**STEP, "colour": "#zzzzzz"}]}, "write #rrggbb"),
        ({"operations": [{**STEP, "colour": "dark dark red"}]}, "write #rrggbb"),
        ({"operations": [{**STEP, "attribute": "age"}]}, "lips has no age"),
        ({"operations": [{**STEP, "style": ["x" * 9999]}]}, "style has"),
        ({"operations": [{"action": "add", "target": "lips"}]}, "cannot be added"),
        ({"keep": ["soul"]}, "keep has 'soul'"),
        ({"refused": [1]}, "refused has"),
        ({"text": 3}, "no text"),
    ],
)
def test_plans_that_are_none_are_refused_in_one_line(data: object, words: str) -> None:
    with pytest.raises(BadPlan) as caught:
        plan_from_json(data)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "x" * 300_000, '{"operations": [1]}'])
def test_a_file_that_holds_no_plan_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"plan\.json: ") as caught:
        plan_from_text(text, "plan.json")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


# ---- language models -----------------------------------------------------------------------------------------

ANSWER = {"operations": [STEP], "keep": ["hair"], "refused": [], "not_understood": []}


def ask(url: str, **options: object) -> EditPlan:
    return plan_edit_by_model("red lips", Endpoint(url, **{"timeout": 5.0, "retries": 1, **options}))


def test_a_model_is_held_to_the_schema_and_its_answer_becomes_a_plan() -> None:
    with server(lambda handler, _: reply(handler, says(ANSWER))) as (url, seen):
        plan = ask(url, key="secret-key")
    assert plan == EditPlan("red lips", (Operation(**STEP),), ("hair",))
    sent = seen.bodies[0]["response_format"]["json_schema"]["schema"]
    assert sent == plan_schema() and "secret-key" not in json.dumps(seen.bodies)
    assert "secret-key" not in repr(Endpoint(url, key="secret-key"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({**ANSWER, "read_file": "/etc/passwd"}, "a key 'read_file'"),
        ({**ANSWER, "operations": [{**STEP, "position": ["../../secret"]}]}, "position has"),
        ({**ANSWER, "text": "other"}, "not asked for"),
        ({"operations": []}, "it is empty"),
        ("I would paint the lips.", "not the JSON object"),
    ],
)
def test_a_model_that_misbehaves_is_one_line(answer: object, words: str) -> None:
    with (
        server(lambda handler, _: reply(handler, says(answer))) as (url, seen),
        pytest.raises(InputError) as caught,
    ):
        ask(url)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert len(seen.bodies) == 2


def test_a_model_that_is_not_there_is_a_missing_component() -> None:
    with server(lambda handler, _: reply(handler, b"")) as (url, _):
        pass
    with pytest.raises(MissingComponent, match="cannot be reached"):
        ask(url, retries=0)
