"""Timings and memory, measured in one run on one machine; tests never time anything."""
