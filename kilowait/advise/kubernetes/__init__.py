"""What an admission webhook of Kubernetes says of a Job, RayJob, PyTorchJob or JobSet: predictions as a patch.

Comes in: objects as JSON in, AdmissionReview and JSON Patch out. No library of Kubernetes' is needed.
"""
