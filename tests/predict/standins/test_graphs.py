"""Graphs: text tables of a published data set that is not there, and sparse tensors whose values nobody knows.

And folders that are none of data, as the arguments say that the program writes to them.
"""

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness

PAPERS, WORDS, CLASSES, STEPS = 2708, 1433, 7, 20
CORA = f"""
import numpy as np, torch
table = np.genfromtxt("cora/cora.content", dtype=np.dtype(str))
cites = np.genfromtxt("cora/cora.cites", dtype=np.int32)
features = torch.FloatTensor(table[:, 1:-1].astype(np.int32)).to_sparse().cuda()
names, labels = np.unique(table[:, -1], return_inverse=True)
place = {{int(name): number for number, name in enumerate(table[:, 0])}}
edges = torch.tensor([[place[a], place[b]] for a, b in cites]).T
graph = torch.sparse_coo_tensor(edges, torch.ones(edges.shape[1]), (len(table), len(table))).coalesce().to("cuda")
small = torch.eye(5).to_sparse().to("cuda")
assert small.layout is torch.sparse_coo and small.is_coalesced() and small.device.type == "cuda"
weight = torch.nn.Parameter(torch.randn(features.shape[1], int(labels.max()) + 1, device="cuda"))
opt = torch.optim.Adam([weight])
for _ in range({STEPS}):
    opt.zero_grad()
    torch.sparse.mm(graph, torch.spmm(features, weight)).square().mean().backward()
    opt.step()
"""


def test_a_graph_that_is_not_there_has_its_published_nodes_words_and_classes(runner: DryRunner) -> None:
    run = runner.run_program(DryProgram(files={"job.py": CORA.encode()}, entrypoint="job.py", content_hash="1"))
    assert (run.steps, run.parameters) == (STEPS, WORDS * CLASSES), run.reason
    told = " ".join(run.assumptions)
    assert f"cora.content has {PAPERS:,} rows" in told
    assert "sparse tensors are counted as with dense ones" in told


def test_a_folder_for_outputs_is_not_taken_for_one_of_images(runner: DryRunner) -> None:
    text = (
        "import os, sys, torch\nfolder = sys.argv[sys.argv.index('--output_dir') + 1]\n"
        "os.makedirs(folder)\nassert os.listdir(folder) == [], 'not empty'\ntorch.ones(2).cuda() + 1\n"
    )
    arguments = ("--output_dir", "test-images")
    program = DryProgram(files={"job.py": text.encode()}, entrypoint="job.py", content_hash="1", arguments=arguments)
    run = runner.run_program(program)
    assert (run.completeness, run.assumptions) == (Completeness.WHOLE, ()), run.reason
