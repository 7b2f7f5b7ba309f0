"""Quantisation-aware training of the text filter's student (Jacob et al., 2018), which is not in the paper."""

import keras
from keras import layers, ops
from keras.quantizers import fake_quant_with_min_max_vars

from kgan.models.text_filter.model import RegionClassifier, TextStudent
from kgan.models.text_filter.networks import HIGHEST, RegionPooling

LEAST = 1e-6  # highest value of a range: kernels and maps that are all zeros have none


@keras.saving.register_keras_serializable("kgan")
class RoundedStudent(RegionClassifier):
    """A student's twin that rounds much as its int8 file does: training it teaches the student to bear that.

    It shares the student's layers and weights, and is used in the student's place in `fit` or in a distiller. The
    student itself rounds nothing. Kernels have 127 steps up to the largest value of each output channel, as in
    `TextStudent.round_kernels`; folding batch normalisation into them scales steps and values alike. Maps after a ReLU,
    and their means over regions, have 256 levels up to the ReLU's limit, the features' positive parts 256 up to the
    highest of the batch, so that scores depend a little on the batch. In the file, the highest values are those of the
    calibration images. The classifier is not rounded, because it stays in float32 in the int8 file. Gradients pass as
    if nothing were rounded.

    Args:
        student: a `TextStudent`.

    Raises:
        TypeError: `student` is another model.

    Example:

    ```python
    from kgan import data, text_filter

    images, labels = data.load("synthetic/scene_text", image_size=60, count=8)
    student = text_filter.TextStudent()
    rounded = text_filter.RoundedStudent(student)
    rounded.compile()
    rounded.fit(images, labels, verbose=0)
    student.round_kernels()  # before `kgan export`
    ```
    """

    def __init__(self, student, name=None):
        if not isinstance(student, TextStudent):
            raise TypeError(f"student is a {type(student).__name__}: pass a TextStudent.")
        network = keras.models.clone_model(student, clone_function=lambda layer: layer, call_function=_rounded)
        super().__init__(network, name or f"rounded_{student.name}", **student.options)
        self.student = student

    def get_config(self):
        return {"name": self.name, "student": keras.saving.serialize_keras_object(self.student)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**{**config, "student": keras.saving.deserialize_keras_object(config["student"])})


def _rounded(layer, *args, **kwargs):
    """Call a layer of the student and round what the int8 file rounds."""
    if hasattr(layer, "kernel") and layer.name != "classifier":
        return RoundedKernel(layer, dtype=layer.dtype_policy)(*args, **kwargs)
    outputs = layer(*args, **kwargs)
    if isinstance(layer, RegionPooling):
        return RoundedMap(HIGHEST, dtype=layer.dtype_policy)(outputs)
    if isinstance(layer, layers.ReLU):
        return RoundedMap(layer.max_value and float(layer.max_value), dtype=layer.dtype_policy)(outputs)
    return outputs


class RoundedKernel(layers.Wrapper):
    """Calls a convolution or a dense layer, both without activation, with its kernel rounded."""

    def call(self, inputs):
        kernel = ops.convert_to_tensor(self.layer.kernel)
        highest = ops.maximum(ops.max(ops.abs(kernel), axis=tuple(range(len(kernel.shape) - 1))), LEAST)
        rounded = fake_quant_with_min_max_vars(kernel, -highest, highest, narrow_range=True, axis=-1)
        kernel = _pass_gradients(kernel, rounded)
        dense = isinstance(self.layer, layers.Dense)
        outputs = ops.matmul(inputs, kernel) if dense else self.layer.convolution_op(inputs, kernel)
        return outputs + self.layer.bias if self.layer.use_bias else outputs


class RoundedMap(layers.Layer):
    """Rounds values that are not negative to 256 levels, up to `highest` or, without it, up to the highest value."""

    def __init__(self, highest=None, **kwargs):
        super().__init__(**kwargs)
        self.highest = highest

    def get_config(self):
        return {**super().get_config(), "highest": self.highest}

    def call(self, inputs):
        highest = self.highest or ops.maximum(ops.max(inputs), LEAST)
        return _pass_gradients(inputs, fake_quant_with_min_max_vars(inputs, 0.0, highest))


def _pass_gradients(inputs, rounded):
    return inputs + ops.stop_gradient(rounded - inputs)
