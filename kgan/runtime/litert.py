"""What every use of LiteRT needs."""

import contextlib
import os
import threading

_standard_error = threading.Lock()  # the whole process has but one


@contextlib.contextmanager
def quiet():
    """Suppresses the message about delegates that LiteRT writes to standard error; no option turns it off."""
    with _standard_error, open(os.devnull, "wb") as nowhere:
        try:
            kept = os.dup(2)
        except OSError:  # there is none, as in a program with windows or a daemon
            kept = None
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            if kept is None:
                os.close(2)
            else:
                os.dup2(kept, 2)
                os.close(kept)


class Network:
    """A LiteRT network with one input; it is called with an image and returns a list of arrays, the largest first.

    Args:
        path: of the `.tflite` file.
    """

    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter  # takes longer to import than all else here

        with quiet():
            self.interpreter = Interpreter(str(path), num_threads=1)
            self.interpreter.allocate_tensors()
        (self.input,) = self.interpreter.get_input_details()
        self.size = int(self.input["shape"][1])
        self.lock = threading.Lock()  # an interpreter mixes up the images of several threads

    def __call__(self, pixels):
        with self.lock:
            self.interpreter.set_tensor(self.input["index"], pixels.astype("float32")[None])
            self.interpreter.invoke()
            outputs = [self.interpreter.get_tensor(found["index"]) for found in self.interpreter.get_output_details()]
        return sorted(outputs, key=lambda output: -output.size)
