"""What Linux offers to lock a process up: namespaces, system calls it may not make, a user, memory it may not outgrow.

Only the standard library of Python 3.9 and no other package of kilowait's: a dry run's child, in whatever Python a job
has, comes in here too.
"""
