"""The experiments: each asks one question and keeps its answer as a record."""
