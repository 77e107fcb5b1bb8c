"""The diffusion editors known by name: where their weights come from and how strongly they are guided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter

from emoga.errors import InputError


@dataclass(frozen=True)
class Guidance:
    """A guidance scale: its default, the range in which it works, and the pipeline's name for it."""

    default: float
    low: float
    high: float
    argument: str

    def checked(self, value: float | None, editor: str, option: str) -> float:
        """The value, or the default for None. Raises InputError outside the range."""
        if value is None:
            return self.default
        if not self.low <= value <= self.high:
            raise InputError(f"{editor}: {option} {value:g} must be between {self.low:g} and {self.high:g}")
        return value


class Scale:
    """A guidance scale in use, by the pipeline's name for it; None leaves the pipeline's own."""

    def __init__(self, argument: str, value: float | None) -> None:
        self.argument, self.value = argument, value

    @classmethod
    def checked(
        cls, guidance: Guidance | None, value: float | None, has_default: bool, editor: str, option: str
    ) -> Scale:
        """The scale for an option's value. Raises InputError for one outside its range, or that is not there."""
        if guidance is None:
            if value is not None:
                raise InputError(f"{editor}: has no {option}")
            return cls("", None)
        if value is None and not has_default:
            return cls(guidance.argument, None)
        return cls(guidance.argument, guidance.checked(value, editor, option))

    def arguments(self, known: Mapping[str, Parameter], strength: float = 1.0) -> dict[str, float]:
        """For a pipeline of these parameters: at strength 1 the scale itself, below it nearer to 1, no guidance."""
        if self.argument not in known:
            return {}
        value = known[self.argument].default if self.value is None else self.value
        return {self.argument: 1 + strength * (value - 1)} if isinstance(value, int | float) else {}


@dataclass(frozen=True)
class Family:
    """One kind of editor.

    classes: names that `model_index.json` may carry; size: side of the square it is given, in pixels;
    packages: that it needs beside those of the extra.
    """

    name: str
    repository: str
    classes: tuple[str, ...]
    size: int
    steps: int
    text: Guidance
    image: Guidance | None = None
    packages: tuple[str, ...] = ()

    def how_to_get(self, folder: object) -> str:
        """The command that brings the weights to `folder`."""
        return f"hf download {self.repository} --local-dir {folder}"


def _families(*families: Family) -> dict[str, Family]:
    return {family.name: family for family in families}


FAMILIES = _families(
    # Guidance: EMO-GA, section 4.6 and figure 4.6; steps: the model's own example.
    Family(
        name="ultraedit",
        repository="BleachNick/SD3_UltraEdit_w_mask",
        classes=("StableDiffusion3InstructPix2PixPipeline",),
        size=512,
        steps=50,
        text=Guidance(5.0, 4.5, 6.0, "guidance_scale"),
        image=Guidance(2.0, 1.5, 2.5, "image_guidance_scale"),
    ),
    Family(
        name="instruct-pix2pix",
        repository="timbrooks/instruct-pix2pix",
        classes=("StableDiffusionInstructPix2PixPipeline",),
        size=512,
        steps=50,
        text=Guidance(7.5, 1.0, 20.0, "guidance_scale"),
        image=Guidance(1.5, 1.0, 5.0, "image_guidance_scale"),
    ),
    Family(
        name="flux-kontext",
        repository="black-forest-labs/FLUX.1-Kontext-dev",
        classes=("FluxKontextPipeline",),
        size=1024,
        steps=28,
        text=Guidance(2.5, 1.0, 10.0, "guidance_scale"),
    ),
    Family(
        name="qwen-image-edit",
        repository="Qwen/Qwen-Image-Edit",
        classes=("QwenImageEditPipeline", "QwenImageEditPlusPipeline"),
        size=1024,
        steps=50,
        text=Guidance(4.0, 1.0, 10.0, "true_cfg_scale"),
        # Its processor of pictures and words brings one of videos along, which is made of torchvision.
        packages=("torchvision",),
    ),
)
# A folder that is none of these keeps its pipeline's own guidance unless told.
ANY_TEXT = Guidance(7.5, 1.0, 20.0, "guidance_scale")
ANY_IMAGE = Guidance(1.5, 1.0, 5.0, "image_guidance_scale")
ANY_SIZE, ANY_STEPS = 512, 50
