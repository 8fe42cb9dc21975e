"""Tests of the benchmark's own arithmetic; nothing is measured here."""
