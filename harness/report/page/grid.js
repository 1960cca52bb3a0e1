// The first view: the causes of failures, and the results of each kernel by group.

function tally(col, g) {
  const n = { pass: 0, fail: 0, broken: 0, interrupted: 0, skip: 0, xfail: 0 },
    cells = D.cells[col];
  for (let i = g.first; i < g.first + g.count; i++) {
    const t = D.tails[cells[i]];
    if (t) n[t.s]++;
  }
  return n;
}
const worst = (n) =>
  n.fail
    ? "fail"
    : n.broken
      ? "broken"
      : n.interrupted
        ? "interrupted"
        : n.pass || n.xfail
          ? "pass"
          : n.skip
            ? "skip"
            : "none";
const sumText = (n) =>
  ["fail", "broken", "interrupted", "pass", "xfail", "skip"]
    .filter((s) => n[s])
    .map((s) => s + " " + n[s].toLocaleString("en"))
    .join(", ");

// roomy reports whether the grid has room to say what each group is about.
const roomy = () => D.columns.length <= 2;

function gridView() {
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, "group"),
    ...D.columns.map((c) =>
      el("th", { scope: "col" }, c.label, el("span", { class: "rel" }, c.release || "")),
    ),
    roomy() ? el("th", { scope: "col", class: "about" }, "about") : null,
  );
  const rows = D.groups.map((g) => {
    const about = g.outline ? g.outline.about : "";
    return el(
      "tr",
      {},
      el("th", { scope: "row", title: about }, g.name),
      ...D.columns.map((c, k) => el("td", {}, gridCell(g, c, k))),
      roomy() ? el("td", { class: "about dim" }, about) : null,
    );
  });
  const ends = D.columns.map((c) => {
    const [cls, text] = c.machines;
    return el("td", {}, el("span", { class: "cell " + cls }, text));
  });
  rows.push(el("tr", {}, el("th", { scope: "row" }, "machines"), ...ends));
  const sums = D.columns.map((c) => {
    return el("td", {}, el("span", { class: "cell " + worst(c.counts) }, sumText(c.counts)));
  });
  if (D.groups.length > 1)
    rows.push(el("tr", { class: "sum" }, el("th", { scope: "row" }, "all groups"), ...sums));
  const table = el(
    "table",
    { class: "grid" + (roomy() ? " wide" : ""), id: "grid" },
    el("thead", {}, head),
    el("tbody", {}, ...rows),
  );
  table.addEventListener("keydown", moveInGrid);
  return [
    runFields(),
    ...lacking(),
    ...(D.unlike
      ? [el("p", { class: "dim" }, ...D.unlike.map((u) => el("div", {}, "unlike: " + u)))]
      : []),
    ...(D.pairs ? [compareBar()] : []),
    ...causes(),
    el("h2", {}, D.columns.length > 1 ? "Results by group and kernel" : "Results by group"),
    ...(D.pairs ? [] : [compareBar()]),
    gridLegend(),
    el("div", { class: "scroll" }, table),
  ];
}

// gridCell is the button of a group on a kernel.
function gridCell(g, c, k) {
  const n = tally(k, g),
    w = worst(n),
    text = sumText(n),
    differs = S.left !== S.right && k === S.right && anyChanged(g);
  const says = differs ? ", differs from " + D.columns[S.left].label : "";
  return el(
    "button",
    {
      type: "button",
      class: "cell " + w + (differs ? " changed" : ""),
      disabled: w === "none",
      "data-cell": k + "/" + g.name,
      "aria-label": g.name + " on " + c.label + ": " + (text || "nothing") + says,
      onclick: () => openGroup(g, k),
    },
    text || " ",
  );
}

// gridLegend explains the words and colours of the grid.
function gridLegend() {
  const item = (sign, means) => el("div", {}, el("dt", {}, sign), el("dd", {}, means));
  const items = D.legend.map(([s, means]) => item(badge(s), means));
  if (S.left !== S.right) {
    const sign = el("span", { class: "cell changed" }, "framed");
    items.push(item(sign, "differs from " + D.columns[S.left].label));
  }
  items.push(item("colour", "the worst case of the group; a click shows the cases"));
  return el("dl", { class: "legend", id: "legend" }, ...items);
}

// lacking shows why there is no overall verdict: cases are missing, damaged or not tried.
const lacks = () => [...new Set([...(D.gaps || []), ...D.runs.flatMap((r) => r.lacks || [])])];
const lacking = () =>
  lacks().map((line) => el("p", { class: "lack" }, badge("broken"), " no verdict: " + line));

function anyChanged(g) {
  for (let i = g.first; i < g.first + g.count; i++) if (changed(S.left, S.right, i)) return true;
  return false;
}

// moveInGrid moves the focus from cell to cell with the arrow keys.
function moveInGrid(e) {
  const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[
      e.key
    ],
    td = e.target.closest("td");
  if (!step || !td) return;
  const row = td.parentElement,
    rows = [...row.parentElement.rows];
  for (let r = rows.indexOf(row), c = td.cellIndex; ;) {
    r += step[0];
    c += step[1];
    const next = rows[r] && rows[r].cells[c];
    if (!next) return;
    const b = next.querySelector("button:not(:disabled)");
    if (b) {
      b.focus();
      e.preventDefault();
      return;
    }
  }
}

function runFields() {
  const reasons = new Set(); // of the accelerator: each is shown once
  const accel = (c) => {
    const again = reasons.has(c.accel);
    reasons.add(c.accel);
    return again ? c.accel_name : c.accel;
  };
  const all = D.runs.map((r) =>
    fieldList([
      ["run", r.dir],
      ["command", (r.args || []).join(" ")],
      ["started", r.start],
      ["tokentest", [r.program, r.tool].filter(Boolean).join(" · ")],
      ["QEMU", r.qemu],
      [
        "host",
        r.host &&
          [r.host.kernel, r.host.cpu, r.host.cpus && count(r.host.cpus, "CPU")]
            .filter(Boolean)
            .join(" · "),
      ],
      ["seed", r.seed && String(r.seed)],
      ["interrupted", r.interrupted ? "yes" : ""],
      [
        "warning",
        (r.lists || [])
          .filter((e) => e.unmatched)
          .map((e) => e.where + ": " + e.pattern + " matches no case")
          .join("; "),
      ],
    ]),
  );
  const kernels = D.columns.map((c) =>
    fieldList([
      [c.label, c.release],
      ["source", c.source],
      ["image", c.digest],
      ["config", c.config_digest],
      ["compiler", c.compiler],
      ["accelerator", accel(c)],
      ["note", c.note],
      ["settings", (c.settings || []).map((s) => s.join(" ")).join(", ")],
      [
        "changed by the guest",
        (c.changes || [])
          .map((x) => [x.kind, x.name, x.to, x.errno ? "refused" : ""].filter(Boolean).join(" "))
          .join(", "),
      ],
      ["drift", (c.drift || []).join(" ")],
      ["error", c.error],
    ]),
  );
  return el(
    "details",
    {},
    el(
      "summary",
      {},
      D.runs.map((r, i) => runName(i)).join(" and ") + ": ",
      [count(D.columns.length, "kernel"), count(D.size, "case"), count(total(), "decision")].join(
        ", ",
      ),
    ),
    ...all,
    ...kernels,
  );
}
const total = () => D.cells.reduce((n, col) => n + col.reduce((m, t) => m + (t ? 1 : 0), 0), 0);

// causes returns a paragraph for each cause, at first for as many as a reader takes in.
let most = 20;
function causes() {
  const all = D.failures;
  if (!all.length)
    return lacks().length
      ? []
      : [el("p", { class: "dim" }, "No failure: every case that ran has the expected result.")];
  const out = [el("h2", { id: "wrong" }, "Failures" + (D.wrong ? ": " + D.wrong : ""))];
  out.push(...all.slice(0, most).map(failure));
  if (all.length > most) {
    const more = () => {
      most = all.length;
      draw();
    };
    const text = "show " + count(all.length - most, "more cause");
    out.push(el("button", { type: "button", id: "more", onclick: more }, text));
  }
  return out;
}

// failure is the paragraph of a cause.
function failure(f) {
  return el(
    "div",
    { class: "cause " + f.class },
    el("span", { class: "badge " + f.class }, f.badge),
    " ",
    el("strong", {}, f.title + ": "),
    f.text,
    f.rule ? el("div", { class: "dim" }, f.rule) : null,
    ...(f.cases || []).map((x) => causeButtons(x, f)),
    ...(f.logs || []).map((x) =>
      el(
        "div",
        {},
        x.title,
        x.lines ? el("pre", { class: "console" }, x.lines.join("\n")) : null,
      ),
    ),
  );
}

function causeButtons(x, f) {
  const k = x.column,
    i = indexOf(x.case);
  const within = () => {
    S.left = S.right = k;
    search(x.within, f.class);
  };
  return el(
    "div",
    { class: "bar" },
    f.cases.length > 1 ? el("span", { class: "dim" }, D.columns[k].label) : null,
    el("button", { type: "button", onclick: () => showCase(i, k) }, x.case),
    x.within
      ? el(
          "button",
          { type: "button", onclick: within },
          "the " + x.count.toLocaleString("en") + " within " + x.within,
        )
      : null,
  );
}

function indexOf(name) {
  const at = name.indexOf("/"),
    g = D.byName.get(at < 0 ? name : name.slice(0, at)),
    rest = at < 0 ? "" : name.slice(at + 1);
  if (!g) return -1;
  for (let i = g.first; i < g.first + g.count; i++) if (D.suffix[i] === rest) return i;
  return -1;
}

function openGroup(g, col) {
  S.left = S.left === S.right ? col : S.left;
  S.right = col;
  S.group = g.name;
  if (g.count === 1) {
    showCase(g.first, col);
    return;
  }
  S.view = partsOf(g) && g.axes.length > 1 && !g.odd ? "map" : "list";
  if (S.view === "list") S.filter = { group: g.name };
  draw();
}

// compareBar chooses the kernel that is shown, and one to compare it with. S.right is S.left if
// there is none.
function compareBar() {
  if (D.columns.length < 2) return el("span", {});
  const option = (i, selected) =>
    el("option", { value: i, selected }, i === "" ? "nothing" : D.columns[i].label);
  const all = D.columns.map((_, i) => i);
  const showLeft = (e) => {
    const alone = S.left === S.right,
      was = S.left;
    S.left = +e.target.value;
    if (alone) S.right = S.left;
    else if (S.left === S.right) S.right = was; // they change places
    draw();
  };
  const showRight = (e) => {
    S.right = e.target.value === "" ? S.left : +e.target.value;
    draw();
  };
  const left = el("select", { id: "left", onchange: showLeft });
  left.append(...all.map((i) => option(i, i === S.left)));
  const right = el("select", { id: "right", onchange: showRight });
  right.append(option("", S.left === S.right));
  right.append(...all.filter((i) => i !== S.left).map((i) => option(i, i === S.right)));
  const bar = el("div", { class: "bar" });
  bar.append(el("label", {}, "kernel ", left), el("label", {}, "compared with ", right));
  if (S.left === S.right) return bar;
  const list = () => {
    S.view = "list";
    S.filter = { changed: true };
    draw();
  };
  const n = countChanged();
  bar.append(el("span", {}, count(n, "case") + (n === 1 ? " differs" : " differ")));
  bar.append(el("button", { type: "button", id: "only-changed", onclick: list }, "list them"));
  return bar;
}
function countChanged() {
  let n = 0;
  for (let i = 0; i < D.size; i++) if (changed(S.left, S.right, i)) n++;
  return n;
}
