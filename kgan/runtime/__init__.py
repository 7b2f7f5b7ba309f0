"""What all command-line tools share, without Keras: untrusted files, inputs, journals, processes."""
