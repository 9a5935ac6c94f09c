"""Generalization experiments: many small networks, their interference and their gap (section 4)."""
