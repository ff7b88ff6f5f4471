// What the pages share: the token, polling, and tables whose rows keep their identity (and the focus in them).
const KEY = "kilowait-token";

/** A span of time as people say it. */
export function span(seconds) {
  const size = Math.abs(seconds);
  if (size < 10) return `${Number(seconds.toPrecision(2))} s`;
  if (size < 90) return `${seconds.toFixed(0)} s`;
  return size < 5400 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A number of kWh with its unit, small ones in Wh. */
export function energy(kwh) {
  if (kwh !== 0 && Math.abs(kwh) < 0.1) return `${Number((kwh * 1000).toPrecision(3))} Wh`;
  return `${Number(kwh.toPrecision(3))} kWh`;
}

/** A factor, small ones to a tenth. */
export const times = (factor) => `${factor < 10 ? factor.toFixed(1) : Math.round(factor).toLocaleString()}×`;

/** Where the page of a job is. */
export const jobPage = (jobId) => `/job?id=${encodeURIComponent(jobId)}`;

/** Whose something is, as far as the viewer may know. */
export const owner = (one) => (one.mine ? `${one.owner} (you)` : (one.owner ?? "another"));

/** By which factor a prediction was off, and to which side: it says as much of one too short as of one too long. */
export function off(predicted, took) {
  const factor = Math.max(predicted / took, took / predicted);
  const text = times(factor);
  return text === "1.0×" ? text : { text, small: predicted > took ? "too long" : "too short" };
}

/** So many of something, in words. */
export const many = (count, one) => `${count.toLocaleString()} ${one}${count === 1 ? "" : "s"}`;

/** A number of watts with its unit, many in kW. */
export const power = (watts) => (watts < 1000 ? `${Math.round(watts)} W` : `${Number((watts / 1000).toPrecision(3))} kW`);

/** A part of a drawing. */
export function part(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/** How wide a drawing on this page can be, in pixels. */
export function room() {
  const main = document.querySelector("main");
  return Math.max(280, Math.floor(main.clientWidth - 2 * Number.parseFloat(getComputedStyle(main).paddingLeft)));
}

/** A day and a time of it, to the minute; with the year where it is not this one. */
export function at(seconds) {
  const time = new Date(seconds * 1000);
  const year = time.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return time.toLocaleString(undefined, { year, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

/** Text and, small behind it, how it was had. */
export const had = (text, provenance) => (provenance ? { text, small: provenance } : { text });

/** A child with a class and a text. */
export function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

/** Set a text only where it changed: what does not change is not read out again. */
export function put(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}

/** Fill a table: rows are {key, cells, className}, a cell a text, {text, small}, {link, text}, {press, text} or
 * {progress, text}; what `press` names is called with the row's key when its button is pressed. */
export function fill(id, rows) {
  const table = document.getElementById(id);
  const body = table.tBodies[0];
  const labels = [...table.tHead.rows[0].cells].map((cell) => [label(cell), cell.className]);
  roles(table);
  const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  rows.forEach((row, position) => {
    const line = known.get(row.key) ?? newRow(row, labels);
    known.delete(row.key);
    line.className = row.className ?? "";
    row.cells.forEach((cell, column) => putCell(line.cells[column], cell));
    if (body.rows[position] !== line) body.insertBefore(line, body.rows[position] ?? null);
  });
  known.forEach((row) => row.remove());
  const section = table.closest("section");
  const empty = section.querySelector(".empty");
  if (empty) {
    empty.hidden = rows.length > 0;
    table.closest(".scroll").hidden = rows.length === 0;
  }
}

/** What a column is called in front of a cell, where the style sheet has no columns. */
function label(cell) {
  const small = cell.querySelector("small")?.textContent;
  const text = cell.textContent.replace(/\s+/g, " ").trim();
  return small ? `${text.slice(0, -small.length).trim()} (${small})` : text;
}

/** A table stays one for a screen reader where the style sheet lays its rows out as cards. */
function roles(table) {
  table.setAttribute("role", "table");
  [table.tHead, table.tBodies[0]].forEach((part) => part.setAttribute("role", "rowgroup"));
  table.tHead.rows[0].setAttribute("role", "row");
  [...table.tHead.rows[0].cells].forEach((cell) => cell.setAttribute("role", "columnheader"));
}

function newRow(row, labels) {
  const line = make("tr");
  line.dataset.key = row.key;
  line.setAttribute("role", "row");
  labels.forEach(([label, className], column) => {
    const cell = make(column ? "td" : "th", undefined, className);
    if (!column) cell.scope = "row";
    cell.setAttribute("role", column ? "cell" : "rowheader");
    cell.dataset.label = label;
    line.append(cell);
  });
  return line;
}

function putCell(element, cell) {
  const given = typeof cell === "string" ? { text: cell } : cell;
  const said = JSON.stringify(given);
  if (element.dataset.said === said) return;
  element.dataset.said = said;
  if (given.link && element.firstElementChild?.tagName === "A") {
    element.firstElementChild.textContent = given.text;
    return;
  }
  const inside = [];
  if (given.progress !== undefined) {
    const bar = make("progress");
    bar.max = 1;
    bar.value = Math.min(1, given.progress);
    bar.setAttribute("aria-label", given.text);
    inside.push(bar, " ");
  }
  if (given.link) {
    const link = make("a", given.text);
    link.href = given.link;
    inside.push(link);
  } else if (given.press) {
    const button = make("button", given.text, "quiet");
    button.type = "button";
    button.dataset.press = given.press;
    if (given.label) button.setAttribute("aria-label", given.label);
    inside.push(button);
  } else inside.push(given.text);
  if (given.small) inside.push(" ", make("small", given.small));
  const holder = make("span");
  holder.append(...inside);
  element.replaceChildren(...(given.link ? inside : [holder]));
}

/** Call actions[NAME](key) when the button {press: NAME} of a row of a table is pressed. */
export function presses(id, actions) {
  document.getElementById(id).addEventListener("click", (event) => {
    const button = event.target.closest("button[data-press]");
    if (button) actions[button.dataset.press](button.closest("tr").dataset.key);
  });
}

/** Fill a list with texts. */
export function list(id, texts) {
  const element = document.getElementById(id);
  const said = JSON.stringify(texts);
  if (element.dataset.said === said) return;
  element.dataset.said = said;
  element.replaceChildren(...texts.map((text) => make("li", text)));
  const empty = element.closest("section").querySelector(".empty");
  if (empty) empty.hidden = texts.length > 0;
}

/** Facts as a description list: [name, value]. */
export function facts(id, pairs) {
  const list = document.getElementById(id);
  const said = JSON.stringify(pairs);
  if (list.dataset.said === said) return;
  list.dataset.said = said;
  list.replaceChildren(
    ...pairs.map(([name, value]) => {
      const given = typeof value === "string" ? { text: value } : value;
      const group = make("div");
      const shown = make("dd", given.text);
      if (given.small) shown.append(" ", make("small", given.small));
      group.append(make("dt", name), shown);
      return group;
    }),
  );
}

/** Ask the service, by POST where there is a body, with `more` headers; throws an Error with the problem's words, and its `status`. */
export async function ask(path, body, more) {
  return (await answered(path, body, more)).json();
}

/** A file of the service, offered to be saved under its own name. */
export async function save(path, name) {
  const url = URL.createObjectURL(await (await answered(path)).blob());
  const link = make("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}

async function answered(path, body, more = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}`, ...more };
  const sent = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { headers, ...sent });
  if (answer.ok) return answer;
  const problem = await answer.json();
  throw Object.assign(new Error(`${problem.detail}; ${problem.remedy}`), { status: answer.status });
}

/** A link to the provider by which one may sign in, where there is one. */
async function offerProvider(form) {
  if (form.querySelector("a.provider")) return;
  const { provider } = await (await fetch("/v1/sign-in")).json();
  if (!provider || form.querySelector("a.provider")) return;
  const link = make("a", `Sign in with ${provider}`, "provider");
  link.href = "/sign-in";
  form.prepend(link);
}

/** Show a page every `periodMs` while it is visible, and the sign-in where a token is missing or refused. */
export function live(show, periodMs) {
  const behind = new URLSearchParams(location.hash.slice(1));
  if (behind.get("token")) sessionStorage.setItem(KEY, behind.get("token"));
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  if (behind.get("problem")) put("token-help", behind.get("problem"));
  const form = document.getElementById("sign-in");
  let timer = 0;
  async function look() {
    clearTimeout(timer);
    if (document.hidden) return;
    try {
      await show();
      document.getElementById("numbers").hidden = false;
      form.hidden = true;
      put("status", "live");
    } catch (error) {
      const refused = error.status === 401 || error.status === 403;
      put("status", refused ? "sign in" : `no news: ${error.message}`);
      if (refused) {
        form.hidden = false;
        document.getElementById("numbers").hidden = true;
        if (sessionStorage.getItem(KEY)) put("token-help", error.message);
        offerProvider(form);
        return;
      }
    }
    timer = setTimeout(look, periodMs);
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, form.elements.token.value.trim());
    form.elements.token.value = "";
    look();
  });
  document.addEventListener("visibilitychange", look);
  look();
}
