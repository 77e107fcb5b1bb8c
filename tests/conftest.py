"""Before any test file imports torch: emoga sets how torch's threads wait. And the head that trackers solve for."""

import emoga  # noqa: F401

# isort: split
import pytest
import torch

from emoga.head import Head, load_head


@pytest.fixture(scope="session")
def head() -> Head:
    """The shipped head in the precision that tracking solves in."""
    return load_head().to(dtype=torch.float64)
