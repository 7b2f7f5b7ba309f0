"""Networks of the text / non-text filter (Zhao et al., 2019) and their distillation."""
