"""The network of PRNet, which finds where in a photograph each texel of a face lies (Feng et al., 2018)."""

import os

import keras
import numpy as np
from keras import layers

from kgan.layers import channels_last
from kgan.models.conditional import check_range
from kgan.training import predict

REACH = 1.1  # the largest coordinate, as a share of the side of the image
# Channels and stride of the residual blocks, and of the transposed convolutions after them.
BLOCKS = ((32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
UPWARDS = (
    ((512, 1), (256, 2), (256, 1), (256, 1), (128, 2), (128, 1), (128, 1), (64, 2), (64, 1), (64, 1))
    + ((32, 2), (32, 1), (16, 2), (16, 1))
    + ((3, 1), (3, 1), (3, 1))
)


@keras.saving.register_keras_serializable("kgan")
class PositionMapNet(keras.Model):
    """Finds the position in a photograph of each texel of a face: `resfcn256` of PRNet.

    The makeup paper takes textures by PRNet. kgan has no weights for it: its authors' were trained on 300W-LP, which
    is for research only. `load_checkpoint` reads the file that they publish.

    A call maps faces `(batch, size, size, 3)` in [0, 1], cut out with a margin, to position maps `(batch, size, size,
    3)` in pixels: x, y and a depth that grows towards the camera. `kgan.faces.prnet` cuts out a face and puts the
    positions back into its photograph.

    Args:
        size: height and width of the faces and of the maps, a multiple of 32. PRNet's is 256.

    Raises:
        ValueError: `size` is not a multiple of 32.

    Example:

    ```python
    import numpy as np
    from kgan.makeup import PositionMapNet

    network = PositionMapNet(size=64)
    positions = network.predict(np.zeros((1, 64, 64, 3), "float32"), verbose=0)  # (1, 64, 64, 3)
    ```
    """

    def __init__(self, size=256, **kwargs):
        super().__init__(**kwargs)
        if size < 32 or size % 32:
            raise ValueError(f"size={size}: pass a multiple of 32.")
        self.size = size
        self.network = _build(size)
        self.built = True

    def get_config(self):
        return {**super().get_config(), "size": self.size}

    def call(self, faces, training=False):
        return self.network(faces, training=training) * (REACH * self.size)

    def positions(self, faces):
        """Return the position maps of faces, float32 `(n, size, size, 3)`.

        Args:
            faces: `(n, size, size, 3)` in [0, 1].

        Raises:
            ValueError: faces have another size or range.
        """
        faces = np.asarray(faces, "float32")
        if faces.shape[1:] != (self.size, self.size, 3):
            raise ValueError(f"Faces must be (n, {self.size}, {self.size}, 3), got {faces.shape}.")
        check_range(faces, 0, 1, "Faces")
        return predict(self, faces, batch_size=8)

    def load_checkpoint(self, prefix):
        """Read the weights of PRNet's TensorFlow checkpoint.

        Args:
            prefix: path of the checkpoint's two files, without `.index` and `.data-00000-of-00001`, such as
                `"net-data/256_256_resfcn256_weight"`.

        Raises:
            FileNotFoundError: one of the files is missing.
            ValueError: it is broken, or of another network.
        """
        import tensorflow as tf  # reads the file, whatever the backend

        prefix = str(prefix).removesuffix(".index")
        for path in (f"{prefix}.index", f"{prefix}.data-00000-of-00001"):
            if not os.path.isfile(path):
                raise FileNotFoundError(f"{path} is missing: a checkpoint is this file and the other one.")
        variables = {_name(layer, variable): variable for layer in self.network.layers for variable in layer.weights}
        try:
            reader = tf.train.load_checkpoint(prefix)
            shapes = reader.get_variable_to_shape_map()
            values = {name: reader.get_tensor(name) for name in variables if name in shapes}
        # The reader's exceptions are of several types.
        except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
            raise ValueError(f"{prefix} is no TensorFlow checkpoint, or damaged: {error}") from None
        for name, variable in variables.items():
            if shapes.get(name) != list(variable.shape):
                raise ValueError(f"{prefix}: {name} is {shapes.get(name)} instead of {list(variable.shape)}.")
        for name, variable in variables.items():
            variable.assign(values[name])


def _name(layer, variable):
    """Return the name of a variable in the checkpoint."""
    return f"resfcn256/{layer.name.replace('-', '/')}/{'weights' if variable.name == 'kernel' else variable.name}"


# === The network; layers are called as in the checkpoint, with a hyphen for each slash ===


@channels_last
def _build(size):
    x = faces = keras.Input((size, size, 3), name="faces")
    x = _norm(_conv(x, 16, 4, 1, "Conv"), "Conv", "relu")
    for number, (channels, stride) in enumerate(BLOCKS):
        x = _residual(x, channels, stride, "resBlock" + f"_{number}" * bool(number))
    for number, (channels, stride) in enumerate(UPWARDS):
        name = "Conv2d_transpose" + f"_{number}" * bool(number)
        x = layers.Conv2DTranspose(channels, 4, stride, padding="same", use_bias=False, name=name)(x)
        x = _norm(x, name, "relu" if number + 1 < len(UPWARDS) else "sigmoid")
    return keras.Model(faces, x, name="resfcn256")


def _residual(x, channels, stride, name):
    shortcut = x
    if stride != 1 or x.shape[-1] != channels:
        shortcut = _conv(x, channels, 1, stride, f"{name}-shortcut")
    x = _norm(_conv(x, channels // 2, 1, 1, f"{name}-Conv"), f"{name}-Conv", "relu")
    x = _norm(_conv(x, channels // 2, 4, stride, f"{name}-Conv_1"), f"{name}-Conv_1", "relu")
    x = _conv(x, channels, 1, 1, f"{name}-Conv_2") + shortcut
    return _norm(x, name, "relu")


def _conv(x, channels, kernel, stride, name):
    return layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=name)(x)


def _norm(x, name, activation):
    x = layers.BatchNormalization(momentum=0.999, epsilon=1e-3, name=f"{name}-BatchNorm")(x)
    return layers.Activation(activation, dtype="float32" if activation == "sigmoid" else None)(x)
