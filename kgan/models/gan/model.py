"""Unconditional GANs that differ only in their losses."""

import keras
import numpy as np
from keras import ops

from kgan import backend, losses
from kgan.adversarial import AdversarialModel, Phase
from kgan.layers import MovingCentres, shift_and_mirror
from kgan.models.conditional import check_range
from kgan.training import predict


@keras.saving.register_keras_serializable("kgan")
class GAN(AdversarialModel):
    """GAN with the non-saturating loss (Goodfellow et al., 2014), for a generator and discriminator of your choice.

    Fit on samples `(batch, ...)` of any shape; labels beside them are ignored. A step first updates the discriminator.
    It then updates the generator against the new discriminator, with fresh noise. Default optimizers are DCGAN's,
    Adam(2e-4, beta_1=0.5).

    Args:
        generator: `keras.Model` that maps latents `(batch, latent_dim)` to samples.
        discriminator: `keras.Model` that maps samples to a dict with `logits` `(batch, 1)`.
        latent_dim: length of the latent vector, drawn from N(0, 1).
        augment: whether the discriminator sees each image shifted by up to an eighth and with a chance of one half
            mirrored, real and generated (DiffAugment, which shifts so: Zhao et al., 2020). With a few hundred images a
            discriminator else learns them by heart. Generated images are themselves not augmented.

    Raises:
        ValueError: `augment` is set, but the samples are not images `(batch, height, width, channels)`.

    Example:

    ```python
    import kgan
    from kgan.models.gan import dcgan_discriminator, dcgan_generator

    images, _ = kgan.data.load("digits")
    model = kgan.GAN(dcgan_generator(32, 1, 64, width=0.125), dcgan_discriminator(32, 1, width=0.125), latent_dim=64)
    model.compile()
    model.fit(images[:256], batch_size=64, verbose=0)
    samples = model.generate(16, seed=0)  # (16, 32, 32, 1)
    ```
    """

    players = {"discriminator": ("discriminator",), "generator": ("generator",)}
    logged = ("real_accuracy", "fake_accuracy")

    def __init__(self, generator, discriminator, latent_dim, augment=False, **kwargs):
        super().__init__(**kwargs)
        if augment and len(generator.output_shape) != 4:
            raise ValueError(f"augment=True needs images, but samples are {generator.output_shape}.")
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.augment = augment

    def get_config(self):
        return {
            **super().get_config(),
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "latent_dim": self.latent_dim,
            "augment": self.augment,
        }

    @classmethod
    def from_config(cls, config):
        networks = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("generator", "discriminator")
        }
        return cls(**{**config, **networks})

    def unpack(self, data):
        """Return the samples of a batch, without their labels."""
        return super().unpack(data)[:1]

    def check_batch(self, samples):
        expected = self.generator.output_shape
        if tuple(samples.shape[1:]) != tuple(expected[1:]):
            raise ValueError(f"Samples must be {tuple(expected)}, as generated, got {tuple(samples.shape)}.")
        if getattr(self.generator.layers[-1], "activation", None) is keras.activations.tanh:
            check_range(samples, -1, 1, "Samples")

    def call(self, latents, training=False):
        """Map latents `(batch, latent_dim)` to samples."""
        return self.generator(latents, training=training)

    def generate(self, n, seed=None):
        """Generate `n` samples.

        Args:
            n: number of samples.
            seed: int for the same samples in every call, None for new ones.

        Returns:
            NumPy array `(n, ...)`.
        """
        latents = np.random.default_rng(seed).standard_normal((n, self.latent_dim), "float32")
        return predict(self.generator, latents)

    def phases(self):
        return [Phase(self.discriminator_phase, ("discriminator",)), Phase(self.generator_phase, ("generator",))]

    def fake(self, real, training):
        latents = keras.random.normal((ops.shape(real)[0], self.latent_dim), seed=self.seed_generator)
        return self.generator(latents, training=training)

    def shown(self, samples, training):
        """Return what the discriminator sees of samples."""
        return shift_and_mirror(samples, self.seed_generator) if self.augment and training else samples

    def discriminate(self, real, training):
        """Return the logits of real and of newly generated samples, for the update of the discriminator."""
        fake = ops.stop_gradient(self.fake(real, training))
        real, fake = self.shown(real, training), self.shown(fake, training)
        return (
            self.discriminator(real, training=training)["logits"],
            self.discriminator(fake, training=training)["logits"],
        )

    def discriminator_phase(self, real, training):
        real_logits, fake_logits = self.discriminate(real, training)
        return {
            "discriminator": losses.gan_discriminator_loss(real_logits, fake_logits),
            **losses.discriminator_accuracy(real_logits, fake_logits),
        }

    def generator_phase(self, real, training):
        fake = self.shown(self.fake(real, training), training)
        return {"generator": losses.gan_generator_loss(self.discriminator(fake, training=training)["logits"])}


@keras.saving.register_keras_serializable("kgan")
class FeatureMatchingGAN(GAN):
    """Mean feature matching GAN (CVAE-GAN, section 3.1).

    The discriminator minimises cross entropy, the generator the distance between mean features (eq. 2).

    Args:
        generator, latent_dim: as in `GAN`.
        discriminator: as in `GAN`, with an additional output `features` `(batch, n)`. In the paper, it is the input of
            the last fully connected layer.
        decay: decay of the moving averages of the mean features, in [0, 1). With 0 these are means over the batch, as
            in line 10 of Algorithm 1. Section 3.1 also mentions moving averages but gives no decay.
    """

    def __init__(self, generator, discriminator, latent_dim, decay=0.0, **kwargs):
        super().__init__(generator, discriminator, latent_dim, **kwargs)
        self.decay = decay
        self.centres = MovingCentres(1, discriminator.output["features"].shape[-1], decay)

    def get_config(self):
        return {**super().get_config(), "decay": self.decay}

    def generator_phase(self, real, training):
        real, fake = self.shown(real, training), self.shown(self.fake(real, training), training)
        real_features = self.discriminator(real, training=training)["features"]
        fake_features = self.discriminator(fake, training=training)["features"]
        labels = ops.zeros((ops.shape(real)[0],), "int32")
        return {"generator": losses.mean_matching_loss(*self.centres(real_features, labels, fake_features, labels))}


@keras.saving.register_keras_serializable("kgan")
class WGAN(GAN):
    """Wasserstein GAN with weight clipping (Arjovsky et al., 2017).

    The discriminator is a critic: its `logits` are scores. Each critic update sees fresh real data, because the batch
    from `fit` is split into `n_critic` shares. Pass `fit` a `batch_size` of `n_critic` times the batch size of one
    update. Default optimizers are the paper's, RMSprop(5e-5).

    Args:
        generator, discriminator, latent_dim: as in `GAN`.
        n_critic: number of critic updates per generator update.
        clip: bound of the critic's weights. After each update, they are clipped to [-clip, clip].
    """

    logged = ("wasserstein_distance",)

    def __init__(self, generator, discriminator, latent_dim, n_critic=5, clip=0.01, **kwargs):
        super().__init__(generator, discriminator, latent_dim, **kwargs)
        self.n_critic = n_critic
        self.clip = clip
        for variable in self.discriminator.trainable_variables if clip else ():
            variable.constraint = lambda value: ops.clip(value, -clip, clip)  # optimizers apply it after each update

    def get_config(self):
        return {**super().get_config(), "n_critic": self.n_critic, "clip": self.clip}

    def default_optimizers(self):
        return {player: keras.optimizers.RMSprop(5e-5) for player in self.players}

    def phases(self):
        return [
            Phase(self.discriminator_phase, ("discriminator",), repeats=self.n_critic),
            Phase(self.generator_phase, ("generator",)),
        ]

    def discriminator_phase(self, real, training):
        loss = losses.wasserstein_discriminator_loss(*self.discriminate(real, training))
        return {"discriminator": loss, "wasserstein_distance": -loss}

    def generator_phase(self, real, training):
        fake = self.shown(self.fake(real, training), training)
        return {"generator": losses.wasserstein_generator_loss(self.discriminator(fake, training=training)["logits"])}


@keras.saving.register_keras_serializable("kgan")
class WGANGP(WGAN):
    """Wasserstein GAN with gradient penalty (Gulrajani et al., 2017).

    The penalty is computed at points drawn uniformly on the lines between real and generated samples (Algorithm 1 of
    the paper). Default optimizers are the paper's, Adam(1e-4, beta_1=0, beta_2=0.9). The batch from `fit` is split as
    in `WGAN`.

    Args:
        generator, latent_dim: as in `GAN`.
        discriminator: as in `GAN`, without batch normalisation, because the penalty applies to each sample separately.
            Use `dcgan_discriminator(norm="layer")`, for example.
        n_critic: number of critic updates per generator update.
        penalty: lambda, the weight of the gradient penalty.

    Raises:
        ValueError: if the discriminator has batch normalisation.
    """

    logged = ("wasserstein_distance", "gradient_penalty")

    def __init__(self, generator, discriminator, latent_dim, n_critic=5, penalty=10.0, **kwargs):
        super().__init__(generator, discriminator, latent_dim, n_critic=n_critic, clip=None, **kwargs)
        if any(isinstance(layer, keras.layers.BatchNormalization) for layer in discriminator._flatten_layers()):
            raise ValueError(
                "The discriminator of WGANGP must not have batch normalisation, because the penalty applies to each "
                "sample separately; use layer normalisation."
            )
        self.penalty = penalty

    def get_config(self):
        config = {**super().get_config(), "penalty": self.penalty}
        del config["clip"]
        return config

    def default_optimizers(self):
        return {player: keras.optimizers.Adam(1e-4, beta_1=0.0, beta_2=0.9) for player in self.players}

    def discriminator_phase(self, real, training):
        fake = self.shown(ops.stop_gradient(self.fake(real, training)), training)
        real = self.shown(real, training)
        score = lambda samples: self.discriminator(samples, training=training)["logits"]  # noqa: E731
        loss = losses.wasserstein_discriminator_loss(score(real), score(fake))

        real = ops.cast(real, fake.dtype)
        shape = (ops.shape(real)[0], *[1] * (len(real.shape) - 1))
        along = keras.random.uniform(shape, dtype=fake.dtype, seed=self.seed_generator)
        slopes = backend.input_gradient(score, along * real + (1 - along) * fake)
        penalty = losses.gradient_penalty(slopes)
        return {
            "discriminator": loss + self.penalty * penalty,
            "wasserstein_distance": -loss,
            "gradient_penalty": penalty,
        }
