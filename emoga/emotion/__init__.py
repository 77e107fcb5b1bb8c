"""`emoga optimize-emotion`: an avatar that never showed an emotion learns it from edited pictures."""
