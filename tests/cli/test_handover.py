"""`kilowait lab` finds the pipelines by their folders, and each command knows the name that it was started by."""

import subprocess
import sys
from pathlib import Path

import pytest

from kilowait.cli.handover import lab_commands, sentence
from kilowait.cli.main import main

ROOT = Path(__file__).parents[2]
COMMANDS = {
    *("alignment", "backtest", "calibrate", "corpus", "curve", "demo", "devices", "dryrun", "embed", "evaluate"),
    *("label", "ood", "power", "refit", "steps", "study", "train", "twins", "tune-kappa", "tune-probe"),
}


def test_every_pipeline_is_listed_with_a_sentence_and_nothing_is_imported() -> None:
    code = "import sys; from kilowait.cli.main import main; status = main(['lab', '--help']); "
    code += "print(status, sorted({'ray', 'torch', 'kilowait.pipelines', 'pipelines'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *lines, last = done.stdout.splitlines()
    assert last == "0 []"
    listed = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.startswith("  ")}
    assert set(listed) == COMMANDS
    assert listed["calibrate"] == "Hold a table of job classes against public measurements"
    assert listed["curve"] == "How accuracy grows with the number of labelled programs, by what is read"
    assert listed["demo"] == "The main job end to end on this machine, with no GPU and no network"
    assert listed["tune-kappa"] == "Find kappa for the Value policy"


def test_each_sentence_is_one_and_names_no_command() -> None:
    for module in lab_commands().values():
        said = sentence(module)
        assert said[0].isupper(), said
        assert not said.endswith((".", ":", "`")), said
        assert "kilowait lab" not in said, said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lab", "embbed"], "kilowait: kilowait lab has no command 'embbed'; did you mean embed?\n"),
        (["lab", "zzz"], "kilowait: kilowait lab has no command 'zzz'; kilowait lab --help lists them\n"),
        (["lab", "cards"], "kilowait: kilowait lab has no command 'cards'; "),  # a module, but no command
    ],
)
def test_an_unknown_name_is_a_mistake(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(said)


def test_no_name_shows_the_list_as_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab"]) == 2
    assert "  embed " in capsys.readouterr().out


def test_both_commands_stand_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "run the live service" in shown
    assert "`kilowait lab --help` lists them" in shown


@pytest.mark.slow
@pytest.mark.parametrize("module", ["pipelines.embed", "kilowait.pipelines.embed", "tuning.kappa", "serve.start"])
def test_help_names_the_module_that_was_started(module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.startswith(f"usage: python -m {module} ")


ASK_ALL = """
import sys
from kilowait.cli.main import main
for command in sys.argv[1:]:
    try:
        main([*command.split(), "--help"])
    except SystemExit as end:
        print("ended with", end.code)
"""


@pytest.mark.slow
def test_help_names_the_command_that_was_handed_over_to() -> None:
    commands = [*(f"lab {name}" for name in sorted(COMMANDS)), "serve"]
    command = [sys.executable, "-c", ASK_ALL, *commands]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    shown = done.stdout.splitlines()
    usages = [line for line in shown if line.startswith("usage: ")]
    assert len(usages) == len(commands)
    for line, name in zip(usages, commands, strict=True):
        assert line.startswith(f"usage: kilowait {name} "), line
    assert shown.count("ended with 0") == len(commands)


@pytest.mark.slow
def test_the_rest_of_the_line_is_the_command_s_own() -> None:
    words = ["lab", "calibrate", "--measurements", "nowhere"]
    done = subprocess.run([sys.executable, "-m", "kilowait", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pipelines.calibrate: " in done.stderr
    assert "nowhere" in done.stderr
