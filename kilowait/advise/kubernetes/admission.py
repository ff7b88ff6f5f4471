"""An AdmissionReview answered: everything is allowed, and what can be predicted is patched with its predictions."""

import base64
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kilowait.advise.advice import Advice
from kilowait.advise.asking import AdviceQuestion
from kilowait.advise.kubernetes.advised_workload import ADVICE, Placing, advised_workload
from kilowait.advise.kubernetes.git_source import FetchSource
from kilowait.advise.kubernetes.json_patch import json_patch
from kilowait.advise.kubernetes.workload_pods import pod_groups
from kilowait.advise.kubernetes.workload_program import ReadConfigMap, read_workload
from kilowait.core.control_characters import escaped
from kilowait.core.errors import InputError, KilowaitError

MOST_WARNING = 200
"""Characters of a warning; the API server cuts longer ones."""
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Who predicts, who reads ConfigMaps, how nodes are preferred, who has repositories (None: nobody)."""

    ask: Callable[[AdviceQuestion], Advice]
    read: ReadConfigMap
    placing: Placing
    fetch: FetchSource | None = None

    def answer(self, review: Json) -> dict[str, Any]:
        """A review that was checked, with its response."""
        try:
            patch, warnings = self._patch(review["request"]), []
        except KilowaitError as error:
            patch, warnings = [], [str(error)]
        return answered(review, patch, warnings)

    def _patch(self, request: Json) -> list[dict[str, Any]]:
        """What is to be changed; [] for an object that is not a new workload of somebody's own."""
        workload = request.get("object")
        if request.get("operation") != "CREATE" or not isinstance(workload, Mapping):
            return []
        metadata = workload.get("metadata") or {}
        if metadata.get("ownerReferences") or ADVICE in (metadata.get("annotations") or {}):
            return []  # made by a controller from one that was looked at, or looked at already
        groups = pod_groups(workload)
        gpus = sum(group.gpus for group in groups)
        if not gpus:
            return []
        namespace = str(request.get("namespace") or metadata.get("namespace") or "default")
        with tempfile.TemporaryDirectory(prefix="kilowait-admit-") as name:
            folder = Path(name, "job")  # what stands above it is empty, too
            folder.mkdir()
            reading = read_workload(workload, groups[0], namespace, self.read, folder, self.fetch)
            question = AdviceQuestion(reading=reading, gpus=gpus, gpu_types=self.placing.gpu_types, root=folder)
            advice = self.ask(question)
        if not advice.by_type:
            raise InputError(f"not predicted: {advice.dry_run}")
        return json_patch(workload, advised_workload(workload, groups, advice, self.placing))


def check_review(review: Any) -> None:
    """Raises InputError for what is no AdmissionReview."""
    request = review.get("request") if isinstance(review, Mapping) else None
    if not isinstance(request, Mapping) or not isinstance(request.get("uid"), str):
        raise InputError("no AdmissionReview: it needs a request with a uid")


def answered(review: Json, patch: list[dict[str, Any]], warnings: list[str]) -> dict[str, Any]:
    """A review that allows its object, with a patch and what its author should know."""
    response: dict[str, Any] = {"uid": review["request"]["uid"], "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    if warnings:
        response["warnings"] = [f"kilowait: {escaped(text)}"[:MOST_WARNING] for text in warnings]
    return {
        "apiVersion": review.get("apiVersion", "admission.k8s.io/v1"),
        "kind": "AdmissionReview",
        "response": response,
    }
