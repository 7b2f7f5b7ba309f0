"""What the command-line tools share: untrusted files, inputs, journals and worker processes. Does not need Keras."""
