"""Inside a mouth all but teeth has the hue of the lips, and is no brighter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from painted import make_track

from emoga.capture import HeldOut
from emoga.fitting.mouth_colors import DULL, hold_mouth
from emoga.fitting.presets import Preset
from emoga.fitting.session import prepare
from emoga.fitting.trainer import HOLD_EVERY, Trainer
from emoga.progress import silent
from emoga.render.sh import SH_C0

LIPS = torch.tensor([0.6, 0.4, 0.3])


@pytest.fixture(scope="module")
def trainer(tmp_path_factory) -> Trainer:
    track = make_track(tmp_path_factory.mktemp("painted"))
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
    hold_mouth(replace(gaussians, sh=sh), trainer.head)
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
    hold_mouth(replace(gaussians, sh=sh), trainer.head)
    colors = SH_C0 * sh[tongue, 0] + 0.5
    torch.testing.assert_close(colors[:10], (0.6 * DULL["tongue"] * LIPS).expand(10, 3))
    torch.testing.assert_close(colors[10:], (0.6 * LIPS).expand(len(tongue) - 10, 3))


def test_a_head_without_lips_holds_nothing(trainer) -> None:
    names = tuple(name.replace("lips", "mouth") for name in trainer.head.region_names)
    gaussians = trainer.splats.gaussians.detach()
    sh = torch.ones_like(gaussians.sh)
    hold_mouth(replace(gaussians, sh=sh), replace(trainer.head, region_names=names))
    assert (sh == 1).all()
    lipless = replace(gaussians, sh=sh).select(~labelled(trainer, "lips"))
    hold_mouth(lipless, trainer.head)
    assert (lipless.sh == 1).all()


def test_no_fit_leaves_a_tongue_in_colours_of_teeth(trainer) -> None:
    tongue, lips = labelled(trainer, "tongue"), labelled(trainer, "lips")
    with torch.no_grad():
        trainer.splats.gaussians.sh[tongue] = 0.4 / SH_C0
    trainer.run(HOLD_EVERY, silent)
    colors = SH_C0 * trainer.splats.gaussians.sh.detach() + 0.5
    expected = colors[lips, 0].median(0).values
    torch.testing.assert_close(colors[tongue, 0], expected.expand(int(tongue.sum()), 3))
