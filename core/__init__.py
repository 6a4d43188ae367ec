"""Code that the workers and the orchestrator share. Importing it loads nothing."""
