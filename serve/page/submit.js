// The page to submit from: what a job would get on each type, and the same job submitted.
import { ask, energy, fill, jobPage, live, make, put, span } from "./shared.js";

const form = document.getElementById("job");
const types = document.getElementById("types");
let key = newKey();

form.elements.file.addEventListener("change", async () => {
  const file = form.elements.file.files[0];
  if (file) form.elements.source.value = await file.text();
});

form.addEventListener("input", () => { key = newKey(); });

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const act = event.submitter?.name === "ask" ? whatIf : submit;
  const buttons = [form.elements.ask, form.elements.submit];
  buttons.forEach((button) => { button.disabled = true; });
  put("note", "Reading the program …");
  act(job()).catch((error) => put("note", error.message)).finally(() => buttons.forEach((button) => { button.disabled = false; }));
});

/** The same form sent twice is one job. */
function newKey() {
  return `page-${Date.now()}-${Math.random()}`;
}

function job() {
  const given = form.elements;
  const chosen = [...types.querySelectorAll("input:checked")].map((box) => box.value);
  const lines = given.arguments.value.split("\n").map((line) => line.trim()).filter(Boolean);
  const file = given.file.files[0]?.name;
  return { source: given.source.value, arguments: lines, name: given.name.value.trim(), gpu_types: chosen.length ? chosen : null,
    gpus: given.gpus.value ? Number(given.gpus.value) : null, ...(file ? { entrypoint: file } : {}) };
}

async function whatIf(body) {
  const answer = await ask("/v1/what-if", body);
  fill("options", [row("left to the policy", answer.free_choice), ...answer.held_to.map((one) => row(`held to ${one.gpu_type}`, one))]);
  put("basis", `Under the policy ${answer.policy} behind ${answer.waiting} that wait, if nobody else submits. Interval from ${answer.interval_basis}.`);
  document.getElementById("answer").hidden = false;
  put("note", "");

  function row(where, one) {
    const e = one.expected;
    if (!e) return { key: where, cells: [where, one.not_possible, "", "", "", ""] };
    const away = (time_s) => span(Math.max(0, time_s - answer.now_s));
    const interval = e.start_low_s === null ? "" : `${away(e.start_low_s)} to ${away(e.start_high_s)}`;
    return { key: where, cells: [where, `${e.gpus} × ${e.gpu_type}`, away(e.start_s), interval, away(e.end_s), energy(e.energy_kwh)] };
  }
}

async function submit(body) {
  const answer = await ask("/v1/jobs", body, { "Idempotency-Key": key });
  const note = document.getElementById("note");
  const link = make("a", answer.job_id);
  link.href = jobPage(answer.job_id);
  note.replaceChildren("Submitted: ", link, ...answer.warnings.map((text) => make("p", text)));
}

live(async () => {
  const cluster = await ask("/v1/cluster");
  const known = [...types.querySelectorAll("input")].map((box) => box.value);
  for (const one of cluster.types.filter((each) => !known.includes(each.gpu_type))) {
    const box = make("input");
    Object.assign(box, { type: "checkbox", value: one.gpu_type });
    const label = make("label");
    label.append(box, ` ${one.gpu_type}`);
    types.append(label);
  }
}, 30000);
