<<<<<<< HEAD
"""The paper's figures and tables, each measured here: records first, pictures from the records."""
=======
"""The experiments: each asks one question and keeps its answer as a record."""
>>>>>>> data
