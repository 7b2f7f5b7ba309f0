"""SPL (Zhang et al., 2019): soft pseudo labels for generated images, and a multi-label classifier."""
