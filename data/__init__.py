"""Samples, tiny models and the scripts that made them; not part of the installed package."""
