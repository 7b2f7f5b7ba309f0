"""Drawn scenes that look like photographs, with and without text, and the outlines of that text."""
