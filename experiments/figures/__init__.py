"""The figures that an experiment leaves in its folder."""
