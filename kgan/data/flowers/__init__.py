"""Drawn flowers of twelve species."""
