"""The rivals of chunk attention: published ways to combine chunk vectors into one logit."""
