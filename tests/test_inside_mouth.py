"""Inside a mouth nothing grows past what it covered at first, and all but teeth has the hue of the lips."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from painted import make_track

from emoga.capture import HeldOut
from emoga.fitting.inside_mouth import DULL, INSIDE, InsideMouth
from emoga.fitting.presets import Preset
from emoga.fitting.session import prepare
from emoga.fitting.trainer import HOLD_EVERY, Trainer
from emoga.progress import silent
from emoga.render.sh import SH_C0

LIPS = torch.tensor([0.6, 0.4, 0.3])


@pytest.fixture(scope="module")
def trainer(tmp_path_factory) -> Trainer:
    track = make_track(tmp_path_factory.mktemp("painted"), views=1)
    return prepare(track, HeldOut(), Preset(iterations=100, gaussians=9000), "smooth", 0, silent).trainer


def labelled(trainer: Trainer, *names: str) -> torch.Tensor:
    labels = torch.tensor([trainer.head.region_names.index(name) for name in names])
    return torch.isin(trainer.splats.gaussians.labels.long(), labels)


def held(trainer: Trainer, color: list[float]) -> torch.Tensor:
    """What becomes of a mouth's inside [M,B,3] that was taught a colour, from the front and otherwise from aside."""
    gaussians = trainer.splats.gaussians.detach()
    lips, inside = labelled(trainer, "lips"), labelled(trainer, *DULL)
    sh = torch.full((len(gaussians), 4, 3), 0.3)
    sh[lips, 0] = (LIPS - 0.5) / SH_C0
    sh[lips & (torch.cumsum(lips, 0) % 3 == 0), 0] = 0.4 / SH_C0  # of the lips, those that cover teeth
    sh[inside, 0] = (torch.tensor(color) - 0.5) / SH_C0
    before = sh.clone()
    trainer.inside.hold_colors(replace(gaussians, sh=sh))
    assert torch.equal(sh[~inside], before[~inside])
    assert not sh[inside, 1:].any()
    return SH_C0 * sh[inside, 0] + 0.5


@pytest.mark.parametrize(
    ("taught", "shade"),
    [([0.9, 0.85, 0.8], 1.0), ([0.3, 0.2, 0.15], 0.5), ([0.35, 0.15, 0.1167], 0.5), ([-0.2, -0.1, 0.0], 0.0)],
)
def test_whatever_a_tongue_is_taught_it_is_a_shade_of_the_lips(trainer, taught, shade) -> None:
    found = held(trainer, taught)
    torch.testing.assert_close(found, (shade * LIPS).expand_as(found), atol=1e-3, rtol=0)


def test_a_tongue_has_no_dark_spots(trainer) -> None:
    gaussians = trainer.splats.gaussians.detach()
    sh, tongue = torch.zeros_like(gaussians.sh), torch.nonzero(labelled(trainer, "tongue"))[:, 0]
    sh[:, 0] = (0.6 * LIPS - 0.5) / SH_C0
    sh[labelled(trainer, "lips"), 0] = (LIPS - 0.5) / SH_C0
    sh[tongue[:10], 0] = (0.0 * LIPS - 0.5) / SH_C0
    trainer.inside.hold_colors(replace(gaussians, sh=sh))
    colors = SH_C0 * sh[tongue, 0] + 0.5
    torch.testing.assert_close(colors[:10], (0.6 * DULL["tongue"] * LIPS).expand(10, 3))
    torch.testing.assert_close(colors[10:], (0.6 * LIPS).expand(len(tongue) - 10, 3))


def test_a_head_without_lips_holds_nothing(trainer) -> None:
    names = tuple(name.replace("lips", "mouth") for name in trainer.head.region_names)
    gaussians = trainer.splats.gaussians.detach()
    sh = torch.ones_like(gaussians.sh)
    replace(trainer.inside, head=replace(trainer.head, region_names=names)).hold_colors(
        replace(gaussians, sh=sh)
    )
    assert (sh == 1).all()
    lipless = replace(gaussians, sh=sh).select(~labelled(trainer, "lips"))
    trainer.inside.hold_colors(lipless)
    assert (lipless.sh == 1).all()


def test_inside_a_mouth_nothing_grows_larger_than_it_was(trainer) -> None:
    gaussians = trainer.splats.gaussians.detach()
    inside, scales = labelled(trainer, *INSIDE), gaussians.log_scales.clone()
    rules = InsideMouth.of(trainer.head, gaussians)
    grown = replace(gaussians, log_scales=scales + 2.0)
    rules.hold_sizes(grown)
    torch.testing.assert_close(grown.log_scales[~inside], scales[~inside] + 2.0)
    torch.testing.assert_close(grown.log_scales[inside], scales[inside].amax(1)[:, None].expand(-1, 3))
    shrunk = replace(gaussians, log_scales=scales - 1.0)
    rules.hold_sizes(shrunk)
    torch.testing.assert_close(shrunk.log_scales, scales - 1.0)


def test_clothing_may_grow_as_it_likes(trainer) -> None:
    gaussians = trainer.splats.gaussians.detach()
    loose = replace(
        gaussians, binding=torch.full_like(gaussians.binding, -1), log_scales=gaussians.log_scales + 5
    )
    trainer.inside.hold_sizes(loose)
    torch.testing.assert_close(loose.log_scales, gaussians.log_scales + 5)


def test_a_head_without_a_mouth_holds_no_sizes(trainer) -> None:
    gaussians = trainer.splats.gaussians.detach()
    names = tuple(f"no {name}" for name in trainer.head.region_names)
    rules = InsideMouth.of(replace(trainer.head, region_names=names), gaussians)
    assert rules.largest.isposinf().all()


def test_no_fit_leaves_a_mouth_in_colours_or_sizes_it_may_not_have(trainer) -> None:
    tongue, lips = labelled(trainer, "tongue"), labelled(trainer, "lips")
    largest = trainer.splats.gaussians.log_scales.detach()[tongue].max(1).values
    with torch.no_grad():
        trainer.splats.gaussians.sh[tongue] = 0.4 / SH_C0
        trainer.splats.gaussians.log_scales[tongue] += 2.0
    trainer.run(HOLD_EVERY, silent)
    gaussians = trainer.splats.gaussians.detach()
    colors = SH_C0 * gaussians.sh + 0.5
    expected = colors[lips, 0].median(0).values
    torch.testing.assert_close(colors[tongue, 0], expected.expand(int(tongue.sum()), 3))
    torch.testing.assert_close(gaussians.log_scales[tongue], largest[:, None].expand(-1, 3))


def test_several_cameras_may_find_teeth_larger(tmp_path) -> None:
    track = make_track(tmp_path, views=2)
    rig = prepare(track, HeldOut(), Preset(iterations=100, gaussians=9000), "smooth", 0, silent).trainer
    teeth = labelled(rig, "teeth")
    largest = rig.splats.gaussians.log_scales.detach()[teeth].max(1).values
    with torch.no_grad():
        rig.splats.gaussians.log_scales[teeth] += 2.0
    rig.run(HOLD_EVERY, silent)
    grown = rig.splats.gaussians.detach().log_scales[teeth].max(1).values
    assert (grown > largest + 1).float().mean() > 0.9
