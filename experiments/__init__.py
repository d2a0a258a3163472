"""The paper's figures and tables, and benchmarks: measured into records, drawn from the records."""
