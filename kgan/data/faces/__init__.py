"""Drawn faces with the truth: skin, makeup, covers and light apart, so that what a transfer should give is known."""
