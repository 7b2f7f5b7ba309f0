"""GAN papers as Keras 3 models that you `compile` and `fit`.

Public names are imported on first use, so that `import kgan` is fast and needs no backend.
"""

import importlib

__version__ = "0.1.0"

_MODULE_OF = {
    "AdversarialModel": "kgan.adversarial",
    "GAN": "kgan.models.gan",
    "WGAN": "kgan.models.gan",
    "WGANGP": "kgan.models.gan",
    "FeatureMatchingGAN": "kgan.models.gan",
    "CVAEGAN": "kgan.models.cvae_gan",
    "CVAE": "kgan.models.cvae_gan",
    "CGAN": "kgan.models.cvae_gan",
    "FMCGAN": "kgan.models.cvae_gan",
    "ACGAN": "kgan.models.ac_gan",
    "MMSSIT": "kgan.models.mm_ssit",
    "CDAAE": "kgan.models.mm_ssit",
    "MakeupGAN": "kgan.models.makeup",
}
_SUBMODULES = (
    "callbacks",
    "data",
    "export",
    "losses",
    "makeup",
    "metrics",
    "plots",
    "presets",
    "soft_pseudo_labels",
    "text_filter",
)

__all__ = [*_MODULE_OF, *_SUBMODULES]


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"kgan.{name}")
    raise AttributeError(f"module 'kgan' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
