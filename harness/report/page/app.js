// S is the state of the view. The address holds it, so that a user can send a view to others.
const S = {
  view: "grid",
  group: "",
  left: 0,
  right: 0,
  filter: {},
  q: "",
  only: {},
  size: 14,
  case: -1,
  caseCol: 0,
  theme: "",
};
const COLOR = {};
const VIEWS = {
  grid: ["results", gridView],
  map: ["heat map", mapView],
  list: ["cases", listView],
};

function colors() {
  const css = getComputedStyle(document.documentElement),
    v = (n) => css.getPropertyValue("--" + n).trim();
  Object.assign(COLOR, {
    bg: v("bg"),
    fg: v("fg"),
    dim: v("dim"),
    soft: v("soft"),
    mark: v("mark"),
    allow: v("allow"),
    allowFg: "#10240f",
    refuse: v("refuse"),
    refuseFg: v("refuse-fg"),
    fail: v("fail"),
    failFg: v("fail-fg"),
    broken: v("broken"),
    brokenFg: "#221a00",
    xfail: v("broken"),
    xfailFg: "#221a00",
    skip: v("skip"),
    skipFg: v("dim"),
    interrupted: v("none"),
    interruptedFg: v("fg"),
    none: v("none"),
    noneFg: v("dim"),
  });
}

function theme(next) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  S.theme = next || S.theme || (dark ? "dark" : "light");
  document.documentElement.dataset.theme = S.theme;
  document.getElementById("theme").textContent = S.theme === "dark" ? "light" : "dark";
  colors();
}

function draw() {
  const main = document.getElementById("main"),
    [, view] = VIEWS[S.view];
  maps = [];
  tip(null);
  main.replaceChildren(...view());
  for (const b of document.querySelectorAll("#tabs button"))
    b.setAttribute("aria-selected", b.dataset.view === S.view);
  save();
}

const say = (text) => {
  document.getElementById("live").textContent = text;
};
let tipBox = null;
function tip(text, x, y) {
  if (tipBox) {
    tipBox.remove();
    tipBox = null;
  }
  if (!text) return;
  tipBox = el("div", { class: "tip" }, text);
  document.body.append(tipBox);
  const b = tipBox.getBoundingClientRect();
  tipBox.style.left = Math.max(4, Math.min(x + 12, innerWidth - b.width - 4)) + "px";
  tipBox.style.top = (y + 18 + b.height > innerHeight ? y - b.height - 8 : y + 18) + "px";
}

function save() {
  const p = new URLSearchParams({ v: S.view });
  if (S.group) p.set("g", S.group);
  p.set("l", S.left);
  p.set("r", S.right);
  if (S.q) p.set("q", S.q);
  for (const [k, v] of Object.entries(S.filter)) if (v) p.set("f." + k, v);
  if (S.case >= 0) {
    p.set("c", caseName(S.case));
    p.set("k", S.caseCol);
  }
  history.replaceState(null, "", "#" + p);
}

function restore() {
  const p = new URLSearchParams(location.hash.slice(1)),
    num = (k, or) => {
      const n = +p.get(k);
      return p.has(k) && Number.isInteger(n) && n >= 0 && n < D.columns.length ? n : or;
    };
  if (VIEWS[p.get("v")]) S.view = p.get("v");
  if (D.byName.has(p.get("g"))) S.group = p.get("g");
  [S.left, S.right] = D.pairs && D.pairs.length ? D.pairs[0] : [0, 0];
  S.left = num("l", S.left);
  S.right = num("r", S.right);
  S.q = p.get("q") || "";
  for (const [k, v] of p) if (k.startsWith("f.")) S.filter[k.slice(2)] = v;
  document.getElementById("q").value = S.q;
  const i = p.has("c") ? indexOf(p.get("c")) : -1;
  if (i >= 0) [S.case, S.caseCol] = [i, num("k", S.left)];
  draw();
  if (i >= 0) showCase(i, S.caseCol);
}

const KEYS = [
  ["/", "search"],
  ["1 2 3", "results, heat map, cases"],
  ["arrows", "move in the grid, the map and the list"],
  ["Enter", "open the selected case"],
  ["n p", "next, previous failure or difference in a map"],
  ["t", "light or dark"],
  ["Esc", "close the case"],
  ["?", "this help"],
];

function keys(e) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName);
  if (e.key === "Escape") {
    if (e.target.id === "q") e.target.blur();
    else if (!document.getElementById("case").hidden) closeCase();
    return;
  }
  if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
  const view = { 1: "grid", 2: "map", 3: "list" }[e.key];
  if (view) {
    S.view = view;
    draw();
  } else if (e.key === "/") document.getElementById("q").focus();
  else if (e.key === "t") (theme(S.theme === "dark" ? "light" : "dark"), draw());
  else if (e.key === "?") document.getElementById("keys").showModal();
  else if ((e.key === "n" || e.key === "p") && maps.length) {
    maps[0].canvas.focus();
    maps[0].jump(e.key === "n" ? 1 : -1);
  } else return;
  e.preventDefault();
}

async function start() {
  const began = performance.now();
  try {
    await unpack();
  } catch (err) {
    const text = "Cannot read the cases: " + err.message + ". The summary follows.";
    document.getElementById("main").prepend(el("p", { class: "error" }, text));
    return;
  }
  theme();
  const verdict = document.getElementById("verdict"),
    [cls, word] = D.verdict;
  verdict.className = "badge " + cls;
  verdict.textContent = word;
  for (const e of document.querySelectorAll("header [hidden]")) e.hidden = false;
  document.getElementById("tabs").append(
    ...Object.entries(VIEWS).map(([id, [name]]) =>
      el(
        "button",
        {
          type: "button",
          role: "tab",
          "data-view": id,
          onclick: () => {
            S.view = id;
            draw();
          },
        },
        name,
      ),
    ),
  );
  document.getElementById("theme").onclick = () => {
    theme(S.theme === "dark" ? "light" : "dark");
    draw();
  };
  document.getElementById("help").onclick = () => document.getElementById("keys").showModal();
  document
    .getElementById("keys")
    .append(
      el("h2", {}, "Keys"),
      el(
        "dl",
        {},
        ...KEYS.flatMap(([k, what]) => [el("dt", {}, el("kbd", {}, k)), el("dd", {}, what)]),
      ),
      el("form", { method: "dialog" }, el("button", {}, "close")),
    );
  let wait = 0;
  document.getElementById("q").addEventListener("input", (e) => {
    clearTimeout(wait);
    wait = setTimeout(() => {
      S.q = e.target.value;
      S.view = "list";
      draw();
    }, 120);
  });
  document.getElementById("q").addEventListener("keydown", (e) => {
    if (e.key === "Enter") {
      clearTimeout(wait);
      S.q = e.target.value;
      S.view = "list";
      draw();
      document.getElementById("list").focus();
    }
  });
  document.addEventListener("keydown", keys);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (e) => {
    theme(e.matches ? "dark" : "light");
    draw();
  });
  restore();
  document.documentElement.dataset.ready = Math.round(performance.now());
  document.documentElement.dataset.unpacked = Math.round(performance.now() - began);
}
start();
