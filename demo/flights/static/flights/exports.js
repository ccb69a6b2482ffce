const $ = (id) => document.getElementById(id), form = $("start"), words = $("state").dataset;
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
const say = (node, text) => node.textContent === text || (node.textContent = text);
const join = (it) => it instanceof Object ? Object.values(it).map(join).join(" ").trim() : it ?? "";
let job, delay;
async function ask(path, body) {
  const headers = { "Content-Type": "application/json", "X-CSRFToken": form.dataset.csrf };
  const options = body && { method: "POST", headers, body: JSON.stringify(body) };
  const answer = await fetch(form.dataset.api + path, options).catch(() => Response.error());
  return Object.assign(answer, { data: await answer.json().catch(() => [words.silence]) });
}
async function watch() {
  const mine = (job = { id: location.hash.replace(/[^\w-]/g, "") });
  if (($("job").hidden = !job.id) || document.hidden) return;
  const { ok, status, data, headers } = await ask(`${job.id}/`);
  if (mine !== job) return; // it has begun anew meanwhile
  const isOver = ok ? data.finished_at : status >= 400 && status < 500 && status !== 429;
  delay = Number(headers.get("Retry-After")) || (ok ? 1 : Math.min(2 * delay || 1, 30));
  if (!isOver) setTimeout(() => mine === job && watch(), 1000 * delay);
  if (!ok) return say($("state"), join([data, words[status], isOver ? "" : [words.retry, delay]]));
  const facts = { ...data, ...data.metadata, state: words[data.state] };
  for (const node of $("facts").elements) say(node, facts[node.name]?.toLocaleString() ?? "");
  $("bar").setAttribute("value", facts.progress_percent ?? 0);
  $("download").href = facts.download_url ?? "";
  $("job").dataset.state = data.state;
}
function makeField({ name, label, help_text, type, required, initial, multiple, choices }) {
  const input = make(choices ? "select" : "input", { name, required, multiple, step: "any" });
  if (!choices) input.type = $("params").dataset[type] ?? type;
  else if (!multiple) input.add(new Option("—", ""));
  for (const each of choices ?? []) input.add(new Option(each.label, each.value));
  if (initial !== null) input[type === "boolean" ? "checked" : "value"] = initial;
  const field = make("label", { textContent: label });
  field.append(input, make("strong"), make("small", { textContent: help_text }));
  return field;
}
form.onsubmit = async ({ submitter }) => {
  const body = { name: $("name").value, params: {}, format: submitter.value };
  for (const [name, value] of new FormData(form)) if (value) (body.params[name] ??= []).push(value);
  $("go").disabled = true;
  const { ok, status, data: { id, params: errors = {}, ...others } } = await ask("", body);
  $("go").disabled = false;
  if (ok) location.hash = id;
  for (const input of $("params").elements) {
    say(input.nextSibling, join(errors[input.name]));
    delete errors[input.name];
  }
  say($("error"), ok ? "" : join([others, errors, words[status]]));
  form.querySelector("strong:not(:empty)")?.previousSibling.focus();
};
$("cancel").onclick = () => ask(`${job.id}/cancel/`, {}).then(watch);
$("name").onchange = () => {
  const { description, parameters, formats } = exports[$("name").selectedIndex];
  $("params").replaceChildren(description, ...parameters.map(makeField));
  $("go").replaceChildren(...formats.map((value) => make("button", { value, textContent: value })));
};
const { ok, data: exports } = await ask("available/");
for (const each of ok ? exports : []) $("name").add(new Option(each.verbose_name, each.name));
$("name").length ? $("name").onchange() : say($("error"), ok ? words.none : join(exports));
(onhashchange = document.onvisibilitychange = watch)();
