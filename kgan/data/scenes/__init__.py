"""Drawn scenes that look like photographs, with and without text in them, and where that text is."""
