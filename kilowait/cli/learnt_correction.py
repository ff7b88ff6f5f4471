"""What was learnt from finished Slurm jobs, applied to a new advice as the service applies it."""

import getpass
from dataclasses import replace
from pathlib import Path

from kilowait.advise.advice import Advice


def corrected(advice: Advice, history: Path) -> Advice:
    """The advice by the correction in force; as it was where there is none for it. Raises StoreError and ModelError."""
    if not advice.vector or not history.is_file():
        return advice
    import numpy as np

    from kilowait.history.store import Store
    from kilowait.live.learning.refit import in_force

    store = Store(str(history))
    try:
        current = in_force(store)
    finally:
        store.close()
    if current is None or current[1].base_version != advice.version:
        return advice
    version, correction = current
    predictions = {name: on.prediction for name, on in advice.by_type.items()}
    vector = np.array(advice.vector, dtype=np.float32)
    seen = correction.apply(
        predictions, source=advice.content_hash, owner=getpass.getuser(), vector=vector, version=version
    )
    learnt = f"; corrected by finished jobs ({version})"
    return replace(
        advice,
        by_type={
            name: replace(on, prediction=seen[name], provenance=on.provenance + learnt)
            for name, on in advice.by_type.items()
        },
    )
