// The page of the cluster: one answer of /v1/overview, shown again every two seconds.
import { comingDay } from "./coming.js";
import { powerDay } from "./power.js";
import { ask, energy, facts, fill, had, jobPage, live, many, off, owner, part, power, put, span, times } from "./shared.js";
import { timeline } from "./timeline.js";

const MOST = 200, STEP = 50;
const first = matchMedia("(max-width: 40rem)").matches ? 5 : 10;
const shown = { running: first, queue: first };

function job(one) {
  return one.visible ? { text: one.job_id, link: jobPage(one.job_id), small: one.name } : one.job_id;
}

function types(cluster) {
  fill("types", cluster.types.map((one) => {
    const used = one.total ? (one.total - one.free) / one.total : 0;
    const cells = [one.gpu_type, `${one.total}`, `${one.free}`, `${one.held}`, `${one.jobs_running}`];
    return { key: one.gpu_type, cells: [...cells, { text: `${Math.round(used * 100)}%`, progress: used }] };
  }));
  const drains = cluster.nodes.filter((node) => node.draining).map((node) => `${node.node.slice(0, 12)} at ${node.address}`);
  document.getElementById("draining").hidden = drains.length === 0;
  put("draining", drains.length ? `Draining, without new jobs: node ${drains.join(", ")}.` : "");
  const budget = cluster.power_budget;
  const powered = budget?.watts == null ? "" : ` Power budget ${power(budget.watts)}; at most ${power(budget.promised_w)} are drawn (modelled).`;
  put("policy", `Policy ${cluster.policy}: ${cluster.rule}.${powered}`);
  const problem = document.getElementById("problem");
  const unused = cluster.nodes.filter((node) => node.problem).map((node) => `node ${node.address}: ${node.problem}`);
  const said = [budget?.problem, cluster.problem, ...unused].filter(Boolean).join(" ");
  problem.hidden = !said;
  put("problem", said);
}

/** How many of a list are shown, of how many, and whether a button shows more. */
function bounded(name, all, rows) {
  const some = rows.slice(0, shown[name]);
  put(`${name}-count`, some.length < all ? `${all}, the first ${some.length} are shown` : `${all}`);
  document.getElementById(`${name}-more`).hidden = some.length >= all || shown[name] >= MOST;
  document.getElementById(`${name}-all`).hidden = some.length >= all;
  return some;
}

function running(overview) {
  fill("running", bounded("running", overview.cluster.running, overview.running).map((one) => {
    const p = one.progress;
    const on = `${one.gpus} × ${one.gpu_type}`;
    const cells = p
      ? [had(span(p.run_s), p.run_provenance), span(p.predicted_s), progress(p),
        p.power_w ? had(`${Math.round(p.power_w.value)} W`, p.power_w.provenance) : "unknown"]
      : ["starting", "", "", ""];
    return { key: one.job_id, className: one.mine ? "mine" : "", cells: [job(one), owner(one), on, ...cells] };
  }));
}

function progress(p) {
  if (p.steps) return { progress: p.steps.done / p.steps.total, text: `${Math.round((100 * p.steps.done) / p.steps.total)}% of steps` };
  const share = Math.round(p.share * 100);
  return { progress: p.share, text: share > 100 ? `overrun, ${times(p.share)}` : `${share}%` };
}

function queue(overview) {
  const now = overview.cluster.now_s;
  fill("queue", bounded("queue", overview.queue_length, overview.queue).map((one) => {
    const e = one.expected;
    const start = e ? [e.gpu_type, span(Math.max(0, e.start_s - now)), interval(e, now)] : ["", "unknown", ""];
    const cells = [job(one), owner(one), `${one.gpus}`, span(now - one.submitted_s), ...start];
    return { key: one.job_id, className: one.mine ? "mine" : "", cells };
  }));
  put("basis", `Starts are modelled: the queue is run ahead under the policy, if nobody else submits. Interval from ${overview.interval_basis}.`);
}

function interval(e, now) {
  if (e.start_low_s === null) return "";
  return `${span(Math.max(0, e.start_low_s - now))} to ${span(Math.max(0, e.start_high_s - now))}`;
}

function today(t) {
  const how = t.energy_provenance.join(", ");
  const left = t.jobs - t.compared_jobs;
  put("energy-note", t.jobs
    ? `Since midnight UTC ${many(t.jobs, "job")} ended and used ${energy(t.energy_kwh)} (${how || "nothing measured"}).`
    : "No job has ended since midnight UTC.");
  const share = t.simple_energy_kwh ? ` (${((100 * t.saved_kwh) / t.simple_energy_kwh).toFixed(1)}%)` : "";
  document.getElementById("against").hidden = !t.compared_jobs;
  put("against-note", `Simple is first come, first served. The same ${many(t.compared_jobs, "job")} under both: what finished at its first attempt.`
    + (left ? ` ${many(left, "other job")} that failed, were cancelled or began anew are on neither side.` : ""));
  facts("energy", [
    ["They used", had(energy(t.compared_energy_kwh), how)],
    ["Simple would have used", had(energy(t.simple_energy_kwh), t.simple_provenance)],
    ["Saved", had(`${energy(t.saved_kwh)}${share}`, t.simple_provenance)],
    ["They waited, in all", had(span(t.wait_s), "measured")],
    ["With Simple, in all", had(span(t.simple_wait_s), t.simple_provenance)],
  ]);
}

function accuracy(overview) {
  const rows = overview.accuracy;
  const m = overview.median_factor;
  put("accuracy-note", m
    ? `Half of today's predictions of run times were within a factor of ${m.value.toFixed(m.value < 1.1 ? 2 : 1)} (run times ${m.provenance}).`
    : "No job has finished today.");
  fill("accuracy", rows.map((one) => ({
    key: one.job_id,
    cells: [{ text: one.job_id, link: jobPage(one.job_id) }, one.gpu_type, span(one.predicted_s),
      had(span(one.measured_s.value), one.measured_s.provenance), off(one.predicted_s, one.measured_s.value)],
  })));
  document.getElementById("accuracy-details").hidden = rows.length === 0;
  plot(rows);
}

function plot(rows) {
  const svg = document.getElementById("plot");
  svg.closest("figure").hidden = rows.length === 0;
  const said = JSON.stringify(rows);
  if (rows.length === 0 || svg.dataset.said === said) return;
  svg.dataset.said = said;
  const values = rows.flatMap((one) => [one.predicted_s, one.measured_s.value]).map(Math.log10);
  const low = Math.floor(Math.min(...values)), high = Math.max(low + 1, Math.ceil(Math.max(...values)));
  const x = (s) => 55 + (280 * (Math.log10(s) - low)) / (high - low);
  const y = (s) => 260 - (250 * (Math.log10(s) - low)) / (high - low);
  const parts = [];
  for (let power = low; power <= high; power += 1) {
    const s = Number(`1e${power}`);
    parts.push(part("line", { x1: x(s), x2: x(s), y1: 10, y2: 260 }), part("line", { x1: 55, x2: 335, y1: y(s), y2: y(s) }));
    parts.push(part("text", { x: x(s), y: 275, "text-anchor": "middle" }, `${s} s`));
    parts.push(part("text", { x: 50, y: y(s) + 4, "text-anchor": "end" }, `${s} s`));
  }
  const ends = [10 ** low, 10 ** high];
  parts.push(part("line", { x1: x(ends[0]), y1: y(ends[0]), x2: x(ends[1]), y2: y(ends[1]), class: "right" }));
  parts.push(...rows.map((one) => part("circle", { cx: x(one.predicted_s), cy: y(one.measured_s.value), r: 4 })));
  parts.push(part("text", { x: 200, y: 294, "text-anchor": "middle" }, "predicted (modelled)"));
  parts.push(part("text", { x: 58, y: 8 }, "took"));
  const title = part("title", { id: "plot-title" }, `Predicted against measured run times of ${rows.length} jobs`);
  svg.replaceChildren(title, ...parts);
}

function nodes(cluster) {
  fill("nodes", cluster.nodes.map((one) => {
    const state = one.problem ? { text: "not used", small: one.problem } : one.draining ? "draining, without new jobs" : one.maintenance ? { text: "in use", small: `to be maintained from ${new Date(1000 * one.maintenance.begins_s).toLocaleString()}` } : "in use";
    const cells = [{ text: one.address, small: one.node.slice(0, 6) }, one.gpu_type ?? "unknown", `${one.free} of ${one.gpus}`, `${one.jobs_running}`, state];
    return { key: one.node, cells };
  }));
}

/** What is had, of the limit where there is one. */
function ofLimit(amount, limit, text) {
  return limit == null ? text(amount) : { text: `${text(amount)} of ${text(limit)}`, progress: Math.min(1, amount / limit) };
}

function quotas(overview) {
  document.getElementById("projects").hidden = overview.quotas.length === 0;
  const plain = (number) => `${Number(number.toPrecision(3))}`;
  const line = (key, first, whose, one, limits) => ({ key, cells: [first, whose, ofLimit(one.gpus, limits.gpus, plain),
    ofLimit(one.jobs, limits.jobs, plain), ofLimit(one.kwh, limits.kwh, energy), ofLimit(one.cost, limits.cost, plain)] });
  fill("quotas", overview.quotas.flatMap((one) => {
    const named = { text: one.name, small: one.admins.length ? `administered by ${one.admins.join(", ")}` : "" };
    const whose = one.members.length ? `${one.members.length} together` : "each user, you";
    const each = one.by_member.map((member) => line(`${one.name}/${member.user}`, one.name, { text: member.user,
      link: `/jobs?owner=${encodeURIComponent(member.user)}` }, member, one.members.length ? {} : one));
    return [line(one.name, named, whose, one.had, one), ...each];
  }));
}

function users(overview) {
  fill("users", overview.users.map((one) => {
    const used = one.energy_provenance.length ? had(energy(one.energy_kwh), one.energy_provenance.join(", ")) : "";
    const cells = [{ text: owner(one), link: `/jobs?owner=${encodeURIComponent(one.owner)}` }, `${one.gpus}`, `${one.running}`, `${one.waiting}`, `${one.ended}`, used];
    return { key: one.owner, cells };
  }));
}

for (const name of Object.keys(shown)) {
  document.getElementById(`${name}-more`).addEventListener("click", () => {
    shown[name] = Math.min(MOST, shown[name] + STEP);
    look().catch((error) => put("status", error.message));
  });
}

async function look() {
  const overview = await ask(`/v1/overview?rows=${Math.max(...Object.values(shown))}`);
  put("who", `${overview.you}, ${overview.role}`);
  types(overview.cluster);
  running(overview);
  queue(overview);
  today(overview.today);
  accuracy(overview);
  nodes(overview.cluster);
  users(overview);
  quotas(overview);
  timeline(overview.cluster.types.map((one) => one.gpu_type));
  powerDay();
  comingDay();
}

live(look, 2000);
