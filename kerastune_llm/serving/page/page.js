"use strict";

const MOST_LABELS = 10;
const at = (id) => document.getElementById(id);
let models = [];
let turn = 0;
let key = "";

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** The JSON at a path; an Error with the server's own words where it refuses. */
async function fetched(path, options = {}) {
  const headers = key ? { "X-API-Key": key } : {};
  const answer = await fetch(path, { ...options, headers });
  const text = await answer.text();
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    body = { error: text };
  }
  if (answer.ok) return body;
  const problem = new Error(body.error || `The server answered ${answer.status}`);
  problem.status = answer.status;
  throw problem;
}

function complain(error) {
  const away = error instanceof TypeError;
  at("problem").textContent = away ? "The server cannot be reached." : error.message;
}

async function begin() {
  at("problem").textContent = "";
  try {
    models = (await fetched("page/models")).models;
  } catch (error) {
    const refused = error.status === 401;
    at("key-form").hidden = !refused;
    if (refused) at("key").focus();
    if (!refused || key) complain(error);
    return;
  }
  at("key-form").hidden = true;
  // A link carries no key.
  at("links").hidden = Boolean(key);
  models.forEach((model, number) => {
    const option = element("option", `${model.name}, version ${model.version}`);
    option.value = number;
    at("model").append(option);
  });
  at("choice").hidden = models.length < 2;
  choose();
}

const chosen = () => models[Number(at("model").value || 0)];

/** Show the form of the chosen model. */
function choose() {
  const model = chosen();
  turn = 0;
  at("result").replaceChildren();
  at("problem").textContent = "";
  document.title = model.name;
  at("title").textContent = model.name;
  at("about").textContent = model.about;
  at("fields").replaceChildren(...model.fields.flatMap((name) => {
    const label = element("label", name);
    const field = element("textarea");
    label.htmlFor = field.id = `field-${name}`;
    field.name = name;
    field.dir = "auto";
    field.rows = 2;
    return [label, field];
  }));
  at("example").hidden = !model.examples.length;
  at("form").hidden = !model.fields.length;
}

/** Fill the form with the next row of the validation set. */
function showExample() {
  const { examples } = chosen();
  const row = examples[turn % examples.length];
  turn += 1;
  for (const field of at("fields").querySelectorAll("textarea")) {
    field.value = row[field.name];
    // As high as the text, up to a bound.
    field.rows = Math.min(10, Math.max(2, Math.ceil(field.value.length / 60)));
  }
}

async function ask(event) {
  event.preventDefault();
  const model = chosen();
  const fields = [...at("fields").querySelectorAll("textarea")];
  const row = Object.fromEntries(fields.map((field) => [field.name, field.value]));
  at("ask").disabled = true;
  at("problem").textContent = "";
  const started = performance.now();
  try {
    const path = `v1/models/${model.name}/versions/${model.version}:predict`;
    const body = JSON.stringify({ instances: [row] });
    const answer = await fetched(path, { method: "POST", body });
    show(model, answer.predictions[0], performance.now() - started);
  } catch (error) {
    at("result").replaceChildren();
    complain(error);
  } finally {
    at("ask").disabled = false;
  }
}

const percent = (part) => `${(100 * part).toFixed(1)} %`;

/** What a prediction says in one line; the name of a single output is left out. */
function headline(model, found) {
  if (typeof found !== "object") return found;
  if (found.chosen) {
    return found.labels.filter((_, n) => found.chosen[n]).join(", ");
  }
  return found.label ?? found[model.answer];
}

function show(model, found, milliseconds) {
  const text = String(headline(model, found));
  const answer = element("p", text || "nothing", text ? "answer" : "empty");
  answer.dir = "auto";
  const parts = [answer];
  if (found.probabilities) parts.push(bars(found));
  else if (found.score !== undefined) {
    parts.push(element("p", `score ${percent(found.score)}`));
  }
  const spent = `answered in ${milliseconds.toFixed(0)} ms`;
  at("result").replaceChildren(...parts, element("p", spent, "seconds"));
}

/** The likeliest labels, each with a bar behind its name. */
function bars({ labels, probabilities }) {
  const pairs = labels.map((label, n) => [label, probabilities[n]]);
  pairs.sort((one, other) => other[1] - one[1]);
  const list = element("ul");
  for (const [label, part] of pairs.slice(0, MOST_LABELS)) {
    const item = element("li");
    const bar = element("span", "", "bar");
    bar.style.width = percent(part).replace(" ", "");
    item.append(bar, element("span", label), element("span", percent(part), "number"));
    list.append(item);
  }
  const left = pairs.length - MOST_LABELS;
  if (left > 0) list.append(element("li", `and ${left} labels less likely`, "empty"));
  return list;
}

at("form").addEventListener("submit", ask);
at("form").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  at("form").requestSubmit();
});
at("example").addEventListener("click", showExample);
at("model").addEventListener("change", choose);
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = at("key").value;
  begin();
});
begin();
