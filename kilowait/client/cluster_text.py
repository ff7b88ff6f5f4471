"""The cluster as text: its GPUs by type, and its nodes."""

from kilowait.client.service_text import Json, at, table


def cluster(answer: Json) -> str:
    """The cluster."""
    rows = [
        [entry["gpu_type"], str(entry["total"]), str(entry["free"]), str(entry["held"]), str(entry["jobs_running"])]
        for entry in answer["types"]
    ]
    text = table(["type", "GPUs", "free", "held by others", "jobs"], rows)
    text += f"{answer['running']} jobs run, {answer['waiting']} wait, {answer['stranded']} fit nowhere; "
    text += f"policy {answer['policy']}: {answer['rule']}\n"
    text += _budget(answer.get("power_budget")) + "".join(map(_node, answer["nodes"]))
    return text + (f"problem: {answer['problem']}\n" if answer["problem"] else "")


def _budget(of: Json | None) -> str:
    """The power budget, in a line; nothing where there is none."""
    if not of or of["watts"] is None:
        return ""
    least = f", later {of['least_w']:,.0f} W" if of["least_w"] is not None and of["least_w"] < of["watts"] else ""
    text = f"power budget {of['watts']:,.0f} W{least}; at most {of['promised_w']:,.0f} W are drawn (modelled), "
    return text + f"{of['at_rest_w']:,.0f} W at rest" + (f"; {of['problem']}" if of["problem"] else "") + "\n"


def _node(node: Json) -> str:
    state = f"  {node['problem']}" if node["problem"] else "  drains" if node["draining"] else ""
    if planned := node.get("maintenance"):
        reason = f" ({planned['reason']})" if planned["reason"] else ""
        state += f"  to be maintained from {at(planned['begins_s'])} to {at(planned['ends_s'])}{reason}"
    return f"  node {node['node'][:12]} at {node['address']}: {node['gpus']} x {node['gpu_type'] or '?'}{state}\n"
