"""How good predictions are: data sets, recipes and baselines, cross-validation, coverage, choices between devices.

Comes in: what scores a predictor or builds one only to compare it.
"""
