"""Agents that act in environments: experts, control, and those of masked images."""
