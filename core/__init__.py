"""What the workers and the orchestrator share. Importing it loads nothing; see each module for what it may import."""
