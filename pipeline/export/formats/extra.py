"""Libraries that only some formats need."""

from __future__ import annotations

from pipeline.errors import ConfigError


def missing_extra(format_name: str, library: str) -> ConfigError:
    """Say what to install."""
    return ConfigError(
        f"--format {format_name}: needs {library}, which is not installed: "
        "pip install 'autolabel-pipeline[export]'"
    )
