"""The organization's own predictive model: logistic regression, kept as readable JSON."""
