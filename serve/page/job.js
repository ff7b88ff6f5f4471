// The page of one job: what it is, why it is where it is, its attempts and its log.
import { ask, at, energy, facts, fill, had, list, live, presses, put, save, span } from "./shared.js";

const id = new URLSearchParams(location.search).get("id") ?? "";
const path = `/v1/jobs/${encodeURIComponent(id)}`;
let offset = 0;

function about(job) {
  const called = job.name ? `${job.job_id} (${job.name})` : job.job_id;
  put("title", `${called}: ${job.state}`);
  document.title = `kilowait: ${called}, ${job.state}`;
  document.getElementById("cancel").hidden = !["waiting", "running"].includes(job.state);
  list("reading", job.dry_run ? job.dry_run.split(/; (?=assumed: |missing: )/) : []);
  const pairs = [["State", job.reason ? `${job.state}: ${job.reason}` : job.state], ["Owner", job.owner]];
  pairs.push(["Submitted", at(job.submitted_s)], ["Runs", [job.entrypoint, ...job.arguments].join(" ")]);
  pairs.push(["GPUs", `${job.gpus} of ${job.gpu_types?.join(", ") ?? "any type"}`]);
  if (job.deadline) pairs.push(["Deadline (shown, not enforced)", at(Date.parse(job.deadline) / 1000)]);
  Object.entries(job.labels).forEach(([name, text]) => pairs.push([`Label ${name}`, text]));
  const e = job.expected;
  if (e) {
    const now = Date.now() / 1000;
    const start = `in ${span(Math.max(0, e.start_s - now))} on ${e.gpus} × ${e.gpu_type}`;
    pairs.push(["Expected start", had(start, e.provenance)], ["Expected end", had(at(e.end_s), e.late ? "modelled, late" : e.provenance)]);
  }
  const p = job.progress;
  if (p) {
    pairs.push(["Has run", had(`${span(p.run_s)} of ${span(p.predicted_s)}`, `${p.run_provenance} of modelled`)]);
    if (p.power_w) pairs.push(["Power now", had(`${Math.round(p.power_w.value)} W`, p.power_w.provenance)]);
    if (p.power_limit_w != null) pairs.push(["Power limit", `${Math.round(p.power_limit_w)} W a board`]);
    const n = p.steps;
    if (n) {
      pairs.push(["Steps", had(`${Math.round(n.done).toLocaleString()} of ${Math.round(n.total).toLocaleString()}`, n.done_provenance)]);
      pairs.push(["Predicted in all", had(span(p.predicted_s), p.predicted_provenance)]);
      pairs.push(["Expected in all, by its steps", had(`${span(n.runtime_s)}, ${energy(n.energy_kwh)}`, `${n.provenance}, ${n.ratio.toFixed(2)} × predicted`)]);
      pairs.push(["Expected end", had(at(n.end_s), n.provenance)]);
    }
  }
  facts("facts", pairs);
  fill("attempts", job.attempts.map((one) => ({
    key: `${one.attempt}`,
    cells: [`${one.attempt}`, `${one.gpus} × ${one.gpu_type}`, at(one.placed_s),
      one.runtime_s ? had(span(one.runtime_s.value), one.runtime_s.provenance) : "",
      one.energy_kwh ? had(energy(one.energy_kwh.value), one.energy_kwh.provenance) : "",
      one.ended_s ? `${at(one.ended_s)}${one.reason ? `: ${one.reason}` : ""}` : "runs"],
  })));
}

function why(answer) {
  put("summary", answer.seen ? `${answer.summary}. ${answer.seen}` : answer.summary);
  const first = answer.larger_first ? "largest" : "smallest";
  const by = answer.criterion ? ` It goes by ${answer.criterion}, the ${first} first.` : "";
  put("rule", `Policy ${answer.policy}: ${answer.rule}.${by}`);
  fill("options", answer.types.map((one) => ({
    key: one.gpu_type,
    className: one.chosen ? "chosen" : "",
    cells: [one.chosen ? { text: one.gpu_type, small: "chosen" } : one.gpu_type, `${one.free} of ${one.total}`, `${one.gpus}`,
      span(one.runtime_s), energy(one.energy_kwh), one.rating === null ? "none" : Number(one.rating.toPrecision(4)).toString(),
      one.ahead === null ? "" : `${one.ahead}`],
  })));
  const words = [...answer.would_change, ...Object.entries(answer.not_possible).map(([type, reason]) => `${type}: ${reason}`)];
  list("changes", words);
  document.getElementById("h-change").hidden = document.getElementById("changes").hidden = words.length === 0;
}

async function kept(state) {
  if (["waiting", "running"].includes(state) || document.getElementById("kept").dataset.known) return;
  const answer = await ask(`${path}/outputs`);
  document.getElementById("kept").dataset.known = "yes";
  const files = answer.nodes.flatMap((node) => node.files.map((file) => ({ rank: node.rank, ...file })));
  fill("kept", files.map((file) => ({
    key: JSON.stringify([file.rank, file.path]),
    cells: [{ text: file.rank ? `rank ${file.rank}: ${file.path}` : file.path, press: "save", label: `Save ${file.path}` },
      file.bytes.toLocaleString()],
  })));
  const left = answer.nodes.filter((node) => node.left).map((node) => `Not kept: ${node.left_names.join(", ")} (${node.left} in all).`);
  const problems = answer.nodes.map((node) => node.problem).filter(Boolean);
  put("kept-note", [...problems, ...left].join(" "));
}

presses("kept", {
  save: (key) => {
    const [rank, file] = JSON.parse(key);
    const where = file.split("/").map(encodeURIComponent).join("/");
    save(`${path}/outputs/${where}?rank=${rank}`, file.split("/").pop()).catch((error) => put("kept-note", error.message));
  },
});

document.getElementById("cancel").addEventListener("click", async () => {
  if (!confirm(`Cancel ${id}?`)) return;
  await ask(`${path}/cancel`, {}).catch((error) => put("status", error.message));
});

async function log() {
  const piece = await ask(`${path}/logs?offset=${offset}`);
  offset = piece.next;
  const shown = document.getElementById("log");
  const below = shown.scrollTop + shown.clientHeight >= shown.scrollHeight - 4;
  if (piece.text) shown.append(piece.text);
  if (below) shown.scrollTop = shown.scrollHeight;
}

live(async () => {
  const [job, reasons] = await Promise.all([ask(path), ask(`${path}/why`)]);
  about(job);
  why(reasons);
  await kept(job.state);
  await log();
}, 2000);
