"""PyTorch: `torch.autograd.grad` once per loss, on one graph."""

import torch
from keras.random import SeedGenerator

__all__ = ["SeedGenerator", "TrainStep", "gradients", "input_gradient"]


def gradients(model, phase, groups):
    with torch.enable_grad():
        scalars = phase()
    grads = {}
    for i, (key, group) in enumerate(groups.items()):
        keep = i < len(groups) - 1
        grads[key] = torch.autograd.grad(scalars[key], [v.value for v in group], retain_graph=keep)
    return {key: value.detach() for key, value in scalars.items()}, grads


def input_gradient(fn, x):
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        return torch.autograd.grad(fn(x).sum(), x, create_graph=True)[0]


class TrainStep:
    def train_step(self, data):
        with torch.no_grad():  # only phases need a graph; optimizers and trackers do not
            return self.update(data)

    def test_step(self, data):
        return self.assess(data)
