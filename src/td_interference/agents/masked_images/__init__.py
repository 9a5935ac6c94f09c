"""Agents that classify masked images."""
