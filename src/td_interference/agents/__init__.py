"""Agents that act in environments: the Rainbow expert."""
