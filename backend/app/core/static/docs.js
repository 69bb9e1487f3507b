// The reference page: /openapi.json made readable, and with a form to try each operation (/docs only).
"use strict";

const VERBS = ["get", "post", "put", "patch", "delete"];
const LONGEST_EXAMPLE = 8; // levels; a schema may contain itself
const tryable = location.pathname.startsWith("/docs");
let api;
let token = null;

/** An element. `text` never becomes markup: the document may quote anything. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Paragraphs with `code` spans: as much of Markdown as the descriptions use. */
function prose(text) {
  return (text || "").split(/\n\s*\n/).filter(Boolean).map((paragraph) =>
    element("p", {}, ...paragraph.split(/`([^`]+)`/).map((part, index) =>
      index % 2 ? element("code", { textContent: part }) : part)));
}

function resolve(node) {
  while (node && node.$ref) {
    node = node.$ref.slice(2).split("/").reduce((at, key) => at[key.replace(/~1/g, "/").replace(/~0/g, "~")], api);
  }
  return node;
}

function variants(schema) {
  return (schema.anyOf || schema.oneOf || []).map(resolve);
}

function typeName(schema) {
  const here = resolve(schema) || {};
  if (here.enum) return here.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (here.const !== undefined) return JSON.stringify(here.const);
  const branches = variants(here);
  if (branches.length) return [...new Set(branches.map(typeName))].join(" | ");
  if (here.type === "array") return `${typeName(here.items || {})}[]`;
  const limits = [
    here.minLength !== undefined || here.maxLength !== undefined ? `${here.minLength ?? 0}..${here.maxLength ?? ""} characters` : null,
    here.minimum !== undefined || here.maximum !== undefined ? `${here.minimum ?? ""}..${here.maximum ?? ""}` : null,
    here.pattern ? `/${here.pattern}/` : null,
  ].filter(Boolean);
  const name = here.format || here.title && here.type === "object" && here.title || here.type || "any";
  return limits.length ? `${name}, ${limits.join(", ")}` : name;
}

/** The example that is given, or one made of the schema. */
function exampleOf(schema, depth = 0) {
  const here = resolve(schema) || {};
  if (here.example !== undefined) return here.example;
  if (here.examples && here.examples.length) return here.examples[0];
  if (here.const !== undefined) return here.const;
  if (here.enum) return here.enum[0];
  const branch = variants(here).find((one) => one.type !== "null");
  if (branch) return exampleOf(branch, depth);
  if (here.default !== undefined) return here.default;
  if (depth > LONGEST_EXAMPLE) return null;
  if (here.type === "array") return here.items ? [exampleOf(here.items, depth + 1)] : [];
  if (here.type === "object" || here.properties) {
    return Object.fromEntries(Object.entries(here.properties || {}).map(([name, value]) => [name, exampleOf(value, depth + 1)]));
  }
  if (here.type === "string") {
    return { uuid: "01890a5d-ac96-774b-bcce-b302099a8057", "date-time": "2026-05-04T09:30:00Z", email: "ada@example.com" }[here.format] ?? "text";
  }
  return { integer: here.minimum ?? 1, number: 1.5, boolean: true }[here.type] ?? null;
}

function fieldRows(schema) {
  const here = resolve(schema) || {};
  const owner = here.type === "array" ? resolve(here.items) : variants(here).find((one) => one.properties) || here;
  const required = new Set((owner && owner.required) || []);
  return Object.entries((owner && owner.properties) || {}).map(([name, value]) => {
    const field = resolve(value);
    return row(name, required.has(name), typeName(value), value.description || field.description);
  });
}

function row(name, required, type, description) {
  return element("tr", {},
    element("td", {}, element("code", { textContent: name }), required ? element("span", { className: "required", textContent: " required" }) : null),
    element("td", {}, element("span", { className: "type", textContent: type }), ...prose(description)));
}

function schemaView(schema) {
  const rows = fieldRows(schema);
  return rows.length
    ? element("details", { className: "schema" }, element("summary", { textContent: "Fields" }), element("table", {}, ...rows))
    : element("span", { className: "type", textContent: typeName(schema) });
}

function contentView(content) {
  return Object.entries(content || {}).flatMap(([media, body]) => {
    const given = body.example ?? (body.examples && Object.values(body.examples)[0]?.value);
    const example = given ?? (body.schema ? exampleOf(body.schema) : undefined);
    return [
      element("span", { className: "type", textContent: media }),
      body.schema ? schemaView(body.schema) : null,
      example === undefined ? null : element("pre", { textContent: typeof example === "string" ? example : JSON.stringify(example, null, 2) }),
    ].filter(Boolean);
  });
}

function responseView(status, response) {
  const here = resolve(response);
  const kind = status < "400" ? "good" : "bad";
  const headers = Object.entries(here.headers || {}).map(([name, header]) => row(name, false, "header", resolve(header).description));
  const details = status < "400" ? contentView(here.content) : [];
  return element("tr", {},
    element("td", {}, element("span", { className: `status ${kind}`, textContent: status })),
    element("td", {}, ...prose(here.description), ...details, headers.length && status < "400" ? element("table", {}, ...headers) : null));
}

function input(name, parameter) {
  const placeholder = parameter.schema ? typeName(parameter.schema) : "";
  return element("label", {}, `${name} (${parameter.in})`, element("input", { name, placeholder, required: Boolean(parameter.required) }));
}

function bodyInput(body) {
  const [media, content] = Object.entries(resolve(body).content)[0];
  if (media === "application/json" || media.endsWith("+json")) {
    const given = content.example ?? (content.examples && Object.values(content.examples)[0]?.value);
    const value = JSON.stringify(given ?? exampleOf(content.schema), null, 2);
    return { media, node: element("label", {}, media, element("textarea", { name: " body", value, spellcheck: false })) };
  }
  const fields = Object.entries(resolve(content.schema).properties || {}).map(([name, schema]) => {
    const here = resolve(schema);
    const type = here.format === "binary" || here.contentMediaType ? "file" : /password|token/.test(name) ? "password" : "text";
    return element("label", {}, name, element("input", { name: ` form ${name}`, type }));
  });
  return { media, node: element("div", { className: "fields" }, ...fields) };
}

function requestOf(form, path, parameters, media) {
  let target = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const parameter of parameters) {
    const value = form.elements[parameter.name].value;
    if (!value) continue;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(value));
    if (parameter.in === "query") (parameter.schema?.type === "array" ? value.split(",") : [value]).forEach((one) => query.append(parameter.name, one));
    if (parameter.in === "header") headers[parameter.name] = value;
  }
  if (token) headers.Authorization = `Bearer ${token}`;
  let body;
  if (form.elements[" body"]) {
    headers["Content-Type"] = media;
    body = form.elements[" body"].value;
  } else if (media) {
    body = media === "multipart/form-data" ? new FormData() : new URLSearchParams();
    for (const field of form.elements) {
      if (!field.name.startsWith(" form ")) continue;
      const value = field.type === "file" ? field.files[0] : field.value;
      if (value) body.append(field.name.slice(6), value);
    }
  }
  return [query.size ? `${target}?${query}` : target, { headers, body }];
}

function tryView(method, path, operation, parameters) {
  const body = operation.requestBody ? bodyInput(operation.requestBody) : null;
  const output = element("div");
  const form = element("form", {},
    parameters.length ? element("div", { className: "fields" }, ...parameters.map((one) => input(one.name, one))) : null,
    body && body.node, element("button", { textContent: "Send" }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [target, options] = requestOf(form, path, parameters, body && body.media);
    const began = performance.now();
    try {
      const answer = await fetch(target, { method: method.toUpperCase(), ...options });
      const text = await answer.text();
      const kind = answer.ok ? "good" : "bad";
      output.replaceChildren(
        element("p", {}, element("span", { className: `status ${kind}`, textContent: `${answer.status} ` }),
          element("span", { className: "type", textContent: `${Math.round(performance.now() - began)} ms` })),
        element("pre", { textContent: [...answer.headers].map((pair) => pair.join(": ")).join("\n") }),
        element("pre", { textContent: pretty(text) || "(no body)" }));
      const signedIn = path === "/auth/login" && answer.ok;
      if (signedIn) useToken(JSON.parse(text).access_token);
    } catch (error) {
      output.replaceChildren(element("p", { textContent: `The request could not be sent: ${error.message}` }));
    }
  });
  return [element("h4", { textContent: "Try it" }), form, output];
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function operationView(path, method, operation, shared) {
  const parameters = [...(shared || []), ...(operation.parameters || [])].map(resolve);
  const open = (operation.security || api.security || []).length === 0;
  return element("details", { className: "operation", id: operation.operationId },
    element("summary", {},
      element("span", { className: `verb ${method}`, textContent: method.toUpperCase() }),
      element("span", { className: "path", textContent: path }),
      element("span", { className: "soft", textContent: operation.summary || "" }),
      element("span", { className: "lock", textContent: open ? "public" : "signed in" })),
    element("div", { className: "body" },
      ...prose(operation.description),
      ...(parameters.length ? [element("h4", { textContent: "Parameters" }), element("table", {}, ...parameters.map((one) =>
        row(one.name, one.required, `${one.in}, ${typeName(one.schema || {})}`, one.description)))] : []),
      ...(operation.requestBody ? [element("h4", { textContent: "Body" }), ...contentView(resolve(operation.requestBody).content)] : []),
      element("h4", { textContent: "Answers" }),
      element("table", {}, ...Object.entries(operation.responses).map(([status, response]) => responseView(status, response))),
      ...(tryable ? tryView(method, path, operation, parameters) : [])));
}

function useToken(value) {
  token = value;
  document.getElementById("token").value = value;
}

function signInView() {
  const field = element("input", { id: "token", type: "password", autocomplete: "off", placeholder: "access token; filled in by POST /auth/login below" });
  field.addEventListener("input", () => { token = field.value.trim() || null; });
  return element("label", {}, "Access token for the requests made here (kept in this page only)", field);
}

function groups() {
  const named = new Map((api.tags || []).map((tag) => [tag.name, { description: tag.description, operations: [] }]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of VERBS.filter((verb) => item[verb])) {
      const name = (item[method].tags || ["other"])[0];
      if (!named.has(name)) named.set(name, { operations: [] });
      named.get(name).operations.push([path, method, item[method], item.parameters]);
    }
  }
  return [...named].filter(([, group]) => group.operations.length);
}

function show() {
  document.title = api.info.title;
  document.getElementById("title").textContent = api.info.title;
  document.getElementById("version").textContent = api.info.version;
  const main = [element("h1", { textContent: api.info.title }), ...prose(api.info.description),
    element("p", { className: "soft" }, "The document behind this page: ", element("a", { href: "/openapi.json", textContent: "/openapi.json" })),
    tryable ? signInView() : null];
  const contents = [];
  for (const [name, group] of groups()) {
    main.push(element("h2", { textContent: name }), ...prose(group.description));
    contents.push(element("h2", { textContent: name }));
    for (const [path, method, operation, shared] of group.operations) {
      main.push(operationView(path, method, operation, shared));
      contents.push(element("a", { href: `#${operation.operationId}`, title: operation.summary || "" },
        element("span", { className: `verb ${method}`, textContent: method.toUpperCase() }), path));
    }
  }
  document.getElementById("main").replaceChildren(...main.filter(Boolean));
  document.getElementById("contents").replaceChildren(...contents);
}

function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
  }
}

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const link of document.querySelectorAll("#contents a")) {
    link.hidden = !`${link.textContent} ${link.title}`.toLowerCase().includes(wanted);
  }
});
addEventListener("hashchange", openTarget);
fetch("/openapi.json").then((answer) => answer.json()).then((loaded) => { api = loaded; show(); openTarget(); })
  .catch((error) => { document.getElementById("main").textContent = `The document could not be loaded: ${error.message}`; });
