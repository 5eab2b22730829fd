"""Extensions of the baseline: one module (or small folder) each; see README.md."""
