"""What measured jobs of a site teach: a Gaussian process on the logarithm of measured over predicted.

The predictor that comes with kilowait (embedding probes, device model) stays as it is; a `Correction` multiplies what
it says. kernel.py says which jobs are alike, evidence.py how much, model.py is what came out, train.py makes one from
measured jobs and blob.py writes it down. numpy and scipy only: it runs at every submission, where torch is not loaded.
"""
