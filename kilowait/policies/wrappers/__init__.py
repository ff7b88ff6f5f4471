"""Wrappers: functions from a policy to a policy, for what every policy should have.

One module a wrapper, with its `WRAPPER`. A policy is named with its wrappers around it, from outside in:
`shared(aged(patient,4h))`. `kilowait.policies.registry` reads such a name.
"""
