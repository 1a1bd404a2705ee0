"""The parts of ./scripts/demo: steps that show their progress, a host under load, and the table at the end."""
