"""How a client's wishes reach TaskForge: one protocol, several roads."""
