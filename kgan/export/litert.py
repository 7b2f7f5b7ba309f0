"""Reduce the size of LiteRT models and list their operators."""

from collections import Counter

import numpy as np
from ai_edge_litert.tools.flatbuffer_utils import (
    convert_object_to_bytearray,
    opcode_to_name,
    read_model_from_bytearray,
)


class Shared:
    """A part of a model that is written once and referenced wherever it is repeated."""

    def __init__(self, part, written):
        self.part, self.written = part, written

    def Pack(self, builder):
        values = vars(self.part).items()
        key = repr([(name, value.tolist() if isinstance(value, np.ndarray) else value) for name, value in values])
        if key not in self.written:
            self.written[key] = self.part.Pack(builder)
        return self.written[key]


class Aligned:
    """A buffer aligned to 16 bytes, as the format requires. The Python packer does not align buffers."""

    def __init__(self, buffer):
        self.buffer = buffer

    def Pack(self, builder):
        if self.buffer.data is not None:
            builder.Prep(16, len(self.buffer.data))
        return self.buffer.Pack(builder)


def shrink(model):
    """Return the same model without names of inner tensors, and with the data that its signatures share stored once."""
    model = read_model_from_bytearray(model)
    buffers, places = [model.buffers[0]], {b"": 0}

    def place(index):
        data = model.buffers[index].data
        data = b"" if data is None else bytes(data)
        if data not in places:
            places[data] = len(buffers)
            buffers.append(Aligned(model.buffers[index]))
        return places[data]

    written = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.name, tensor.buffer = None, place(tensor.buffer)
            if tensor.quantization is not None:
                tensor.quantization = Shared(tensor.quantization, written)
    for signature in model.signatureDefs:
        for end in (*signature.inputs, *signature.outputs):
            model.subgraphs[signature.subgraphIndex].tensors[end.tensorIndex].name = end.name
    for entry in model.metadata or []:
        entry.buffer = place(entry.buffer)
    model.buffers = buffers
    return bytes(convert_object_to_bytearray(model))


def operators(model):
    """Count the operators of each signature of a model: `{signature: {operator: count}}`."""
    model = read_model_from_bytearray(model)
    found = {}
    for signature in model.signatureDefs:
        steps = model.subgraphs[signature.subgraphIndex].operators
        found[signature.signatureKey.decode()] = dict(sorted(Counter(operator(model, step) for step in steps).items()))
    return found


def operator(model, step):
    """Return the name of an operator, such as `CONV_2D`."""
    return opcode_to_name(model, step.opcodeIndex)
