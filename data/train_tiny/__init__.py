"""Training and scoring of the tiny models in ``data/models/tiny``."""
