"""Emotions on top of a performance: nothing at zero, in range, monotone, speech and blinks kept, gradients alive."""

from __future__ import annotations

import itertools

import pytest
import torch

from emoga.head import HeadParams, load_head
from emoga.motion.expressing import express, mix, own_performance
from emoga.motion.lips import PARTING_UNITS, bring_together, resting_gap
from emoga.motion.speech import EAGER, TEETH_APART, Parting

FPS = 25.0
STEPS = torch.linspace(0, 1, 21)


@pytest.fixture(scope="module")
def head():
    return load_head("open")


@pytest.fixture(scope="module")
def identity(head):
    return head.identify(0.6 * torch.randn(len(head.shape_names), generator=torch.Generator().manual_seed(4)))


def talking(head, frames=40):
    """Speech with shut lips in between, blinks, a silent stretch at the end; units beyond neutral here and there."""
    generator = torch.Generator().manual_seed(2)
    params = HeadParams.zeros(head, frames)
    time = torch.arange(frames) / FPS
    params.expr[:, head.unit("jawOpen")] = 0.5 * torch.sin(12 * time).clamp_min(0) * (time < 0.9)
    params.expr[:, head.unit("mouthClose")] = 0.3 * torch.sin(20 * time).clamp_min(0)
    params.expr[:, head.unit("browInnerUp")] = 0.7 * torch.rand(frames, generator=generator)
    params.expr[:, head.unit("mouthSmileLeft")] = 0.6 * torch.rand(frames, generator=generator)
    params.expr[::9, head.unit("eyeBlinkLeft")] = 1
    params.expr[:, head.unit("eyeWideLeft")] = 0.2
    params.jaw[:, 1] = 0.02 * torch.sin(3 * time)
    return params


@pytest.fixture(scope="module")
def performance(head, identity):
    neutral = torch.zeros(len(head.expr_names))
    neutral[head.unit("mouthSmileLeft")] = 0.1
    return own_performance(identity, neutral, talking(head), FPS)


def learned(head, seed):
    """An offset as learning may leave it: every unit pushed up or down, none further than a unit reaches."""
    generator = torch.Generator().manual_seed(seed)
    strong = torch.rand(len(head.expr_names), generator=generator) < 0.4
    return (2 * torch.rand(len(strong), generator=generator) - 1) * strong


def offsets_of(head):
    presets = {name: head.emotion(name) for name in head.presets}
    return presets | {f"learned {seed}": learned(head, seed) for seed in range(6)}


def test_an_offset_of_zero_changes_no_bit(head, performance):
    nothing = torch.zeros(len(head.expr_names))
    assert torch.equal(express(performance, nothing), performance.expr)
    both = torch.stack([head.emotion("happy"), head.emotion("surprised")])
    assert torch.equal(mix(performance, both, torch.zeros(len(performance.expr), 2)), performance.expr)


def test_what_begins_slowly_begins_at_the_performance(head, performance):
    for offset in offsets_of(head).values():
        slightly = mix(performance, offset[None], torch.full((len(performance.expr), 1), 1e-4))
        before, after = (
            performance.lips.corners.pose(expr, jaw=performance.jaw) for expr in (performance.expr, slightly)
        )
        assert (after - before).norm(dim=-1).max() < 1e-5, (
            "a ten-thousandth of an emotion moves lips by microns"
        )


def test_every_intensity_and_mixture_is_in_range(head, performance):
    frames = len(performance.expr)
    offsets = offsets_of(head)
    for first, second in itertools.combinations(offsets, 2):
        pair = torch.stack([offsets[first], offsets[second]])
        for share in (0.0, 0.3, 1.0):
            weights = torch.tensor([share, 1 - share]).expand(frames, 2)
            mixed = mix(performance, pair, weights)
            assert mixed.min() >= -1e-6 and mixed.max() <= 1 + 1e-6, (first, second, share)


def test_full_weight_is_what_training_saw(head, identity, performance):
    for offset in offsets_of(head).values():
        trained = express(performance, offset)
        played = mix(performance, offset[None], torch.ones(len(trained), 1))
        seen, shown = (identity.pose(expr, jaw=performance.jaw) for expr in (trained, played))
        assert (seen - shown).norm(dim=-1).max() < 1e-6


def test_gradients_inside_are_exact_and_borders_call_back(head, performance):
    offset = (0.1 * learned(head, 1)).requires_grad_()
    expr = performance.expr
    free = ((expr + offset) > 0.001) & ((expr + offset) < 0.999)
    unit = head.unit("browInnerUp")
    express(performance, offset)[:, unit].sum().backward()
    assert offset.grad[unit] == free[:, unit].sum() > 20

    far = torch.full((len(head.expr_names),), -3.0, requires_grad=True)
    unit = head.unit("mouthFrownLeft")
    (-express(performance, far)[:, unit].sum()).backward()
    assert far.grad[unit] == -len(expr), "wanted higher: the way back in is open"
    far.grad = None
    express(performance, far)[:, unit].sum().backward()
    assert far.grad[unit] == 0, "wanted lower still: nothing to gain"
    high = torch.full_like(far, 3.0).requires_grad_()
    express(performance, high)[:, unit].sum().backward()
    assert high.grad[unit] == len(expr)


def test_an_offset_from_nowhere_can_be_learned_back(head, performance):
    """Descent through the clamp finds an emotion although it starts with most units at their lower border."""
    wanted = express(performance, head.emotion("angry"))
    offset = torch.full((len(head.expr_names),), -0.2, requires_grad=True)
    descent = torch.optim.Adam([offset], lr=0.05)
    for _ in range(120):
        descent.zero_grad()
        error = (express(performance, offset) - wanted).square().sum()
        error.backward()
        descent.step()
    assert error < 0.02


def test_lips_shut_in_speech_stay_shut_under_all_intensities(head, identity, performance):
    shut = (performance.speech.lips.shut == 1) & (performance.speech.lips.words == 1)
    assert shut.sum() > 5
    before = performance.lips.gap(performance.expr, performance.jaw)
    for name in head.presets:
        for weight in (0.25, 0.5, 1.0):
            weights = torch.full((len(performance.expr), 1), weight)
            expr = mix(performance, head.emotion(name)[None], weights)
            opened = performance.lips.gap(expr, performance.jaw) - before
            assert opened[shut].max() < 0.0004, (name, weight)


def backtracking(values):
    """How far each column of values [W,...] goes back, in all, on its way from first to last."""
    onwards = torch.sign(values[-1] - values[0])
    return (-onwards * values.diff(dim=0)).clamp_min(0).sum(0)


CORNERS_AND_BROWS = [61, 291, 55, 52, 105, 46, 285, 282, 334, 276]  # of mediapipe478


@pytest.mark.parametrize("at", ["rest", "speech"])
def test_corners_and_brows_move_one_way_with_intensity(head, identity, performance, at):
    frames = [0, 2, 5, 9, 12, 17, 18, 30] if at == "speech" else [0]
    part = performance.select(frames)
    if at == "rest":
        part = own_performance(identity, performance.neutral, HeadParams.zeros(head, 30), FPS).select(frames)
    points = head.landmarks["mediapipe478"].select(torch.tensor(CORNERS_AND_BROWS))
    for name, offset in offsets_of(head).items():
        places = torch.stack(
            [
                points.points(
                    identity.pose(mix(part, offset[None], step.expand(len(frames), 1)), jaw=part.jaw)
                )
                for step in STEPS
            ]
        )
        assert backtracking(places).max() < 1e-4, f"{name}: back by more than 0.1 mm"


def test_mixtures_move_one_way_as_they_grow(head, identity, performance):
    part = performance.select([0, 5, 12, 30])
    points = head.landmarks["mediapipe478"].select(torch.tensor(CORNERS_AND_BROWS))
    for first, second in itertools.combinations(head.presets, 2):
        pair = torch.stack([head.emotion(first), head.emotion(second)])
        shares = torch.tensor([0.65, 0.35]).expand(4, 2)
        places = torch.stack(
            [points.points(identity.pose(mix(part, pair, step * shares), jaw=part.jaw)) for step in STEPS]
        )
        assert backtracking(places).max() < 1e-4, f"{first} with {second}: back by more than 0.1 mm"


def test_clamping_the_sum_instead_would_turn_corners_round(head, identity):
    """The rule that was there before fails the test above: this one can."""
    base = torch.zeros(len(head.expr_names))
    base[head.unit("mouthSmileLeft")] = 0.7
    offset = torch.zeros_like(base)
    offset[[head.unit("mouthSmileLeft"), head.unit("mouthFrownLeft")]] = torch.tensor([1.0, 0.9])
    points = head.landmarks["mediapipe478"].select(torch.tensor([61, 291]))
    summed = points.points(identity.pose((base + STEPS[:, None] * offset).clamp(0, 1)))
    assert backtracking(summed).max() > 1e-3


@pytest.mark.parametrize("shut", [0.01, 0.3, 0.9, 1.0])
def test_lips_come_as_near_as_asked_and_no_nearer(head, performance, shut):
    lips, jaw = performance.lips, performance.jaw
    before = performance.expr.clamp(0, 1)
    wide = (before + head.emotion("surprised")).clamp(0, 1)
    limit = lips.gap(before, jaw)
    closed = bring_together(lips, wide, jaw, limit, torch.full_like(limit, shut))
    wanted = torch.lerp(lips.gap(wide, jaw), limit, shut)
    reached = wanted > lips.gap(with_jaw_shut(head, wide), jaw)
    assert reached.sum() > 10
    assert (lips.gap(closed, jaw) - wanted)[reached].abs().max() < 1e-4


def with_jaw_shut(head, expr):
    """The same faces as near to shut as the jaw can bring them."""
    return expr.index_fill(1, torch.tensor([head.unit("jawOpen")]), 0)


def test_an_emotion_opens_and_shuts_a_mouth_with_the_speech_and_not_at_once(head, identity):
    """A silent face, lips at rest, that begins to speak: surprised, it shuts in time and opens with the words."""
    frames, begins = 60, 40
    params = HeadParams.zeros(head, frames)
    params.expr[begins:, head.unit("jawOpen")] = torch.linspace(0, 0.4, frames - begins)
    performance = own_performance(identity, torch.zeros(len(head.expr_names)), params, FPS)
    surprised = express(performance, head.emotion("surprised"))
    spoken, shown = (performance.lips.gap(expr, performance.jaw) for expr in (params.expr, surprised))
    opening = shown[0] - spoken[0]
    assert opening > 0.005, "silent, the emotion opens it"
    first_word = int((performance.speech.lips.shut < 1).nonzero()[0])
    assert (shown - spoken)[first_word - 3 : first_word].abs().max() < 4e-4, "lips meet before the word"
    assert shown[:first_word].diff().abs().max() < 0.25 * opening, "and are not snapped shut"
    parting = slice(first_word, None)
    assert (shown[parting].diff() - (1 + EAGER) * spoken[parting].diff()).max() < 2e-4
    assert (shown - spoken)[-1] > 0.9 * opening, "an open mouth opens as far as the emotion asks"


def test_a_wider_emotion_never_shows_less(head, performance):
    """Registration looks for the offset that opens lips as far as edits do: more of it must not shut them again."""
    lips = performance.lips
    offset = torch.zeros(len(head.expr_names))
    offset[head.unit("jawOpen")] = 1
    gaps = torch.stack([lips.gap(express(performance, step * offset), performance.jaw) for step in STEPS])
    assert gaps[-1].max() > 0.02
    assert backtracking(gaps).max() < 1e-4


def test_what_is_let_through_of_a_little_more_is_what_shows_of_it():
    free = torch.linspace(0, 0.01, 40).double()
    parting = Parting(free, free, torch.ones_like(free))
    for opening in (0.002, 0.01, 0.03):
        wide, wider = (torch.full_like(free, size) for size in (opening, opening + 1e-6))
        shown = wider * (1 - parting.held(wider)) - wide * (1 - parting.held(wide))
        told = parting.let_through(wide)
        assert told[0] == 0 and ((told > 0.01) & (told < 0.99)).any()
        assert (shown / 1e-6 - told).abs().max() < 0.01


def test_teeth_that_words_bring_together_stay_so_and_part_in_silence(head, identity):
    """Vowels around an "s", lips shut for a while, and then a smile held for seconds with teeth that show, shut."""
    frames, quiet, smile = 150, slice(60, 80), slice(100, 150)
    params = HeadParams.zeros(head, frames)
    for name in PARTING_UNITS[:4]:
        params.expr[:, head.unit(name)] = 1
        params.expr[quiet, head.unit(name)] = 0
    params.expr[:40, head.unit("jawOpen")] = 0.15
    params.expr[18:22, head.unit("jawOpen")] = 0
    performance = own_performance(identity, torch.zeros(len(head.expr_names)), params, FPS)
    lips = performance.lips
    assert (performance.speech.lips.apart[[10, 20, 120]] > 0.005).all(), "it is not lips that keep the jaw"
    opened = lips.gap_of_jaw(express(performance, head.emotion("surprised"))) - lips.gap_of_jaw(params.expr)
    assert opened[10] > 0.008, "a vowel opens as the emotion asks"
    assert (opened[18:22] <= 6 * TEETH_APART + 1e-5).all() and opened[10] > 3 * opened[20]
    assert (opened[smile] > 0.008).all(), "no word is spoken with teeth that stay together"


def test_lips_that_close_in_few_frames_are_known_to_close(performance):
    lips = performance.lips
    seldom = torch.cat([torch.full((2,), 0.0009), torch.linspace(0.004, 0.012, 48)])
    often = torch.cat([torch.linspace(-0.0002, 0.001, 25), torch.full((25,), 0.01)])
    assert 0.0009 < resting_gap(lips, seldom) < 0.0015
    assert resting_gap(lips, often) == pytest.approx(torch.quantile(often, 0.1).item())
    at_rest = lips.gap(torch.zeros(1, len(lips.corners.head.expr_names)))[0].item()
    never = resting_gap(lips, torch.full((50,), 0.012)).item()
    assert at_rest < never <= at_rest + 0.002 + 1e-6
