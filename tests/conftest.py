"""Before any test file imports torch: emoga sets how torch's threads wait."""

import emoga  # noqa: F401
