"""One folder a paper: `networks.py` (weights, no losses), `model.py` (players, phases, inference)."""
