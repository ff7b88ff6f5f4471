"""Ray Data and Ray tasks over the domain: kilowait lab corpus, label, embed, train, backtest, demo."""
