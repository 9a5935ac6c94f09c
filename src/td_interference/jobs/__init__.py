"""What every job does around its work: logs, progress, resume states, signals."""
