"""Small generators of random weights whose pictures have contrast."""

import keras
import numpy as np

import kgan

CLASSES = 3
LATENTS = 8


def conditional(model=None, **options):
    """A `CGAN`, or another class, for 3 classes and 32 pixels, in colour."""
    model = (model or kgan.CGAN)(CLASSES, 32, channels=3, latent_dim=LATENTS, width=0.1, **options)
    heighten(model.generator, lambda: model.generate(np.arange(60) % CLASSES, seed=0))
    return model


def translator(model):
    """A `MMSSIT` or `CDAAE` for 3 classes."""
    model = model(CLASSES, style_dim=LATENTS, width=0.1)
    for source, target in ("ab", "ba"):
        noise = np.random.default_rng(0).uniform(-1, 1, (20, 32, 32, 3)).astype("float32")
        heighten(model._part("decoder", target), lambda s=source, t=target, n=noise: model.translate(n, s, t, seed=0))
    return model


def free(output, name="generator"):
    """A `GAN` whose generator maps a dense layer's 6 x 10 values by a function."""
    latents = keras.Input((LATENTS,))
    values = keras.layers.Reshape((6, 10, 1))(keras.layers.Dense(60, name=f"{name}_dense")(latents))
    generator = keras.Model(latents, output(values), name=name)
    sample = keras.Input(generator.output_shape[1:])
    logits = keras.layers.Dense(1)(keras.layers.Flatten()(sample))
    return kgan.GAN(generator, keras.Model(sample, {"logits": logits}), LATENTS)


def heighten(network, draw):
    """Scales the last layer with weights, twice, so that what is drawn has a standard deviation near .5."""
    last = [layer for layer in network.layers if layer.weights][-1]
    for _ in range(2):
        weights = last.get_weights()
        last.set_weights([weights[0] * 0.5 / np.std(draw()), *weights[1:]])


def grey(images):
    """Grey levels of images in [-1, 1], in float64 with halves to even."""
    return np.rint((np.asarray(images, "float64") + 1) * 127.5)
