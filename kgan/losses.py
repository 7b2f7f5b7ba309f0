"""Losses as pure functions of tensors: no state, no networks, one scalar out (unless the docstring says otherwise).

Discriminators return logits. Expectations over the data are means over the batch; squared norms are sums over the
features, as the papers write them.
"""

from keras import ops

# === Adversarial losses ===


def gan_discriminator_loss(real_logits, *fake_logits):
    """Cross entropy of a discriminator: real against one or more kinds of generated samples.

    `-E log D(x) - sum E log(1 - D(x'))`: CVAE-GAN eq. 1; with two kinds, line 9 of its Algorithm 1.

    Args:
        real_logits: `(batch, 1)`, logits of real samples.
        *fake_logits: `(batch, 1)` each, logits of generated samples.

    Example:

    >>> float(gan_discriminator_loss(ops.zeros((4, 1)), ops.zeros((4, 1))))  # 2 log 2
    1.3862943649291992
    """
    loss = ops.mean(ops.softplus(-real_logits))
    for logits in fake_logits:
        loss = loss + ops.mean(ops.softplus(logits))
    return loss


def gan_generator_loss(fake_logits):
    """Non-saturating cross entropy of a generator, `-E log D(x')`.

    Args:
        fake_logits: `(batch, 1)`, logits of generated samples.
    """
    return ops.mean(ops.softplus(-fake_logits))


def wasserstein_discriminator_loss(real_scores, fake_scores):
    """`E f(x') - E f(x)`, the negative of the Wasserstein estimate (Arjovsky et al., 2017).

    Args:
        real_scores, fake_scores: `(batch, 1)`, outputs of the critic.
    """
    return ops.mean(fake_scores) - ops.mean(real_scores)


def wasserstein_generator_loss(fake_scores):
    """`-E f(x')` (Arjovsky et al., 2017).

    Args:
        fake_scores: `(batch, 1)`, outputs of the critic.
    """
    return -ops.mean(fake_scores)


def gradient_penalty(slopes):
    """`E (|slope| - 1)^2` (Gulrajani et al., 2017, eq. 3, without the factor lambda).

    Args:
        slopes: `(batch, ...)`, gradients of the critic by its input. The norm is over all axes but the first.
    """
    norm = ops.sqrt(ops.sum(ops.square(ops.reshape(slopes, (ops.shape(slopes)[0], -1))), axis=1) + 1e-12)
    return ops.mean(ops.square(norm - 1))


# === Matching losses ===


def mean_matching_loss(real_centres, fake_centres):
    """Half the squared distance of feature centres, summed over centres: CVAE-GAN eq. 2 (one centre) and eq. 4.

    Args:
        real_centres, fake_centres: `(features,)` or `(classes, features)`.
    """
    return 0.5 * ops.sum(ops.square(real_centres - fake_centres))


def pairwise_matching_loss(first, second):
    """Half the squared distance of paired samples, summed over features, averaged over the batch: CVAE-GAN eq. 6, one
    term.

    Args:
        first, second: `(batch, ...)`, images or features of the same samples.
    """
    return 0.5 * ops.mean(ops.sum(ops.square(ops.reshape(first - second, (ops.shape(first)[0], -1))), axis=1))


# === Latent codes ===


def kl_divergence(mean, log_variance):
    """KL divergence of `N(mean, exp(log_variance))` from `N(0, 1)`, element by element.

    Args:
        mean, log_variance: `(batch, latent_dim)`.

    Returns:
        `(batch, latent_dim)`, in nats. CVAE-GAN eq. 5 is its sum over the last axis.
    """
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - log_variance - 1)


def kl_loss(mean, log_variance):
    """CVAE-GAN eq. 5: KL divergence summed over the latent dimensions, averaged over the batch."""
    return ops.mean(ops.sum(kl_divergence(mean, log_variance), axis=-1))


# === Classification ===


def classifier_loss(labels, logits):
    """Softmax cross entropy (CVAE-GAN eq. 3).

    Args:
        labels: `(batch,)` integers.
        logits: `(batch, classes)`.
    """
    return ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))
