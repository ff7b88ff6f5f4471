// The page of jobs: the newest first, of any state, by state, name, label and owner.
import { ask, at, fill, had, live, off, presses, put, span } from "./shared.js";

const PAGE = 50;
const form = document.getElementById("search");
let shown = PAGE;
for (const [name, text] of new URLSearchParams(location.search)) if (form.elements[name]) form.elements[name].value = text;

function chosen() {
  return new URLSearchParams([...new FormData(form)].map(([name, text]) => [name, text.trim()]).filter(([, text]) => text));
}

async function jobs() {
  const found = [];
  let after = "";
  while (after !== null && found.length < shown) {
    const limit = Math.min(PAGE, shown - found.length);
    const page = await ask(`/v1/jobs?${new URLSearchParams([...chosen(), ["newest", "true"], ["limit", limit], ["after", after]])}`);
    found.push(...page.jobs);
    after = page.next;
  }
  return [found, after !== null];
}

function row(job) {
  const last = job.attempts.at(-1);
  const took = last?.runtime_s;
  const predicted = last && job.by_type[last.gpu_type];
  const on = last ? `${last.gpus} × ${last.gpu_type}` : `${job.gpus}`;
  const cells = [{ text: job.job_id, link: `/job?id=${encodeURIComponent(job.job_id)}` }, job.name || job.entrypoint,
    job.reason ? { text: job.state, small: job.reason.slice(0, 60) } : job.state, job.owner, on, at(job.submitted_s),
    took ? had(span(took.value), took.provenance) : "",
    took && predicted && job.state === "finished" ? off(predicted.runtime_s, took.value) : "",
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

presses("jobs", {
  cancel: async (id) => {
    if (!confirm(`Cancel ${id}?`)) return;
    await ask(`/v1/jobs/${encodeURIComponent(id)}/cancel`, {}).catch((error) => put("note", error.message));
    await show().catch((error) => put("note", error.message));
  },
});

async function show() {
  const [found, more] = await jobs();
  fill("jobs", found.map(row));
  put("count", `${found.length}${more ? ", there are more" : ""}`);
  put("note", "");
  document.getElementById("more").hidden = !more;
}

live(show, 5000);
