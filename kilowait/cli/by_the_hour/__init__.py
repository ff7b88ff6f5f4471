"""What changes over time on the command line of `kilowait simulate`: signals and their forecasts, prices, slack."""
