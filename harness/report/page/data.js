// The data: a JSON head, the names of all cases, and for each kernel the index of each case's tail.
// A tail is everything of a case except its name.
const D = {};

async function unpack() {
  if (typeof DecompressionStream === "undefined")
    throw new Error(
      "this browser has no DecompressionStream; " +
        "use Chromium 80, Firefox 113, Safari 16.4 or newer",
    );
  const text = atob(document.getElementById("data").textContent);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const all = new Uint8Array(await new Response(stream).arrayBuffer());
  const view = new DataView(all.buffer);
  let at = 0;
  const block = () => {
    const n = view.getUint32(at, true),
      b = all.subarray(at + 4, at + 4 + n);
    at += 4 + n;
    return b;
  };
  const utf8 = new TextDecoder();
  Object.assign(D, JSON.parse(utf8.decode(block())));
  const names = utf8.decode(block()).split("\n");
  names.pop();
  D.suffix = names;
  D.cells = D.columns.map(() => {
    const b = block(),
      n = new DataView(b.buffer, b.byteOffset, 4).getUint32(0, true),
      col = new Uint32Array(n);
    for (let shift = 0; shift < 32; shift += 8) {
      const part = block();
      if (shift === 0) for (let i = 0; i < n; i++) col[i] = part[i];
      else for (let i = 0; i < n; i++) if (part[i]) col[i] |= part[i] << shift;
    }
    return col;
  });
  prepare();
}

// prepare computes what every view needs.
function prepare() {
  let first = 0;
  D.byName = new Map();
  for (const g of D.groups) {
    g.first = first;
    first += g.count;
    D.byName.set(g.name, g);
    g.axes = (g.outline && g.outline.axes) || [];
  }
  D.size = first;
  D.tails.unshift(null);
  D.tails.forEach((t, i) => {
    if (t) {
      t.answer = answerOf(t);
      t.kind = kindOf(t);
      t.n = i;
    }
  });
  letters();
  for (const c of D.columns) c.counts ||= {};
}

const runName = (i) => (D.runs[i].dir || "run " + (i + 1)).split("/").pop();
const groupOf = (i) => {
  let lo = 0,
    hi = D.groups.length - 1;
  while (lo < hi) {
    const m = (lo + hi + 1) >> 1;
    if (D.groups[m].first <= i) lo = m;
    else hi = m - 1;
  }
  return D.groups[lo];
};
const caseName = (i) => {
  const g = groupOf(i);
  return D.suffix[i] ? g.name + "/" + D.suffix[i] : g.name;
};
const tailOf = (col, i) => D.tails[D.cells[col][i]];

// answerOf returns the result of a case as text; of several steps, the first wrong one.
function answerOf(t) {
  if (!t.t || !t.t.length || t.s === "skip" || t.s === "broken" || t.s === "interrupted")
    return t.s;
  if (t.t.length === 1) return stepAnswer(t.t[0]);
  const bad = t.t.findIndex((s) => s.d);
  return bad < 0 ? t.t.length + " steps" : "step " + (bad + 1) + ": " + stepAnswer(t.t[bad]);
}
const stepAnswer = (s) => s.g + (s.x ? " (does not work)" : "");

// kindOf returns how a cell is drawn: allow, refuse, or a status other than pass.
function kindOf(t) {
  if (t.s !== "pass") return t.s;
  if (!t.t || t.t.length !== 1) return "allow";
  return t.t[0].g === "ok" ? "allow" : "refuse";
}

// letters gives each errno its own letter, so that a cell can be read without its colour.
function letters() {
  D.letter = { ok: "●", fail: "✗", broken: "!", interrupted: "…", skip: "·", xfail: "x" };
  const used = new Set();
  const names = [...new Set(D.tails.filter(Boolean).flatMap((t) => (t.t || []).map((s) => s.g)))]
    .filter((n) => n !== "ok")
    .sort();
  const order = ["EPERM", "EINVAL", "EBADF", ...names];
  for (const n of order) {
    if (D.letter[n]) continue;
    const pick =
      [...n.replace(/^E/, ""), ..."abcdefghijklmnopqrstuvwxyz"].find((c) => !used.has(c)) || "?";
    used.add(pick);
    D.letter[n] = pick;
  }
}
const letterOf = (t) =>
  t.kind === "refuse" || t.kind === "fail"
    ? t.kind === "fail"
      ? "✗"
      : D.letter[t.t[0].g]
    : D.letter[t.kind === "allow" ? "ok" : t.kind];

// changed reports whether two kernels have different results for a case.
function changed(a, b, i) {
  const x = tailOf(a, i),
    y = tailOf(b, i);
  if (!x || !y) return x !== y;
  if (x === y) return false;
  if (x.s !== y.s) return true;
  if (x.s === "skip" || x.s === "broken" || x.s === "interrupted") return false;
  return JSON.stringify((x.t || []).map(shown)) !== JSON.stringify((y.t || []).map(shown));
}
const shown = (s) => [s.g, s.m, s.x, s.v];

// partsOf returns, for each axis of a group, the index of each case's value. g.odd means that a
// name does not fit the axes.
function partsOf(g) {
  if (g.parts) return g.parts;
  const index = g.axes.map((a) => new Map(a.values.map((v, i) => [v.name, i])));
  g.parts = g.axes.map(() => new Uint16Array(g.count));
  g.odd = false;
  for (let i = 0; i < g.count; i++) {
    const words = D.suffix[g.first + i].split("/");
    if (words.length !== g.axes.length) {
      g.odd = true;
      continue;
    }
    for (let a = 0; a < words.length; a++) {
      const at = index[a].get(words[a]);
      if (at === undefined) g.odd = true;
      else g.parts[a][i] = at;
    }
  }
  return g.parts;
}

// fill replaces the axes in the texts of a group with the values of a case.
function fill(g, texts, i) {
  const words = (D.suffix[i] || "").split("/"),
    map = new Map();
  g.axes.forEach((a, n) => {
    const v = a.values.find((v) => v.name === words[n]);
    if (!v) return;
    map.set("$" + a.name, v.text);
    for (const [k, text] of Object.entries(v.vars || {})) map.set("$" + a.name + "." + k, text);
  });
  const keys = [...map.keys()].sort((a, b) => b.length - a.length);
  return (texts || []).map((t) => {
    for (let n = 0; n <= g.axes.length && t.includes("$"); n++)
      for (const k of keys) t = t.split(k).join(map.get(k));
    return t.split(/\s+/).filter(Boolean).join(" ");
  });
}
