"""The tables that an experiment prints and writes."""
