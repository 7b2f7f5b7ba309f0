"""CDAAE, the baseline of MM-SSIT (Hou et al., 2018: Cross-domain adversarial auto-encoder)."""

import keras
from keras import ops

from kgan import losses
from kgan.adversarial import Phase
from kgan.models.mm_ssit.model import CONTENTS, DECODERS, DOMAINS, STYLES, DomainTranslator

ENCODERS = (*CONTENTS, "category_classifier")


@keras.saving.register_keras_serializable("kgan")
class CDAAE(DomainTranslator):
    """CDAAE: cross-domain adversarial autoencoder (Hou et al., 2018), the baseline in Table 1 of MM-SSIT.

    The networks are those of `MMSSIT`, but the decoders take class probabilities as content. In inference, they take
    the one-hot predicted class. A translation therefore depends only on a class and a style.

    Each loss has its own Adam optimizer. A step makes five updates:

    1. discriminators and style encoders, on labelled samples
    2. label loss, on labelled samples
    3. reconstruction loss, on labelled samples
    4. class loss after translation, on labelled samples
    5. all losses but the label loss, on unlabelled samples

    Fit on the same dict as `MMSSIT`. The default weights come from the authors' code, for SVHN as a and MNIST as b.
    That code gives the prior on the content a weight of 0; this implementation leaves the prior out. Here, labelled and
    unlabelled samples share a batch and its batch normalisation statistics. In training, the style of a translation is
    drawn from the prior.

    Args:
        num_classes, image_size, style_dim, content_dim, share, width: as in `MMSSIT`. The default of `share` is `()`,
            because the decoders of CDAAE share no layers.
        supervised: whether to leave out the update on unlabelled samples.
        label_weights, reconstruction_weights: weights for domains a and b, 0 or more.
        consistency_weight: weight of the class loss after translation, 0 or more.
        mixed_norm: whether both domains share one set of batch normalisation statistics.

    Raises:
        ValueError: as in `MMSSIT`.

    Example:

    ```python
    import kgan

    images, labels = kgan.data.load("digits", channels=3, count=64)
    model = kgan.CDAAE(num_classes=10, width=0.1)
    model.compile()
    model.fit({"images_a": images, "labels_a": labels, "images_b": -images, "labels_b": labels * 0 - 1}, verbose=0)
    negatives = model.translate(images[:4], "a", "b", samples=5, seed=0)  # (4, 5, 32, 32, 3)
    ```
    """

    exclusive = False  # one optimizer for each loss, not for each network
    players = {
        "discriminator": ("style_discriminator_a", "style_discriminator_b"),
        "style": STYLES,
        "label": ENCODERS,
        "reconstruction": (*ENCODERS, *STYLES, *DECODERS),
        "consistency": (*ENCODERS, *DECODERS),
        "self_consistency": (*ENCODERS, *DECODERS),
    }

    def __init__(
        self,
        num_classes,
        image_size=32,
        style_dim=8,
        content_dim=128,
        share=(),
        width=1.0,
        supervised=False,
        label_weights=(5.0, 0.5),
        reconstruction_weights=(2.0, 0.15),
        consistency_weight=0.3,
        mixed_norm=True,
        **kwargs,
    ):
        super().__init__(
            num_classes, image_size, style_dim, content_dim, share, width, mixed_norm, num_classes, **kwargs
        )
        self.supervised = supervised
        self.label_weights = tuple(label_weights)
        self.reconstruction_weights = tuple(reconstruction_weights)
        self.consistency_weight = consistency_weight
        for weights in (self.label_weights, self.reconstruction_weights, (consistency_weight, consistency_weight)):
            if len(weights) != len(DOMAINS) or min(weights) < 0:
                raise ValueError(f"weights {weights}: pass two numbers of at least 0, one for each domain.")

    def get_config(self):
        return {
            **super().get_config(),
            "supervised": self.supervised,
            "label_weights": self.label_weights,
            "reconstruction_weights": self.reconstruction_weights,
            "consistency_weight": self.consistency_weight,
        }

    # === Training ===

    def phases(self):
        labelled = [
            Phase(self.match_styles, ("discriminator", "style")),
            Phase(self.find_class, ("label",)),
            Phase(self.reconstruct, ("reconstruction",)),
            Phase(self.keep_class, ("consistency",)),
        ]
        players = ("discriminator", "style", "reconstruction", "self_consistency")
        return labelled if self.supervised else [*labelled, Phase(self.unlabelled, players)]

    def match_styles(self, batch, training, labelled=True):
        total = {"discriminator": 0.0, "style": 0.0}
        for d in DOMAINS:
            rows = _rows(batch[f"labels_{d}"], labelled)
            style = self._style(self._look(batch, d, training)[1], d, training)
            prior = self._prior(batch)
            judge = self._part("style_discriminator", d)
            real, fake = judge(prior, training=training)[:, 0], judge(style, training=training)[:, 0]
            total["discriminator"] += _mean(ops.softplus(-real) + ops.softplus(fake), rows)
            total["style"] += _mean(ops.softplus(-fake), rows)
        return total

    def find_class(self, batch, training):
        total = 0.0
        for d, weight in zip(DOMAINS, self.label_weights, strict=True):
            logits, _ = self._look(batch, d, training)
            total += weight * losses.partial_classifier_loss(batch[f"labels_{d}"], logits)
        return {"label": total}

    def reconstruct(self, batch, training, labelled=True):
        total = 0.0
        for d, weight in zip(DOMAINS, self.reconstruction_weights, strict=True):
            logits, stem = self._look(batch, d, training)
            codes = [ops.softmax(logits), self._style(stem, d, training)]
            again = self._part("decoder", d)(codes, training=training)
            errors = ops.mean(ops.square(again - batch[f"images_{d}"]), axis=(1, 2, 3))
            total += weight * _mean(errors, _rows(batch[f"labels_{d}"], labelled))
        return {"reconstruction": total}

    def keep_class(self, batch, training):
        return {"consistency": self._after_translation(batch, training, lambda labels, logits: labels)}

    def unlabelled(self, batch, training):
        # The predicted class is the target, without a gradient.
        found = self._after_translation(
            batch,
            training,
            lambda labels, logits: ops.where(labels < 0, ops.cast(ops.argmax(logits, axis=1), labels.dtype), -1),
        )
        return {
            **self.match_styles(batch, training, labelled=False),
            **self.reconstruct(batch, training, labelled=False),
            "self_consistency": found,
        }

    def _after_translation(self, batch, training, targets):
        total = 0.0
        for number, d in enumerate(DOMAINS):
            other = DOMAINS[1 - number]
            logits, _ = self._look(batch, d, training)
            translated = self._part("decoder", other)([ops.softmax(logits), self._prior(batch)], training=training)
            again = self._part("content_encoder", other)(translated, training=training)["content"]
            again = self.category_classifier(again, training=training)
            total += losses.partial_classifier_loss(targets(batch[f"labels_{d}"], logits), again)
        return self.consistency_weight * total

    def _look(self, batch, d, training):
        """Return the class logits and the features that the style encoder takes."""
        codes = self._part("content_encoder", d)(batch[f"images_{d}"], training=training)
        return self.category_classifier(codes["content"], training=training), codes["stem"]

    def _style(self, stem, d, training):
        return self._part("style_encoder", d)(stem, training=training)

    def _prior(self, batch):
        shape = (ops.shape(batch["images_a"])[0], self.style_dim)
        return keras.random.normal(shape, seed=self.seed_generator)

    # === Inference ===

    def code(self, content):
        """Return the predicted classes, one-hot `(n, num_classes)`. Training uses probabilities instead."""
        # `ops.argmax` on TensorFlow compares bits, which LiteRT cannot.
        _, best = ops.top_k(self.category_classifier(content), 1)
        return ops.one_hot(best[:, 0], self.num_classes, dtype="float32")


def _rows(labels, labelled):
    return ops.cast(labels >= 0 if labelled else labels < 0, "float32")


def _mean(values, rows):
    """Return the mean of the values over the rows with weight 1, or 0 if there are none."""
    return ops.sum(values * rows) / ops.maximum(ops.sum(rows), 1.0)
