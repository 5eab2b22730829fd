"""The figures that an experiment writes into its folder."""
