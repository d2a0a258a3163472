"""The paper's figures and tables, each measured here: records first, pictures from the records."""
