from tiny_filter import model_path, text_filter  # noqa: F401 (fixtures)
