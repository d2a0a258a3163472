"""Compiled kernels, one module a stage. They never allocate, validate, log or raise."""
