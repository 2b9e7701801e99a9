"""Thin Prefect flows over pipeline (see the issue on schedules)."""
