"""The console script `jdcv`, one module for each group of commands."""
