"""What no schedule can beat: relaxations for large samples, the optimum for small ones.

Comes in: a bound or an optimum, with the proof in its docstring.
"""
