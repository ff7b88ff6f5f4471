"""What an agent may ask by the Model Context Protocol: tools that read, and one that submits where that is allowed.

Comes in: what turns a tool's arguments into a question of `kilowait.advise` or of the service, and nothing else.
"""
