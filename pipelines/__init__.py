"""Ray Data and Ray tasks over the domain: python -m pipelines.corpus, label, embed, train, backtest, demo."""
