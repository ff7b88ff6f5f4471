"""The packages of the wheel, found in the folders: all the rest about the package stands in pyproject.toml.

The folders pipelines, serve and tuning are installed as kilowait.pipelines, kilowait.serve and kilowait.tuning
(`package-dir` in pyproject.toml), so that nothing called `serve` lands in site-packages.
"""

from setuptools import find_packages, setup

SHELLS = ("pipelines", "serve", "tuning")
DATA = (
    "kilowait.data.cpu",
    "kilowait.data.cpu_composites",
    "kilowait.data.steps",
    "kilowait.data.power",
    "kilowait.data.progress",
)

shells = [f"kilowait.{name}" for shell in SHELLS for name in find_packages(include=[shell, f"{shell}.*"])]
setup(packages=[*find_packages(include=["kilowait", "kilowait.*"]), *shells, *DATA])
