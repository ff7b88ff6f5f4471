"""All families of the corpus, in the order in which the generator takes them in turn."""

from kilowait.corpus import (
    families_dense,
    families_generative,
    families_language,
    families_sequence,
    families_tabular,
    families_vision,
)
from kilowait.corpus.family import Family

FAMILIES: tuple[Family, ...] = (
    *families_vision.FAMILIES,
    *families_language.FAMILIES,
    *families_generative.FAMILIES,
    *families_sequence.FAMILIES,
    *families_dense.FAMILIES,
    *families_tabular.FAMILIES,
)
"""Every family, names unique."""
