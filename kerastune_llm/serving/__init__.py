"""Models as SavedModels that take the task's own text and give its answer."""
