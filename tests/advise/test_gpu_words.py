"""What sites call their GPUs."""

import pytest

from kilowait.advise.slurm.gpu_words import catalogue_type
from kilowait.advise.slurm.partitions import read_partitions


@pytest.mark.parametrize(
    ("word", "gpu_type"),
    [
        ("a100", "A100"),
        ("a100_80gb", "A100-80GB"),
        ("a100-sxm4-40gb", "A100"),
        ("nvidia_a100-sxm4-80gb", "A100-80GB"),
        ("v100-sxm2-16gb", "V100"),
        ("v100-sxm2-32gb", "V100-32GB"),
        ("tesla_v100", "V100"),
        ("rtx2080ti", "RTX-2080-Ti"),
        ("gtx1080ti", "GTX-1080-Ti"),
        ("rtxa6000", "A6000"),
        ("titanrtx", "Titan-RTX"),
        ("tesla_t4", "T4"),
        ("a100-20gb", None),
        ("abacus", None),
        ("tesla", None),
        ("80gb", None),
        ("", None),
        ("gpu", None),
    ],
)
def test_a_word_is_the_type_that_it_means_or_none(word, gpu_type):
    assert catalogue_type(word) == gpu_type


def test_they_are_read_from_sinfo():
    (partition,) = read_partitions("a|x*|1|1|idle|gpu:tesla_v100:4(S:0),gpu:abacus:1|\n").values()
    assert [(boards.word, boards.gpu_type) for boards in partition.nodes[0].boards] == [
        ("tesla_v100", "V100"), ("abacus", None),
    ]  # fmt: skip
