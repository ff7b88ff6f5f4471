"""Alignment (the paper, section 3.3): a source unlike every known one is rewritten in a known one's style.

Off unless a caller asks for it, because a rewriter may be a service that other people run. A rewrite is read by the
probe and by nothing else; it is never run as the job.
"""
