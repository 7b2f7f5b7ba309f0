"""MM-SSIT. Equation and figure numbers refer to Bai et al., 2019."""

import keras
import numpy as np
from keras import ops

from kgan import losses
from kgan.adversarial import AdversarialModel, Phase
from kgan.layers import check_shape
from kgan.models.conditional import check_images, check_labels, check_num_classes
from kgan.models.mm_ssit.networks import (
    SIZES,
    build_category_classifier,
    build_decoders,
    build_domain_classifier,
    build_encoders,
    build_style_discriminator,
)
from kgan.presets import HasPresets
from kgan.training import predict

DOMAINS = ("a", "b")
CONTENTS = ("content_encoder_a", "content_encoder_b")
STYLES = ("style_encoder_a", "style_encoder_b")
DECODERS = ("decoder_a", "decoder_b")
# The networks that each term of eq. 7 trains when it has an optimizer of its own. As in CDAAE's code, the prior of the
# styles trains the style tails alone, not the stem below them.
TRAINED = {
    "style": STYLES,
    "domain": CONTENTS,
    "label": (*CONTENTS, "category_classifier"),
    "consistency": (*CONTENTS, "category_classifier", *DECODERS),
    "self_consistency": (*CONTENTS, "category_classifier", *DECODERS),
    "reconstruction": (*CONTENTS, *STYLES, *DECODERS),
    "style_recovery": (*CONTENTS, *STYLES, *DECODERS),
}
# Weights of the terms of eq. 7, one for both domains or one for each. "cdaae": from CDAAE's code, for SVHN and MNIST.
WEIGHTS = {
    "paper": {
        "style": 1,
        "domain": 1,
        "label": 1,
        "consistency": 1,
        "self_consistency": 1,
        "reconstruction": 1,
        "style_recovery": 0,
    },
    "cdaae": {
        "style": 1,
        "domain": 1,
        "label": (5.0, 0.5),
        "consistency": 0.3,
        "self_consistency": 0.3,
        "reconstruction": (2.0, 0.15),
        "style_recovery": 0,
    },
}


class DomainTranslator(HasPresets, AdversarialModel):
    """Base class of MM-SSIT and CDAAE, with encoders of content and style and one decoder per domain.

    Args:
        num_classes, image_size, style_dim, content_dim, share, width, mixed_norm: as in `MMSSIT`.
        code_dim: length of the content vector that the decoders take.
        players: as of `AdversarialModel`.
    """

    def __init__(
        self,
        num_classes,
        image_size,
        style_dim,
        content_dim,
        share,
        width,
        mixed_norm,
        code_dim,
        players=None,
        /,
        **kwargs,
    ):
        super().__init__(players, **kwargs)
        check_shape(image_size, sizes=SIZES)
        self.num_classes = check_num_classes(num_classes)
        self.image_size = image_size
        self.style_dim = style_dim
        self.content_dim = content_dim
        self.share = tuple(share)
        self.width = width
        self.mixed_norm = mixed_norm
        sizes = (image_size, len(DOMAINS), style_dim)
        content_encoders, style_encoders = build_encoders(*sizes, content_dim, width, mixed_norm)
        self.content_encoder_a, self.content_encoder_b = content_encoders
        self.style_encoder_a, self.style_encoder_b = style_encoders
        self.decoder_a, self.decoder_b = build_decoders(*sizes, code_dim, width, mixed_norm, self.share)
        self.style_discriminator_a, self.style_discriminator_b = (
            build_style_discriminator(style_dim, f"style_discriminator_{d}") for d in DOMAINS
        )
        self.category_classifier = build_category_classifier(content_dim, self.num_classes)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "image_size": self.image_size,
            "style_dim": self.style_dim,
            "content_dim": self.content_dim,
            "share": self.share,
            "width": self.width,
            "mixed_norm": self.mixed_norm,
        }

    def default_optimizers(self):
        return {player: keras.optimizers.Adam(3e-4) for player in self.players}

    def fit(self, x=None, *args, **kwargs):
        """Train as `AdversarialModel.fit` does, after a check that labels are complete.

        If `x` is a dict, the labels of each domain must either include every class or all be -1.

        Raises:
            ValueError: if a domain has labels of some classes only.
        """
        classes = set(range(self.num_classes))
        for d in DOMAINS if isinstance(x, dict) else ():
            found = set(np.ravel(x.get(f"labels_{d}", -1)).tolist()) - {-1}
            if found and found < classes:
                raise ValueError(
                    f"labels_{d} has no class {min(classes - found)}: pass labels of every class, or -1 for all rows."
                )
        return super().fit(x, *args, **kwargs)

    def check_batch(self, batch, labels=None):
        names = [f"{kind}_{d}" for d in DOMAINS for kind in ("images", "labels")]
        if not isinstance(batch, dict) or set(batch) != set(names) or labels is not None:
            found = sorted(batch) if isinstance(batch, dict) else type(batch).__name__
            raise ValueError(f"{type(self).__name__} needs one dict of {', '.join(names)}, got {found}.")
        if len({len(array) for array in batch.values()}) > 1:
            raise ValueError(f"All arrays must have the same length, got { {k: len(v) for k, v in batch.items()} }.")
        for d in DOMAINS:
            check_images(batch[f"images_{d}"], self.image_size, 3, f"Images of {d}")
            check_labels(batch[f"labels_{d}"], self.num_classes, lowest=-1, name=f"labels_{d}")

    def _part(self, network, domain):
        return getattr(self, f"{network}_{domain}")

    def call(self, inputs, training=False):
        """Map `(images of a, styles)` to images of b."""
        images, styles = inputs
        content = self.content_encoder_a(images, training=training)["content"]
        return self.decoder_b([self.code(content), styles], training=training)

    # === Inference ===

    def encode(self, images, domain):
        """Encode images as content and style.

        Args:
            images: `(n, image_size, image_size, 3)` in [-1, 1].
            domain: `"a"` or `"b"`.

        Returns:
            `(content, style)`, NumPy arrays. The content is `(n, content_dim)`, in CDAAE `(n, num_classes)`. The style
            is `(n, style_dim)`.

        Raises:
            ValueError: if the images have a wrong shape or range, or the domain is unknown.
        """
        content, style = self._look_at(images, domain)
        return ops.convert_to_numpy(self.code(content)), style

    def code(self, content):
        """Map the output of the content encoder to the content that decoders take, `(n, code_dim)`."""
        return content

    def classify(self, images, domain):
        """Return class probabilities `(n, num_classes)`. Arguments as in `encode`."""
        logits = predict(self.category_classifier, self._look_at(images, domain)[0], batch_size=256)
        return ops.convert_to_numpy(ops.softmax(logits))

    def _look_at(self, images, domain):
        self._check_domain(domain)
        images = np.asarray(images, "float32")
        check_images(images, self.image_size, 3, f"Images of {domain}")
        codes = predict(self._part("content_encoder", domain), images, batch_size=256)
        return codes["content"], predict(self._part("style_encoder", domain), codes["stem"], batch_size=256)

    def translate(self, images, source="a", target="b", styles=None, samples=1, seed=None):
        """Translate images to a domain: keep the content and use several styles.

        Args:
            images: `(n, image_size, image_size, 3)` in [-1, 1].
            source: domain of the images, `"a"` or `"b"`.
            target: domain to translate to, `"a"` or `"b"`. If it equals `source`, only the style changes.
            styles: `(samples, style_dim)`, the same for all images, or `(n, samples, style_dim)`. To use the styles of
                other images, pass the second output of `encode`. Default: drawn from N(0, 1), the same for all images.
            samples: number of styles to draw.
            seed: int for the same styles in every call, None for new ones.

        Returns:
            NumPy array `(n, samples, image_size, image_size, 3)` in [-1, 1].

        Raises:
            ValueError: as in `encode`, or if the styles have a wrong shape.
        """
        self._check_domain(target)
        content, _ = self.encode(images, source)
        if styles is None:
            styles = np.random.default_rng(seed).standard_normal((samples, self.style_dim), "float32")
        styles = np.asarray(styles, "float32")
        if styles.ndim == 2:
            styles = np.broadcast_to(styles, (len(content), *styles.shape))
        if styles.ndim != 3 or styles.shape[::2] != (len(content), self.style_dim):
            raise ValueError(
                f"Styles must be (samples, {self.style_dim}) or ({len(content)}, samples, {self.style_dim}), "
                f"got {styles.shape}."
            )
        count = styles.shape[1]
        pairs = [np.repeat(content, count, axis=0), styles.reshape(-1, self.style_dim)]
        images = predict(self._part("decoder", target), pairs, batch_size=256)
        return images.reshape(len(content), count, *images.shape[1:])

    def interpolate(self, images, source, target, first, last, steps=9):
        """Translate images with styles interpolated between two styles.

        Args:
            images, source, target: as in `translate`.
            first, last: `(style_dim,)`, the styles at the ends.
            steps: number of pictures including both ends, 2 or more.

        Returns:
            `(n, steps, image_size, image_size, 3)`.

        Raises:
            ValueError: as in `translate`, or if `steps` is less than 2.
        """
        if steps < 2:
            raise ValueError(f"steps={steps}: pass 2 or more; both ends count.")
        return self.translate(images, source, target, styles=np.linspace(first, last, steps))

    def _check_domain(self, domain):
        if domain not in DOMAINS:
            raise ValueError(f"domain {domain!r}: pass one of {', '.join(map(repr, DOMAINS))}.")


@keras.saving.register_keras_serializable("kgan")
class MMSSIT(DomainTranslator):
    """MM-SSIT: multimodal and multiclass semi-supervised image translation (Bai et al., 2019).

    An encoder splits an image into content and style. Each domain has a decoder that combines content and style into an
    image. The loss has these terms (eq. 7):

    - `style` (eq. 1): a discriminator matches the styles with N(0, 1), so that new styles can be drawn.
    - `domain` (eq. 2): the encoder is trained against a domain classifier, so that the contents of both domains become
      alike.
    - `label` (eq. 3): a classifier predicts the class from the content.
    - `consistency` (eq. 4) and `self_consistency` (eq. 5): a translation into the other domain keeps the class. The
      target is the label or, for unlabelled images, the class that the classifier predicts.
    - `reconstruction` (eq. 6): the decoder of the same domain restores the image.

    The discriminators and the domain classifier form one player, all other networks the other. Both players take their
    gradients from one forward pass.

    With `separate=True`, each term whose weight is above 0 is a player with its own optimizer, as in CDAAE:
    `autoencoder_style`, `autoencoder_domain` and so on, beside `discriminator`. Players share networks. All gradients
    still come from one forward pass, and then all updates are applied. The gradients are those of eq. 7, with one
    exception: as in CDAAE's code, `style` trains the style tails of the encoders and not the stem that content and
    style share. Adam cancels the scale of a loss. What counts is then the learning rate of each player; of `weights`,
    only the ratio between the domains is left, and `ramp_steps` does little.

    Fit on a dict with `images_a`, `images_b` `(batch, image_size, image_size, 3)` in [-1, 1] and `labels_a`, `labels_b`
    `(batch,)`, integers, -1 for unlabelled images. A batch may mix labelled and unlabelled images, or have no labels at
    all (eq. 8). The images in one row are unrelated.

    The paper does not specify these choices:

    - The domains share the content encoder, as the single classifier of the paper suggests.
    - Each domain has its own batch normalisation statistics.
    - The cross entropy of the styles is non-saturating.
    - The target of eq. 5 is the most probable class, without a gradient.
    - In training, the style of a translation is the sample of the prior that the discriminator also sees.
    - Default optimizers are Adam(3e-4), as in CDAAE.

    The reconstruction loss is the norm that eq. 6 prints, not CDAAE's mean squared error. With the squared error and
    weights of 1, the decoders produce patterns that the encoder recognises as the class, but no realistic images.

    To average the weights, compile with `Adam(3e-4, use_ema=True)`. The model has the averages when `fit` ends.

    Args:
        num_classes: number of classes, 2 or more.
        image_size: 32, 64 or 128.
        style_dim, content_dim: lengths of the style and content vectors.
        share: numbers of the decoder layers that both domains share, counted from 1. The schemes of the paper are `()`,
            `(1,)`, `(1, 2)`, `(1, 2, 3)` and `(4,)`.
        width: factor for the channels of all hidden layers, in (0, 4]. Use a small one on small machines.
        weights: weights of the terms. `"paper"` sets all terms above to 1. `"cdaae"` takes the weights of CDAAE's code
            for SVHN as a and MNIST as b. A dict maps some of the terms to a number, or to one number for the images of
            each domain; all other terms keep the paper's weight. The dict may also contain `style_recovery` (default
            weight 0), which is not in the paper: the L1 distance between the style of a translation and the style that
            the encoder finds in it (Huang et al., 2018). Without this term, the decoders make little use of the style.
        domain_loss: loss of the encoder against the domain classifier. `"reversal"` maximises the classifier's loss,
            `"flip"` minimises its loss with the labels of the two domains exchanged.
        ramp_steps: number of steps over which the weight of the `domain` term grows linearly from 0 to its full value.
        confidence: minimum probability in [0, 1] at which a predicted class is a target of eq. 5.
        mixed_norm: whether both domains share one set of batch normalisation statistics, as in CDAAE.
        separate: whether each term has its own optimizer.

    Raises:
        ValueError: if an argument is out of range. `fit` raises it if a domain is missing, an image is outside [-1, 1],
            a label is out of range, or a domain has labels of some classes only.

    Example:

    ```python
    import kgan

    images, labels = kgan.data.load("digits", channels=3, count=64)
    model = kgan.MMSSIT(num_classes=10, width=0.1)
    model.compile()
    model.fit({"images_a": images, "labels_a": labels, "images_b": -images, "labels_b": labels * 0 - 1}, verbose=0)
    negatives = model.translate(images[:4], "a", "b", samples=5, seed=0)  # (4, 5, 32, 32, 3)
    ```
    """

    players = {
        "discriminator": ("style_discriminator_a", "style_discriminator_b", "domain_classifier"),
        "autoencoder": (*CONTENTS, "category_classifier", *STYLES, *DECODERS),
    }
    logged = (
        "style",
        "domain",
        "label",
        "consistency",
        "self_consistency",
        "reconstruction",
        "style_recovery",
        "style_accuracy",
        "domain_accuracy",
    )

    def __init__(
        self,
        num_classes,
        image_size=32,
        style_dim=8,
        content_dim=128,
        share=(1,),
        width=1.0,
        weights="paper",
        domain_loss="reversal",
        ramp_steps=0,
        confidence=0.0,
        mixed_norm=False,
        separate=False,
        **kwargs,
    ):
        weight = _weights_by_domain(weights)
        terms = {f"autoencoder_{term}": TRAINED[term] for term in TRAINED if any(weight[term])}
        players = {"discriminator": self.players["discriminator"], **terms} if separate else None
        sizes = (num_classes, image_size, style_dim, content_dim, share, width, mixed_norm, content_dim)
        super().__init__(*sizes, players, **kwargs)
        if domain_loss not in ("reversal", "flip"):
            raise ValueError(f"domain_loss={domain_loss!r}: pass 'reversal' or 'flip'.")
        if ramp_steps < 0 or not 0 <= confidence <= 1:
            raise ValueError(
                f"ramp_steps={ramp_steps}, confidence={confidence}: pass ramp_steps of at least 0 and a confidence in "
                "[0, 1]."
            )
        self.weights_of_terms = weights
        self.domain_loss = domain_loss
        self.ramp_steps = ramp_steps
        self.confidence = confidence
        self.separate = separate
        self.exclusive = not separate
        self._weight = weight
        self.domain_classifier = build_domain_classifier(content_dim, len(DOMAINS))
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False, name="steps")

    def get_config(self):
        return {
            **super().get_config(),
            "weights": self.weights_of_terms,
            "domain_loss": self.domain_loss,
            "ramp_steps": self.ramp_steps,
            "confidence": self.confidence,
            "separate": self.separate,
        }

    # === Training ===

    def phases(self):
        return [Phase(self.step, tuple(self.players))]

    def step(self, batch, training):
        total = dict.fromkeys(self.players, 0.0)
        terms = {name: ops.zeros((), "float32") for name in self.logged}
        codes = {d: self._part("content_encoder", d)(batch[f"images_{d}"], training=training) for d in DOMAINS}
        size = ops.shape(batch["images_a"])[0]
        prior = {d: keras.random.normal((size, self.style_dim), seed=self.seed_generator) for d in DOMAINS}
        against = self._ramp(training)

        for number, d in enumerate(DOMAINS):
            weight = {term: pair[number] for term, pair in self._weight.items()}
            images, labels = batch[f"images_{d}"], batch[f"labels_{d}"]
            content = codes[d]["content"]
            style = self._part("style_encoder", d)(codes[d]["stem"], training=training)

            judge = self._part("style_discriminator", d)
            real, fake = judge(prior[d], training=training), judge(style, training=training)
            found = {"style": losses.gan_generator_loss(fake)}
            total["discriminator"] += losses.gan_discriminator_loss(real, fake)
            terms["style_accuracy"] += (_share(real > 0) + _share(fake < 0)) / 4

            own = ops.full((size,), number, dtype="int32")
            logits = self.domain_classifier(content, training=training)
            domain = losses.classifier_loss(own, logits)
            found["domain"] = -domain if self.domain_loss == "reversal" else losses.classifier_loss(1 - own, logits)
            total["discriminator"] += domain
            terms["domain_accuracy"] += _share(ops.argmax(logits, axis=1) == number) / 2
            weight["domain"] *= against

            logits = self.category_classifier(content, training=training)
            found["label"] = losses.partial_classifier_loss(labels, logits)

            other = DOMAINS[1 - number]
            translated = self._part("decoder", other)([content, prior[other]], training=training)
            again = self._part("content_encoder", other)(translated, training=training)
            if any(self._weight["style_recovery"]):
                recovered = self._part("style_encoder", other)(again["stem"], training=training)
                found["style_recovery"] = ops.mean(ops.abs(recovered - prior[other]))
            again = self.category_classifier(again["content"], training=training)
            found["consistency"] = losses.partial_classifier_loss(labels, again)
            found["self_consistency"] = losses.partial_classifier_loss(self._own_targets(labels, logits), again)

            reconstructed = self._part("decoder", d)([content, style], training=training)
            found["reconstruction"] = losses.reconstruction_norm(images, reconstructed)

            for term, value in found.items():
                player = f"autoencoder_{term}" if self.separate else "autoencoder"
                if player in total:  # separate terms of weight 0 have no player
                    total[player] += weight[term] * value
                terms[term] += domain if term == "domain" else value
        return {**total, **terms}

    def _ramp(self, training):
        """Return the factor of the `domain` term at the current step, in [0, 1]."""
        if not self.ramp_steps:
            return 1.0
        share = ops.minimum(self.steps / self.ramp_steps, 1.0)
        if training:
            self.steps.assign_add(1.0)
        return share

    def _own_targets(self, labels, logits):
        """Return the targets of eq. 5: the predicted class of unlabelled samples, -1 if labelled or not confident."""
        logits = ops.stop_gradient(logits)
        sure = ops.max(ops.softmax(logits), axis=1) >= self.confidence
        return ops.where((labels < 0) & sure, ops.cast(ops.argmax(logits, axis=1), labels.dtype), -1)


def _weights_by_domain(weights):
    """Return `{term: (weight in a, weight in b)}`."""
    if isinstance(weights, str) and weights not in WEIGHTS:
        raise ValueError(f"weights={weights!r}: pass one of {', '.join(WEIGHTS)}, or a dict.")
    given = WEIGHTS[weights] if isinstance(weights, str) else dict(weights)
    if unknown := set(given) - set(WEIGHTS["paper"]):
        raise ValueError(f"weights of {', '.join(sorted(unknown))}: pass only {', '.join(WEIGHTS['paper'])}.")
    pairs = {}
    for term, value in {**WEIGHTS["paper"], **given}.items():
        pair = tuple(float(v) for v in np.atleast_1d(value))
        pair = pair * 2 if len(pair) == 1 else pair
        if len(pair) != 2 or min(pair) < 0:
            raise ValueError(f"weights[{term!r}]={value!r}: pass a number of at least 0, or one for each domain.")
        pairs[term] = pair
    return pairs


def _share(condition):
    return ops.mean(ops.cast(condition, "float32"))
