"""What crosses HTTP as JSON: requests, answers and problems, made from domain records by attributes.

Comes in: pydantic models only.
"""
