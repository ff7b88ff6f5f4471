"""Rows of measured steps, the programs that they are of, and which of them a fit draws."""

import gzip
import json
from pathlib import Path

import pytest

from kilowait.core.errors import InputError
from kilowait.lab.steps.measured_steps import read_steps
from kilowait.lab.steps.single_operators import read_operator_times
from kilowait.lab.steps.step_programs import StepPrograms
from kilowait.lab.steps.step_selection import chosen_steps, with_programs

HEAD = "source,workload,model,mode,precision,batch,gpu,n_gpus,step_ms,samples_per_s,torch_version"
ROWS = [
    "mine,w,small,train,fp32,8,A100,1,20,400,2.1.0",
    "mine,w,small,train,fp32,8,RTX-3090,1,,100,1.13",  # 8 samples at 100 a second
    "mine,w,large,train,fp32,8,A100-SXM4-40GB,8,90,,2.1.0",
    "mine,w,large,infer,fp32,8,A100,1,30,,2.1.0",
    "mine,w,large,infer,fp32,8,Voodoo 2,1,30,,2.1.0",  # in no catalogue
    "mine,w,large,infer,fp32,8,A100,1,,,2.1.0",  # no time
]


def write_steps(path: Path, rows: list[str]) -> Path:
    text = "\n".join([HEAD, *rows]) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def write_programs(folder: Path, **entry: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "step.py").write_text("import sys\n")
    plain = {"match": {"source": ["mine"]}, "files": ["step.py"], "arguments": ["{model}", "{batch}", "{torch_major}"]}
    (folder / "steps.json").write_text(json.dumps({"programs": [plain | entry]}))
    return folder


@pytest.mark.parametrize("name", ["steps.csv", "steps.csv.gz"])
def test_a_step_has_the_time_of_its_row_or_of_its_samples(tmp_path: Path, name: str) -> None:
    steps = read_steps(write_steps(tmp_path / name, ROWS))
    assert [(s.model, s.gpu, s.gpus, s.seconds) for s in steps] == [
        ("small", "A100", 1, 0.02),
        ("small", "RTX-3090", 1, 0.08),
        ("large", "A100", 8, 0.09),
        ("large", "A100", 1, 0.03),
    ]


def test_a_cell_or_column_that_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: step_ms must be a number > 0, got 'fast'"):
        read_steps(write_steps(tmp_path / "a.csv", ["mine,w,m,train,fp32,8,A100,1,fast,,2"]))
    (tmp_path / "b.csv").write_text("source,model\n")
    with pytest.raises(InputError, match=r"no column mode, precision"):
        read_steps(tmp_path / "b.csv")
    with pytest.raises(InputError, match=r"c\.csv: not a table of steps"):
        read_steps(tmp_path / "c.csv")


def test_a_row_on_one_gpu_goes_with_the_first_entry_that_names_its_cells(tmp_path: Path) -> None:
    programs = StepPrograms.read(write_programs(tmp_path / "p", match={"source": ["mine"], "mode": ["train"]}))
    found = with_programs(read_steps(write_steps(tmp_path / "steps.csv", ROWS)), programs)
    assert [one.program.program.arguments for one in found] == [("small", "8", "2"), ("small", "8", "1")]
    assert {one.program.family for one in found} == {"small"}
    assert len({one.content_hash for one in found}) == 2


def test_an_argument_that_no_column_gives_is_named(tmp_path: Path) -> None:
    programs = StepPrograms.read(write_programs(tmp_path / "p", arguments=["{colour}"]))
    with pytest.raises(InputError, match=r"step\.py is given 'colour'"):
        with_programs(read_steps(write_steps(tmp_path / "steps.csv", ROWS)), programs)
    with pytest.raises(InputError, match="programs of steps need this file"):
        StepPrograms.read(write_programs(tmp_path / "q", files=["absent.py"]))


def test_a_draw_takes_so_many_models_of_each_family_and_programs_of_each_model(tmp_path: Path) -> None:
    names = [f"m{i}" for i in range(6)]
    rows = [f"mine,w,{name},train,fp32,{batch},A100,1,20,,2" for name in names for batch in (1, 2, 4)]
    folder = write_programs(tmp_path / "p", families="kinds.json", models_per_family=2, programs_per_model=2)
    (folder / "kinds.json").write_text(json.dumps({"even": names[::2], "odd": names[1::2]}))
    found = with_programs(read_steps(write_steps(tmp_path / "steps.csv", rows)), StepPrograms.read(folder))
    drawn = chosen_steps(found, seed=3)
    assert len({one.step.model for one in drawn if one.program.family == "even"}) == 2
    assert len(drawn) == 2 * 2 * 2
    assert drawn == chosen_steps(found, seed=3)
    assert any(drawn != chosen_steps(found, seed=seed) for seed in range(4, 9))


def test_single_operators_have_the_work_that_their_sizes_say(tmp_path: Path) -> None:
    rows = [
        'x,bmm,T4,2.0,fp32 (TF32 off),2.1,"B=3 M=5 N=7 K=11",k',
        'x,conv,T4,3.0,fp32 (TF32 off),2.1,"B=2 Input_Channel=4 Output_Channel=6 Kernel_Szie=3 Input_Size=8 Stride=1 '
        'Padding=1",k',
        'x,add,T4,1.0,fp32 (TF32 off),2.1,"B=10 H=20",k',
        'x,addu,T4,1.0,fp32 (TF32 off),2.1,"B=10 H=20",k',
    ]
    path = tmp_path / "operators.csv"
    path.write_text("\n".join(["source,op,gpu,latency_ms,precision,torch_version,dims,kernel", *rows]))
    times = {t.op: t for t in read_operator_times(path, shapes={}, others=5, seed=0)}
    operations = {name: time.run.operations[0] for name, time in times.items()}
    assert {name: op.flops for name, op in operations.items()} == {
        "bmm": 2 * 3 * 5 * 7 * 11,
        "conv": 2 * (2 * 8 * 8) * 6 * 4 * 9,
        "add": 200,
        "addu": 200,
    }
    assert operations["conv"].precision == "ieee"
    assert (operations["add"].bytes_read, operations["addu"].bytes_read) == (1600, 800)
    assert times["bmm"].seconds == 0.002
