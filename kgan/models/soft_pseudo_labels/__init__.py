"""SPL (Zhang et al., 2020): soft pseudo labels for generated images, and a multi-label classifier."""
