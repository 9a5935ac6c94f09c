"""Worlds to act in: Atari games."""
