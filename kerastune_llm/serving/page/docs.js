"use strict";

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function table(head, rows) {
  const cells = (row, name) => element("tr", "", ...row.map((x) => element(name, x)));
  const body = rows.map((row) => cells(row, "td"));
  return element("table", "", element("thead", "", cells(head, "th")),
    element("tbody", "", ...body));
}

function described(path, method, operation) {
  const parts = [
    element("h2", "", element("code", `${method.toUpperCase()} ${path}`)),
    element("p", operation.description || operation.summary),
  ];
  const media = operation.requestBody?.content["application/json"];
  for (const [name, { value }] of Object.entries(media?.examples ?? {})) {
    parts.push(element("p", name), element("pre", JSON.stringify(value, null, 1)));
  }
  const answers = Object.entries(operation.responses);
  const rows = answers.map(([status, { description }]) => [status, description]);
  return [...parts, table(["answer", "when"], rows)];
}

async function begin() {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`The server answered ${answer.status}`);
  const { paths } = await answer.json();
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, one]) => described(path, method, one)));
  document.getElementById("paths").replaceChildren(...operations);
}

begin().catch((error) => {
  document.getElementById("problem").textContent = error.message;
});
