"""Commands, shell scripts, batch scripts and notebooks, followed to the program that they start."""

import json
import shlex
from contextlib import suppress
from pathlib import Path

import pytest

from kilowait.core.errors import SourceError
from kilowait.program.read import JobReading, read_command, read_file
from kilowait.program.resources import read_request
from kilowait.program.text import texts

TRAIN = "import argparse, os\nprint(os.environ)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs in it, which is the working folder."""
    for name in ("train.py", "prepare.py", "src/run.py", "pkg/__init__.py", "pkg/go.py", "pkg/sub/__main__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _world(reading: JobReading) -> int:
    return int(reading.source.environment.get("WORLD_SIZE", "1"))


def _gpus(reading: JobReading) -> int:
    return read_request(texts(reading.source), reading.words).gpus


@pytest.mark.parametrize(
    ("command", "entrypoint", "arguments", "world", "gpus"),
    [
        ("python train.py --lr 1", "train.py", ["--lr", "1"], 1, 1),
        ("python3.11 -u train.py", "train.py", [], 1, 1),
        ("OMP_NUM_THREADS=4 python -m pkg.go --x", "pkg/go.py", ["--x"], 1, 1),
        ("python -m pkg.sub", "pkg/sub/__main__.py", [], 1, 1),
        ("torchrun --nproc_per_node 4 train.py --lr 1", "train.py", ["--lr", "1"], 4, 4),
        ("torchrun --nproc-per-node=8 --nnodes=2 --rdzv_backend c10d train.py", "train.py", [], 16, 16),
        ("torchrun --standalone --nproc_per_node=2 -m pkg.go a", "pkg/go.py", ["a"], 2, 2),
        ("python -m torch.distributed.run --nproc_per_node=2 train.py", "train.py", [], 2, 2),
        ("python -m torch.distributed.launch --nproc_per_node=2 --use_env src/run.py", "src/run.py", [], 2, 2),
        ("accelerate launch train.py --epochs 3", "train.py", ["--epochs", "3"], 1, 1),
        ("accelerate launch --multi_gpu --num_processes 4 train.py", "train.py", [], 4, 4),
        ("accelerate launch --num_processes=2 --mixed_precision bf16 -m pkg.go -q", "pkg/go.py", ["-q"], 2, 2),
        ("deepspeed --num_gpus 4 train.py --deepspeed", "train.py", ["--deepspeed"], 4, 4),
        ("deepspeed --include localhost:0,1 train.py", "train.py", [], 2, 2),
        ("mpirun -np 8 --bind-to none python train.py", "train.py", [], 1, 8),
        ("srun -N 2 --ntasks-per-node=4 --gres=gpu:4 python train.py", "train.py", [], 1, 8),
        ("srun -N2 torchrun --nnodes 2 --nproc_per_node 4 train.py", "train.py", [], 8, 8),
        ("CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc_per_node gpu train.py", "train.py", [], 2, 2),
        ("nohup time -p env A=1 python train.py", "train.py", [], 1, 1),
        ("uv run python train.py --a", "train.py", ["--a"], 1, 1),
        ("conda run --no-capture-output -n vision python train.py", "train.py", [], 1, 1),
        ("apptainer exec --nv image.sif python train.py", "train.py", [], 1, 1),
        ("bash -c 'cd src && python run.py --b 1'", "src/run.py", ["--b", "1"], 1, 1),
    ],
)
def test_a_command_is_followed(folder, command, entrypoint, arguments, world, gpus):
    reading = read_command(shlex.split(command), folder)
    assert (reading.source.entrypoint, list(reading.source.arguments)) == (entrypoint, arguments)
    assert _world(reading) == world
    assert _gpus(reading) == gpus


def test_the_first_rank_sees_its_variables(folder):
    command = ["torchrun", "--nproc_per_node", "4", "--nnodes", "2", "train.py"]
    environment = read_command(command, folder).source.environment
    expected = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1"}
    assert {name: environment[name] for name in expected} == expected
    environment = read_command(["srun", "-n", "6", "-N", "2", "python", "train.py"], folder).source.environment
    assert (environment["SLURM_PROCID"], environment["SLURM_NTASKS"], environment["SLURM_NNODES"]) == ("0", "6", "2")
    environment = read_command(["mpirun", "-np", "6", "-x", "A=b", "python", "train.py"], folder).source.environment
    assert (environment["OMPI_COMM_WORLD_SIZE"], environment["OMPI_COMM_WORLD_RANK"], environment["A"]) == (
        "6",
        "0",
        "b",
    )


def test_the_older_launcher_passes_the_rank_as_the_program_takes_it(folder):
    (folder / "old.py").write_text("parser.add_argument('--local_rank', type=int)\n")
    command = "python -m torch.distributed.launch --nproc_per_node 2 {} --x"
    assert read_command(command.format("old.py").split(), folder).source.arguments == ("--local_rank=0", "--x")
    assert read_command(command.format("train.py").split(), folder).source.arguments == ("--x",)


def test_accelerates_configuration_is_read(folder):
    (folder / "conf.yaml").write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\nfsdp_config:\n  fsdp_version: 2\n"
        "  fsdp_auto_wrap_policy: SIZE_BASED_WRAP\nmixed_precision: bf16\nnum_machines: 2\nnum_processes: 16\n"
    )
    reading = read_command(["accelerate", "launch", "--config_file", "conf.yaml", "train.py", "--a", "1"], folder)
    environment = reading.source.environment
    assert (_world(reading), _gpus(reading), environment["LOCAL_WORLD_SIZE"]) == (16, 16, "8")
    assert environment["ACCELERATE_MIXED_PRECISION"] == "bf16"
    assert (environment["ACCELERATE_USE_FSDP"], environment["FSDP_VERSION"]) == ("true", "2")


@pytest.mark.parametrize(
    "command", ["ls -l", "pip install torch", "python -m pip install torch", "python -c 'x'", "A=1"]
)
def test_a_command_that_starts_no_program_is_refused(folder, command):
    with pytest.raises(SourceError, match="starts no program of Python"):
        read_command(command.split(), folder)


def test_a_program_that_is_not_there_is_named(folder):
    with pytest.raises(SourceError, match=r"gone\.py is not in"):
        read_command(["torchrun", "gone.py"], folder)


RUN = """#!/usr/bin/env bash
set -euo pipefail
# torchrun --nproc_per_node 64 train.py
export WANDB_MODE=offline
GPUS=${GPUS:-4}   # of a node
BATCH=$((256 / GPUS))
ARGS=(
  --batch-size "$BATCH"
  --name 'a run'
)
pip install -r requirements.txt
python prepare.py --out data
if [ ! -d out ]; then
    mkdir -p out
fi
torchrun --standalone \\
    --nproc_per_node=$GPUS \\
    train.py \\
    "${ARGS[@]}" \\
    --epochs ${1:-10} \\
    2>&1 | tee out/log.txt
echo done
"""


def test_a_shell_script_is_followed_to_what_it_starts_last(folder):
    (folder / "run.sh").write_text(RUN)
    reading = read_file(folder / "run.sh")
    assert reading.source.entrypoint == "train.py"
    assert reading.source.arguments == ("--batch-size", "64", "--name", "a run", "--epochs", "10")
    assert (_world(reading), _gpus(reading), reading.source.environment["WANDB_MODE"]) == (4, 4, "offline")
    assert any("prepare.py (run.sh line 12), which is not" in note for note in reading.notes)
    assert read_file(folder / "run.sh", ["30"]).source.arguments[-1] == "30"


@pytest.mark.parametrize(
    ("text", "entrypoint", "arguments"),
    [
        ("cd src\npython run.py", "src/run.py", []),
        ("cd $(dirname $0)/src && python run.py", "src/run.py", []),
        ('DIR="$( cd "$( dirname "${BASH_SOURCE[0]}" )" && pwd )"\npython $DIR/src/run.py --out $DIR/x', "src/run.py",
         ["--out", "x"]),
        ("PYTHON=python3\n$PYTHON train.py", "train.py", []),
        ("X=1; Y=$X$X; python train.py --y=$Y", "train.py", ["--y=11"]),
        ("for lr in 0.1 0.2; do\n  python train.py --lr $lr\ndone", "train.py", ["--lr", "0.1"]),
        ('if [ "$1" == "big" ]; then\n N=8\nelse\n N=2\nfi\npython train.py --n $N', "train.py", ["--n", "2"]),
        ("cat <<EOF > conf\npython prepare.py\nEOF\npython train.py", "train.py", []),
        ("main() {\n  python train.py --a\n}\nmain", "train.py", ["--a"]),
        ("CMD='train.py --b 2'\npython $CMD", "train.py", ["--b", "2"]),
        ("O='--a 1'\nO+=' --b 2'\npython train.py $O > log 2>&1 &\nwait", "train.py", ["--a", "1", "--b", "2"]),
        ("name=${0##*/}\npython train.py --name ${name%.sh}", "train.py", ["--name", "run"]),
    ],
)  # fmt: skip
def test_shell(folder, text, entrypoint, arguments):
    (folder / "run.sh").write_text(f"#!/bin/bash\n{text}\n")
    source = read_file(folder / "run.sh").source
    assert (source.entrypoint, list(source.arguments)) == (entrypoint, arguments)


SBATCH = """#!/bin/bash
#SBATCH --job-name=x
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:a100:4
#SBATCH --time=24:00:00
module load cuda
source env/bin/activate
export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_PORT=12345
srun torchrun --nnodes=$SLURM_NNODES --nproc_per_node=4 --rdzv_id=$SLURM_JOB_ID \\
  --rdzv_endpoint=$MASTER_ADDR:29500 train.py --epochs 5
"""


def test_a_batch_script_says_nodes_gpus_and_its_limit(folder):
    (folder / "job.sbatch").write_text(SBATCH)
    reading = read_file(folder / "job.sbatch")
    assert (reading.source.entrypoint, reading.source.arguments) == ("train.py", ("--epochs", "5"))
    assert (_world(reading), _gpus(reading)) == (8, 8)
    assert read_request(texts(reading.source), reading.words).gpu_types == frozenset({"A100"})
    assert "Slurm ends it after 24:00:00" in reading.notes


def test_tasks_of_a_batch_script_are_ranks_of_slurm(folder):
    (folder / "job.slurm").write_text(
        "#!/bin/bash\n#SBATCH -N 2\n#SBATCH --ntasks-per-node=4\n#SBATCH --gpus-per-node=4\n"
        "export WORLD_SIZE=$SLURM_NTASKS\nsrun python -u train.py\n"
    )
    reading = read_file(folder / "job.slurm")
    environment = reading.source.environment
    assert (environment["WORLD_SIZE"], environment["SLURM_NTASKS"], _gpus(reading)) == ("8", "8", 8)


def test_a_script_in_a_folder_of_scripts_starts_programs_of_the_root(folder):
    (folder / "scripts").mkdir()
    (folder / "scripts/run.sh").write_text("bash scripts/inner.sh --lr 1\n")
    (folder / "scripts/inner.sh").write_text('python src/run.py "$@"\n')
    source = read_file(folder / "scripts/run.sh").source
    assert (source.entrypoint, source.arguments) == ("src/run.py", ("--lr", "1"))


@pytest.mark.parametrize("text", ["#!/bin/bash\necho nothing\n", "#!/bin/sh\n./compiled --x\n"])
def test_a_script_that_starts_no_python_is_read_as_a_text(folder, text):
    (folder / "run.sh").write_text(text)
    reading = read_file(folder / "run.sh")
    assert reading.source.entrypoint == "run.sh"
    assert any("starts no program of Python" in note for note in reading.notes)


def test_a_notebook_is_its_code_cells(folder):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n"]},
        {
            "cell_type": "code",
            "source": ["%load_ext autoreload\n", "!pip install x\n", "import torch\n", "import pkg.go"],
        },
        {"cell_type": "code", "source": "%%bash\nls"},
        {"cell_type": "code", "source": ["%%time\n", "for i in range(3):\n", "    !nvidia-smi\n", "    print(i)"]},
        {"cell_type": "code", "source": "files = !ls\n%time x = 1\ntorch.nn?\ny = 2"},
    ]
    (folder / "My notebook.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}))
    source = read_file(folder / "My notebook.ipynb").source
    code = source.files[source.entrypoint].decode()
    compile(code, "code", "exec")
    assert "import torch" in code
    assert "x = 1" in code
    assert "pip" not in code
    assert "ls" not in code
    assert "pkg/go.py" in source.files
    names: dict[str, object] = {}
    exec(code.replace("import torch\n", "").replace("import pkg.go", ""), names)
    assert (names["i"], names["x"], names["y"]) == (2, 1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "no readable notebook"),
        ('{"cells": [], "nbformat": 4}', "without code"),
        ('{"cells": [], "nbformat": 4, "metadata": {"kernelspec": {"language": "R"}}}', "a notebook of r"),
    ],
)
def test_a_notebook_without_a_program_is_refused(folder, text, message):
    (folder / "n.ipynb").write_text(text)
    with pytest.raises(SourceError, match=message):
        read_file(folder / "n.ipynb")


@pytest.mark.parametrize(
    "text",
    [
        "bash run.sh\n",
        "A=$A$A$A\n" * 200 + "A=xx\n" + "A=$A$A\n" * 200 + "python train.py\n",
        "python train.py ${" * 50,
        "$(" * 500,
        "'\n" * 100,
        "x=$((9**9**9)); python train.py $((2*2*(((((1\n",
        "source run.sh\npython train.py\n",
    ],
)
def test_hostile_scripts_end(folder, text):
    (folder / "run.sh").write_text(text)
    with suppress(SourceError):
        assert read_file(folder / "run.sh").source.entrypoint in ("train.py", "run.sh")


def test_a_source_keeps_its_environment(folder):
    source = read_command(["torchrun", "--nproc_per_node", "4", "train.py"], folder).source
    other = read_command(["torchrun", "--nproc_per_node", "2", "train.py"], folder).source
    assert type(source).from_json(source.to_json()) == source
    assert source.content_hash != other.content_hash


@pytest.mark.parametrize(
    ("script", "beside"),
    [
        ("python train.py\n", []),
        ("for name in one; do echo $name; done\npython train.py\n", []),
        ("while read line; do echo $line; done < list\nsrun python train.py\n", []),
        ("python src/run.py; python train.py\n", ["src/run.py"]),
        ("for seed in 1 2 3; do python train.py --seed $seed; done\n", ["a loop of 3 runs"]),
        ("for ((i = 0; i < 3; i++)); do\n  python train.py\ndone\n", ["a loop of an unknown number of runs"]),
        ("while true; do python train.py; done\n", ["a loop that runs while true"]),
        ("if [ 1 = 2 ]; then for i in 1 2; do python src/run.py; done; fi\npython train.py\n", []),
    ],
)
def test_what_a_script_runs_beside_the_program_is_told(folder: Path, script: str, beside: list[str]) -> None:
    (folder / "job.sh").write_text("#!/bin/sh\n" + script)
    found = read_file("job.sh").beside
    assert len(found) == len(beside)
    assert all(part in text for part, text in zip(beside, found, strict=True))
