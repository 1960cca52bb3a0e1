// el makes an element. Strings become text, never HTML.
function el(tag, attrs, ...kids) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs || {})) {
    if (v === false || v === undefined || v === null) continue;
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else e.setAttribute(k, v === true ? "" : v);
  }
  e.append(...kids.filter((k) => k !== null && k !== undefined && k !== false));
  return e;
}
const badge = (s) => el("span", { class: "badge " + s }, s);
const fieldList = (list) =>
  el(
    "dl",
    {},
    ...list
      .filter(([, v]) => v !== undefined && v !== "" && v !== null)
      .flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]),
  );

// count returns a number with its noun.
const count = (n, noun) => n.toLocaleString("en") + " " + noun + (n === 1 ? "" : "s");

// quoted quotes a word for a shell if it needs quotes.
const quoted = (s) => (/^[\w\/.,:+@-]+$/.test(s) ? s : "'" + s.replaceAll("'", "'\\''") + "'");
function repeatLine(i, col) {
  if (D.columns[col].repeat) return D.columns[col].repeat;
  const g = groupOf(i),
    words = [D.columns[col].command];
  if (g.file) words.push(quoted(g.file));
  if (!g.file || D.suffix[i]) words.push(quoted(caseName(i)));
  return words.join(" ") + " " + D.columns[col].flags;
}

const maskNames = ["delegate_cmds", "delegate_maps", "delegate_progs", "delegate_attachs"];
const ruleOf = (s) => {
  const r = D.rules[s.i] || {};
  return { id: s.i, text: s.r || r.rule, fn: s.f || r.func };
};

// showCase fills the side panel with everything known about a case on a kernel.
function showCase(i, col) {
  const g = groupOf(i),
    t = tailOf(col, i),
    panel = document.getElementById("case"),
    c = D.columns[col];
  const close = el(
    "button",
    { type: "button", id: "close", "aria-label": "close", onclick: closeCase },
    "✕",
  );
  const body = [
    el(
      "div",
      { class: "bar" },
      t ? badge(t.s) : badge("skip"),
      el("strong", {}, t ? t.answer : "no record"),
      el("span", { class: "grow" }),
      close,
    ),
    el("pre", { id: "name" }, caseName(i)),
    el("div", { class: "dim" }, c.label + (c.release ? " · " + c.release : "")),
  ];
  if (t && t.r) body.push(el("h3", {}, "reason"), el("div", {}, t.r));
  if (t) body.push(...stepTable(g, i, t));
  body.push(...world(g, i), ...machine(c, t, i), ...elsewhere(i, col));
  body.push(
    el("h3", {}, "repeat"),
    el("pre", { id: "repeat" }, repeatLine(i, col)),
    el("button", { type: "button", onclick: () => copy(repeatLine(i, col)) }, "copy"),
  );
  panel.replaceChildren(...body);
  panel.hidden = false;
  S.case = i;
  S.caseCol = col;
  say(caseName(i) + " on " + c.label + ": " + (t ? t.s + ", " + t.answer : "no record"));
  save();
}

function closeCase() {
  document.getElementById("case").hidden = true;
  S.case = -1;
  save();
  const f = document.querySelector(".port canvas, .list");
  if (f) f.focus();
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("copied");
  } catch {
    getSelection().selectAllChildren(document.getElementById("repeat"));
  }
}

// stepTable shows the verdict: each step with the expected result, the result, and the deciding
// rule.
function stepTable(g, i, t) {
  if (!t.t || !t.t.length) return [];
  const texts = fill(g, g.outline && g.outline.steps, i);
  const rows = t.t.map((s, n) => {
    const r = ruleOf(s),
      got = [stepAnswer(s)];
    if (s.m) got.push(el("div", { class: "dim" }, "and it works"));
    for (const [k, v] of (s.v || []).entries())
      got.push(el("div", { class: "mono dim" }, (maskNames[k] || k) + "=" + v));
    return el(
      "tr",
      { class: s.d ? "wrong" : "" },
      el("td", { class: "num" }, String(n + 1)),
      el("td", {}, el("code", {}, s.e || texts[n] || "")),
      el("td", {}, s.n || s.w || (t.s === "pass" ? s.g : "")),
      el("td", {}, ...got),
      el(
        "td",
        {},
        r.text || "",
        r.fn ? el("div", { class: "mono dim" }, r.fn) : null,
        r.id ? el("div", { class: "mono dim" }, r.id) : null,
        s.p ? el("div", { class: "dim" }, "pinned: " + s.p) : null,
        s.u ? el("strong", { class: "fault" }, s.u) : null,
      ),
    );
  });
  const head = el(
    "tr",
    {},
    ...["#", "step", "expected", "got", "rule, kernel function"].map((h) => el("th", {}, h)),
  );
  return [el("h3", {}, "verdict"), el("table", { class: "steps", id: "steps" }, head, ...rows)];
}

// world shows the actors and the set-up.
function world(g, i) {
  if (!g.outline)
    return [
      el("h3", {}, "world"),
      el("div", { class: "dim" }, "the record is of a tokentest that did not keep it"),
    ];
  const lines = [
    ...fill(
      g,
      (g.outline.actors || []).map((a) => "actor " + a),
      i,
    ),
    ...fill(g, g.outline.setup, i),
  ];
  const out = [el("h3", {}, "world"), el("div", {}, g.outline.about || "")];
  if (g.axes.length)
    out.push(fieldList(g.axes.map((a, n) => [a.name, (D.suffix[i] || "").split("/")[n]])));
  if (lines.length) out.push(el("pre", { id: "world" }, lines.join("\n")));
  return [...out, el("div", { class: "mono dim" }, g.outline.path || "")];
}

// machine shows how the boot of a case ended, with its findings.
function machine(c, t, i) {
  const b = t && t.b >= 0 && (c.boots || [])[t.b];
  if (!b) return [];
  const out = [el("h3", {}, "machine"), el("div", {}, b.fate + (b.reason ? ": " + b.reason : ""))];
  if (b.known) out.push(el("div", {}, "known defect: " + b.known));
  if (b.blame) out.push(el("div", {}, "blamed: " + b.blame));
  for (const f of b.findings || []) {
    out.push(
      el(
        "div",
        {},
        el("strong", {}, f.Title),
        f.Case === caseName(i) ? " (under this case)" : f.Case ? " (under " + f.Case + ")" : "",
        f.Allowed ? " allowed: " + f.Allowed : "",
      ),
    );
    if (f.Lines && f.Lines.length) out.push(el("pre", { class: "console" }, f.Lines.join("\n")));
  }
  return [
    ...out,
    el(
      "div",
      { class: "mono dim" },
      [D.runs[c.run].dir, b.dir, "console.log"].filter(Boolean).join("/"),
    ),
  ];
}

// elsewhere shows the case on every kernel.
function elsewhere(i, col) {
  if (D.columns.length < 2) return [];
  const rows = D.columns.map((c, n) => {
    const t = tailOf(n, i);
    return el(
      "tr",
      { class: n !== col && changed(col, n, i) ? "differs" : "" },
      el(
        "td",
        {},
        el("button", { type: "button", disabled: !t, onclick: () => showCase(i, n) }, c.label),
      ),
      el("td", {}, t ? badge(t.s) : "–"),
      el("td", {}, t ? t.answer : "no record"),
      el("td", {}, n === col ? "shown here" : changed(col, n, i) ? "≠ differs" : "same"),
    );
  });
  const head = ["kernel", "status", "result", "compared"].map((h) => el("th", {}, h));
  return [
    el("h3", {}, "on every kernel"),
    el("table", { class: "steps" }, el("tr", {}, ...head), ...rows),
  ];
}
