"""What the front ends can ask for: commands and queries, one module per noun."""
