"""Drawn faces with the truth: skin, makeup and light apart, so that what a transfer of makeup should give is known."""
