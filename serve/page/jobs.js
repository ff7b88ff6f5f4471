// The page of jobs: the newest first, of any state, by state, name, label and owner; a job array is one row.
import { ask, at, fill, had, jobPage, live, off, presses, put, span } from "./shared.js";

const PAGE = 50, AT_ONCE = 1000;
const form = document.getElementById("search");
let shown = PAGE;
for (const [name, text] of new URLSearchParams(location.search)) if (form.elements[name]) form.elements[name].value = text;

function chosen() {
  return new URLSearchParams([...new FormData(form)].map(([name, text]) => [name, text.trim()]).filter(([, text]) => text));
}

async function jobs() {
  const found = [];
  let after = "";
  const alone = form.elements.array.value.trim() ? [] : [["alone", "true"]];
  while (after !== null && found.length < shown) {
    const limit = Math.min(AT_ONCE, shown - found.length);
    const query = new URLSearchParams([...chosen(), ...alone, ["newest", "true"], ["limit", limit], ["after", after]]);
    const page = await ask(`/v1/jobs?${query}`);
    found.push(...page.jobs);
    after = page.next;
  }
  return [found, after !== null];
}

/** The job arrays that have such tasks; none where the tasks of one are looked at. */
async function arrays() {
  if (form.elements.array.value.trim()) return [];
  return (await ask(`/v1/arrays?${new URLSearchParams([...chosen(), ["newest", "true"], ["limit", PAGE]])}`)).arrays;
}

function arrayRow(array) {
  const states = Object.entries(array.states).map(([state, count]) => `${count.toLocaleString()} ${state}`).join(", ");
  const active = (array.states.waiting ?? 0) + (array.states.running ?? 0);
  const tasks = array.at_once ? { text: array.tasks, small: `${array.at_once} at once` } : array.tasks;
  return { key: array.array_id, cells: [{ text: array.array_id, link: `/jobs?array=${encodeURIComponent(array.array_id)}` },
    array.name || array.entrypoint, array.owner, tasks, states, at(array.submitted_s),
    active ? { text: "Cancel", press: "cancel", label: `Cancel what waits or runs of ${array.array_id}` } : ""] };
}

function row(job) {
  const last = job.attempts.at(-1);
  const took = last?.runtime_s;
  const predicted = last && job.by_type[last.gpu_type];
  const on = last ? `${last.gpus} × ${last.gpu_type}` : `${job.gpus}`;
  const cells = [{ text: job.job_id, link: jobPage(job.job_id) }, (job.name && job.kind === "shell" ? `${job.name} (shell)` : job.name) || job.entrypoint,
    job.reason ? { text: job.state, small: job.reason.slice(0, 60) } : job.state, job.owner, on, at(job.submitted_s),
    took ? had(span(took.value), took.provenance) : "",
    took && predicted && job.state === "finished" && job.kind !== "shell" ? off(predicted.runtime_s, took.value) : "",
    ["waiting", "running"].includes(job.state) ? { text: "Cancel", press: "cancel", label: `Cancel ${job.job_id}` } : ""];
  return { key: job.job_id, cells };
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  shown = PAGE;
  history.replaceState(null, "", `/jobs?${chosen()}`);
  show().catch((error) => put("note", error.message));
});

document.getElementById("more").addEventListener("click", () => {
  shown += PAGE;
  show().catch((error) => put("note", error.message));
});

/** Ask a person, then the service; where it refuses, its words stand until the next look. */
async function cancel(question, path, body) {
  if (confirm(question)) await ask(path, body).then(show).catch((error) => put("note", error.message));
}

presses("jobs", { cancel: (id) => cancel(`Cancel ${id}?`, `/v1/jobs/${encodeURIComponent(id)}/cancel`, {}) });
presses("arrays", { cancel: (id) => cancel(`Cancel what waits or runs of ${id}?`, "/v1/jobs:cancel", { array: id }) });

async function show() {
  const [[found, more], some] = await Promise.all([jobs(), arrays()]);
  document.getElementById("array-section").hidden = some.length === 0;
  fill("arrays", some.map(arrayRow));
  fill("jobs", found.map(row));
  put("count", `${found.length}${more ? ", there are more" : ""}`);
  put("note", "");
  document.getElementById("more").hidden = !more;
}

live(show, 5000);
