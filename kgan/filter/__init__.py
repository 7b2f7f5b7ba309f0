"""The text filter at run time: from files to scores, without Keras and without any of its backends."""
