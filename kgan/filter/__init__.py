"""The text filter at run time, from files to scores. Needs neither Keras nor a backend."""
