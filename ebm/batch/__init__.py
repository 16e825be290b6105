"""Files of any size through a model, in constant memory; interrupted runs go on where they were."""
