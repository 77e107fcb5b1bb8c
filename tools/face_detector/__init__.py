"""Pictures of synthetic faces, and the training of emoga's own landmark detector on them."""
