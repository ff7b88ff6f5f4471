"""The laboratory: what makes corpora, labels, evaluates, backtests and studies. No product code imports it.

Comes in: whatever compares, draws or studies; what predicts and schedules stays outside.
"""
