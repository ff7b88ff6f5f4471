"""What the routes ask for, put together from the scheduler's log, the history and the predictions.

Comes in: an answer to a question, before it is HTTP.
"""
