"""Radioactive data: mark what you publish, later prove that a model was trained on it (Sablayrolles et al. 2020)."""
