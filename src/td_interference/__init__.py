"""Measuring gradient interference in temporal-difference learning (Bengio et al., ICML 2020)."""

__version__ = "0.1.0"
