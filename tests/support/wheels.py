"""Wheels of one module each, made by hand."""

import base64
import hashlib
import zipfile


def wheel(folder, name, version, text="NAME = {name!r}\n"):
    """A wheel of one module."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text.format(name=name),
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for file, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        record += f"{file},sha256={digest},{len(content)}\n"
    with zipfile.ZipFile(path, "w") as packed:
        for file, content in {**files, f"{information}/RECORD": f"{record}{information}/RECORD,,\n"}.items():
            packed.writestr(file, content)
    return path
