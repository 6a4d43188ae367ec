"""Training of the embedded models: one trainer per model, the judge, and the step that puts weights into place."""
