"""Run time and energy of a program on a device type, from its dry run and the type's specification sheet.

`work` reads operations, `roofline` says how long a sheet allows them to take, `efficiency` and `fit` learn from
measured programs how far reality is from that, and `model` is what was learned: a new type needs a sheet, no
measurement. What it says of a type without one is modelled. `power` and `scaling` go on to energy and to several GPUs.
"""
