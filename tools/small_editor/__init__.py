"""The small diffusion editor's making: films, painted pairs, networks, training."""
