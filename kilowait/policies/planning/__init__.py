"""What several planners share: profiles of free GPUs, compiled searches, drawn futures, linear and integer programs.

Comes in: the machinery of a plan, never a rule by itself; the rules are one folder up.
"""
