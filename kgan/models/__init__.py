"""The models, one folder per paper: `networks.py` (weights, no losses) and `model.py` (players, phases, inference)."""
