"""What a job asks for: read from the source and the command line, shown with its evidence, never a crash."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.program.resources import read_request
from tests.support.examples import examples


@pytest.mark.parametrize(
    ("command", "gpus"),
    [
        ("torchrun --nproc_per_node 4 train.py", 4),
        ("torchrun --nproc-per-node=4 train.py", 4),
        ("torchrun --nnodes 2 --nproc_per_node 8 train.py", 16),
        ("torchrun --nnodes=1:3 --nproc_per_node=2 train.py", 6),
        ("accelerate launch --num_processes 4 train.py", 4),
        ("accelerate launch --gpu_ids 0,2,3 train.py", 3),
        ("deepspeed --num_gpus 2 train.py", 2),
        ("python train.py --gpus 2", 2),
        ("python train.py --devices 0,1", 2),
        ("python train.py trainer.devices=8", 8),
        ("python train.py --trainer.devices 8 --trainer.num_nodes 2", 16),
        ("CUDA_VISIBLE_DEVICES=0,1,5 python train.py", 3),
        ("CUDA_VISIBLE_DEVICES=3 python train.py", 1),
        ("srun --gres=gpu:a100:2 python train.py", 2),
        ("sky launch --accelerators A100:4 train.py", 4),
        ("python train.py", 1),
        ("python train.py --epochs 4 --lr 2", 1),
    ],
)
def test_a_command_line_says_how_many(command, gpus):
    assert read_request("", command).gpus == gpus
    assert read_request("", command.split()).gpus == gpus


@pytest.mark.parametrize(
    ("source", "gpus"),
    [
        ("trainer = L.Trainer(accelerator='gpu', devices=2)", 2),
        ("trainer = Trainer(devices=2, num_nodes=3)", 6),
        ("Trainer(devices=[0, 3])", 2),
        ("Trainer(devices='0,1,2')", 3),
        ("N = 4\nFabric(devices=N)", 4),
        ("ScalingConfig(num_workers=4, use_gpu=True)", 4),
        ("ScalingConfig(num_workers=4, use_gpu=True, resources_per_worker={'CPU': 8, 'GPU': 2})", 8),
        ("ScalingConfig(num_workers=4)", 1),
        ("@ray.remote(num_gpus=2)\ndef work(): ...", 2),
        ("work.options(num_gpus=0.5).remote()", 1),
        ("model = nn.DataParallel(model, device_ids=[0, 1])", 2),
        ("device_ids = [0, 1, 2]", 3),
        ("import os\nos.environ['CUDA_VISIBLE_DEVICES'] = '0,1'", 2),
        ("os.environ.setdefault('CUDA_VISIBLE_DEVICES', '4')", 1),
        ("mp.spawn(main, nprocs=4)", 4),
        ("notebook_launcher(main, num_processes=8)", 8),
        ("p.add_argument('--num-gpus', type=int, default=4)", 4),
        ("NUM_GPUS = 2", 2),
        ("# run: torchrun --nproc_per_node=4 train.py", 4),
        ("'''Usage:\n  accelerate launch --num_processes 2 train.py\n'''", 2),
        ("#SBATCH --gres=gpu:4", 4),
        ("# gpus: 4, each with 40 GB", 4),
        ("gpus = compute()\nN = 2\nN = 3\nTrainer(devices=N)", 1),
        ("Trainer(max_epochs=4)\nnum_workers = 8\nDataLoader(d, num_workers=4)", 1),
        ("ray.init(num_gpus=8)", 1),
    ],
)
def test_a_source_says_how_many(source, gpus):
    assert read_request(source).gpus == gpus


@pytest.mark.parametrize(
    ("source", "command", "types"),
    [
        ("", "python train.py --gpu-type A100", {"A100"}),
        ("", "python train.py --gpu_type=RTX-A6000", {"A6000"}),
        ("", "srun --gres gpu:a100:2 python train.py", {"A100"}),
        ("", "python train.py --gpu-type A100,A6000", {"A100", "A6000"}),
        ("@ray.remote(num_gpus=1, accelerator_type='A100')\ndef f(): ...", "", {"A100"}),
        ("f.options(accelerator_type=NVIDIA_TESLA_V100)", "", {"V100"}),
        ("ScalingConfig(num_workers=1, use_gpu=True, accelerator_type='H100')", "", {"H100"}),
        ("f.options(resources={'accelerator_type:A100': 0.01})", "", {"A100"}),
        ("f.options(label_selector={'ray.io/accelerator-type': 'L4'})", "", {"L4"}),
        ("@app.function(gpu='H100:2')\ndef f(): ...", "", {"H100"}),
        ("# gpu: A100", "", {"A100"}),
        ("# GPU type: RTX A6000", "", {"A6000"}),
        ("# gpu: 2 x A100", "", {"A100"}),
        ("x = 'A100'  # the A100 is fast", "", None),
        ("print('accelerator_type A100')", "", None),
        ("Trainer(accelerator='gpu')", "python train.py --accelerator gpu --name T4", None),
    ],
)
def test_a_type_is_read_only_where_one_is_asked_for(source, command, types):
    assert read_request(source, command).gpu_types == types


def test_one_value_can_carry_both():
    assert read_request("@app.function(gpu='H100:2')\ndef f(): ...").gpus == 2
    assert read_request("# gpu: 2 x A100").gpus == 2


def test_nothing_read_is_one_gpu_of_any_type_and_says_so():
    request = read_request("print('hello')", "python hello.py")
    assert (request.gpus, request.gpu_types) == (1, None)
    assert request.evidence == ("no number of GPUs given or read: 1 assumed",)


def test_evidence_says_what_was_read_and_where():
    request = read_request("import ray\n\nTrainer(devices=2)  # gpu: A100\n", "torchrun --nproc_per_node 4 x.py")
    assert (request.gpus, request.gpu_types) == (4, {"A100"})
    assert request.evidence == (
        "command line: --nproc_per_node 4 -> 4 GPUs",
        "line 3: Trainer(devices=2) -> 2 GPUs",
        "line 3, comment: gpu: A100 -> type A100",
    )


def test_what_the_user_gives_wins_then_the_command_line_then_calls_then_comments():
    source = "# torchrun --nproc_per_node 16 x.py\nTrainer(devices=8)\nf.options(accelerator_type='T4')"
    command = "torchrun --nproc_per_node 4 x.py --gpu-type V100"
    assert read_request("# torchrun --nproc_per_node 16 x.py").gpus == 16
    assert (read_request(source).gpus, read_request(source).gpu_types) == (8, {"T4"})
    assert (read_request(source, command).gpus, read_request(source, command).gpu_types) == (4, {"V100"})
    request = read_request(source, command, gpus=2, gpu_types=["RTX-A6000", "A100"])
    assert (request.gpus, request.gpu_types) == (2, {"A100", "A6000"})
    assert request.evidence[:2] == ("given: types A100, A6000", "given: gpus=2")


def test_what_is_known_only_at_run_time_is_reported_and_not_guessed():
    request = read_request("Trainer(devices='auto')\nAccelerator()", "torchrun --nproc_per_node gpu x.py")
    assert request.gpus == 1
    assert request.evidence == (
        "command line: --nproc_per_node gpu is no number of GPUs, left out",
        "line 1: Trainer(devices='auto') is no number of GPUs, left out",
        "line 2: Accelerator() takes its number of processes from the launcher",
        "no number of GPUs given or read: 1 assumed",
    )
    assert "torchrun without a number of processes" in read_request("", "torchrun x.py").evidence[0]


@pytest.mark.parametrize("value", ["-1", "0", "True", "1e9", "10**3", "None", "'many'"])
def test_values_that_are_no_number_of_gpus_are_left_out(value):
    assert read_request(f"Trainer(devices={value})").gpus == 1


@pytest.mark.parametrize(
    ("source", "gpus"),
    [
        ("print 'python 2'\ntrainer = Trainer(devices=2)", 2),
        ("def broken(:\n  os.environ['CUDA_VISIBLE_DEVICES'] = '0,1'", 2),
        ("#!/bin/bash\nset -e {\ntorchrun --nproc_per_node=4 train.py", 4),
        ("model = (DataParallel(m, device_ids=[0, 1, 2])", 3),
    ],
)
def test_source_that_does_not_parse_is_read_line_by_line(source, gpus):
    assert read_request(source).gpus == gpus


@pytest.mark.parametrize(
    "source",
    [
        "",
        "\0",
        "(" * 5000,
        "-" * 20000 + "1",
        "x = " + "[" * 150 + "]" * 150,
        "Trainer(devices=" + "9" * 5000 + ")",
        "x" + ".y" * 20000,
        "#" * 100_000 + " gpu: " + "A" * 100_000,
        "# torchrun " + "--nproc_per_node=" * 10_000,
        "'\\d'\n# torchrun 'unclosed --nproc_per_node 2",
        "a = b = c = 1\nTrainer(**kw)\nScalingConfig(*a, resources_per_worker={**b})",
        "\ud800",
    ],
    ids=range(12),
)
def test_hostile_source_never_crashes(source):
    assert read_request(source, "torchrun 'unclosed").gpus >= 1


@settings(max_examples=examples(150))
@given(
    st.lists(
        st.sampled_from(
            ["Trainer(", "devices=", "2", ")", "\n", "# gpu: ", "A100", "--gpus ", "[0,", "]", "'", ":", "{", " ",
             "ray.remote(num_gpus=", "CUDA_VISIBLE_DEVICES=", "torchrun ", "-1", ",", "x", "=", "é", "\\"]
        ),
        max_size=30,
    ).map("".join),
    st.text(max_size=40),
)  # fmt: skip
def test_no_text_crashes_it(source, command):
    request = read_request(source, command)
    assert request.gpus >= 1
    assert request.evidence


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"gpus": 0}, "gpus must be >= 1, got 0"),
        ({"gpu_types": []}, "gpu_types names no type"),
        ({"gpu_types": ["A1000"]}, "unknown GPU type 'A1000'"),
    ],
)
def test_wrong_values_from_the_user_are_refused(given_, message):
    with pytest.raises(InputError, match=message):
        read_request("", **given_)


def test_a_launch_command_is_one_way_of_several_where_the_text_also_names_python_alone():
    source = '''"""
One GPU: python train.py
Sixteen: torchrun --nproc_per_node=8 --nnodes=2 train.py
"""
# or: torchrun --nproc_per_node=4 train.py
'''
    request = read_request(source)
    assert request.gpus == 1
    assert sum("one way to start it" in line for line in request.evidence) == 2
    assert read_request(source, "torchrun --nproc_per_node 4 train.py").gpus == 4
    assert read_request(source.replace("python train.py", "see above")).gpus == 16
