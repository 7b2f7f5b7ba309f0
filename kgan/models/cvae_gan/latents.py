"""The coordinates of the latent space of a trained encoder and generator."""

import keras
import numpy as np
import scipy.linalg


def class_whitening(mean, log_variance, labels, num_classes):
    """Find coordinates in which the codes of each class have mean 0, and those of all classes together covariance I.

    The covariance is that of samples of the posteriors, within classes: of their means, and the mean of their
    variances. In the new coordinates `w`, the latter is diagonal too: `z = means[label] + basis @ w`.

    Args:
        mean, log_variance: parameters of the posteriors, `(n, latent_dim)`.
        labels: `(n,)` integers.
        num_classes: a class without a sample gets the mean of all.

    Returns:
        Float64 arrays: means `(num_classes, latent_dim)`, basis `(latent_dim, latent_dim)`, its inverse, and the mean
        variances of the posteriors in the new coordinates, `(latent_dim,)`.
    """
    mean, variance = np.asarray(mean, "float64"), np.exp(np.asarray(log_variance, "float64")).mean(axis=0)
    means = np.tile(mean.mean(axis=0), (num_classes, 1))
    for label in np.unique(labels):
        means[label] = mean[labels == label].mean(axis=0)
    within = mean - means[labels]
    covariance = within.T @ within / len(within) + np.diag(variance)
    # Columns v with v' covariance v = 1, v' diag(variance) v = variances, and 0 for two different columns.
    variances, vectors = scipy.linalg.eigh(np.diag(variance), covariance)
    return means, covariance @ vectors, vectors.T, variances


def change_coordinates(encoder, generator, means, basis, inverse, variances):
    """Let an encoder and a generator speak of latents in other coordinates, those of `class_whitening`.

    Both networks are linear next to the latents, so new weights do it. Of the posteriors, the means follow exactly; all
    get the same variances.

    Args:
        encoder: see `build_encoder`.
        generator: one of `build_generators`; those with the same weights follow.
        means, basis, inverse, variances: as `class_whitening` returns them.
    """
    first = next(layer for layer in generator.layers if isinstance(layer, keras.layers.Dense))
    kernel = np.array(keras.ops.convert_to_numpy(first.kernel), "float64")
    of_latent, of_label = np.split(kernel, [len(basis)])
    first.kernel.assign(np.concatenate([basis.T @ of_latent, of_label + means @ of_latent]))

    head = encoder.get_layer("mean")
    kernel, bias = (np.array(keras.ops.convert_to_numpy(v), "float64") for v in (head.kernel, head.bias))
    kernel[-len(means) :] -= means
    head.kernel.assign(kernel @ inverse.T)
    head.bias.assign(bias @ inverse.T)

    spread = encoder.get_layer("log_variance")
    spread.kernel.assign(np.zeros(spread.kernel.shape))
    spread.bias.assign(np.log(variances))
