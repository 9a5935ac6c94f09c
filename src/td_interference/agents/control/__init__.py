"""Q-learning from the agent's own play."""
