// The first view: the results of each kernel by group, and the causes of failures.
const WORD = { pass: "✓", fail: "✗", broken: "!", skip: "–", interrupted: "…", none: "" };

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
    .map((s) => (WORD[s] || s) + " " + n[s])
    .join("  ");

function gridView() {
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, "group"),
    ...D.columns.map((c) =>
      el("th", { scope: "col" }, c.label, el("span", { class: "rel" }, c.release || "")),
    ),
  );
  const rows = D.groups.map((g) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", title: g.outline ? g.outline.about : "" }, g.name),
      ...D.columns.map((c, k) => {
        const n = tally(k, g),
          w = worst(n),
          text = sumText(n);
        const differs = S.left !== S.right && k === S.right && anyChanged(g);
        return el(
          "td",
          {},
          el(
            "button",
            {
              type: "button",
              class: w + (differs ? " changed" : ""),
              disabled: w === "none",
              "data-cell": k + "/" + g.name,
              "aria-label":
                g.name +
                " on " +
                c.label +
                ": " +
                (text || "nothing") +
                (differs ? ", differs from " + D.columns[S.left].label : ""),
              onclick: () => openGroup(g, k),
            },
            text || " ",
          ),
        );
      }),
    ),
  );
  rows.push(
    el(
      "tr",
      {},
      el("th", { scope: "row" }, "machines"),
      ...D.columns.map((c) => el("td", {}, machines(c))),
    ),
  );
  const table = el(
    "table",
    { class: "grid", id: "grid" },
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
    wrongLine(),
    compareBar(),
    el("div", { class: "scroll" }, table),
    ...causes(),
  ];
}

// lacking shows why there is no overall verdict: cases are missing, damaged or not tried.
const lacks = () => [...new Set([...(D.gaps || []), ...D.runs.flatMap((r) => r.lacks || [])])];
const lacking = () =>
  lacks().map((line) => el("p", { class: "lack" }, badge("broken"), " no verdict: " + line));

// wrongLine summarizes, before the grid, the failures that follow it.
function wrongLine() {
  const n = D.columns.reduce((sum, c) => sum + (c.counts.fail || 0), 0),
    b = D.columns.reduce((sum, c) => sum + (c.counts.broken || 0), 0);
  if (!n && !b) return el("span", {});
  return el(
    "p",
    {},
    n ? badge("fail") : null,
    n ? " " + n.toLocaleString("en") + (n === 1 ? " decision differs " : " decisions differ ") : "",
    b ? badge("broken") : null,
    b ? " " + b.toLocaleString("en") + (b === 1 ? " has no result " : " have no result ") : "",
    el(
      "button",
      {
        type: "button",
        id: "to-wrong",
        onclick: () => document.getElementById("wrong").scrollIntoView(),
      },
      "failures ↓",
    ),
  );
}

// badBoot reports whether a machine counts against its kernel.
const badBoot = (b) =>
  !b.known && (b.fate !== "clean" || (b.findings || []).some((f) => !f.Allowed));

function machines(c) {
  if (c.error) return el("span", { class: "badge broken" }, "not tried");
  const all = c.boots || [],
    bad = all.filter(badBoot),
    known = all.filter((b) => b.known).length;
  if (bad.length)
    return el(
      "span",
      { class: "badge fail" },
      [...new Set(bad.map((b) => b.fate))]
        .map((f) => bad.filter((b) => b.fate === f).length + " " + f)
        .join(" "),
    );
  return el(
    "span",
    { class: "dim" },
    all.length - known + " clean" + (known ? ", " + known + " known defect" : ""),
  );
}

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
  const all = D.runs.map((r) =>
    fieldList([
      ["run", r.dir],
      ["command", (r.args || []).join(" ")],
      ["started", r.start],
      ["tokentest", [r.program, r.tool].filter(Boolean).join(" · ")],
      ["QEMU", r.qemu],
      [
        "host",
        r.host && [r.host.kernel, r.host.cpu, r.host.cpus + " CPUs"].filter(Boolean).join(" · "),
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
      ["accelerator", c.accel],
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

// causes returns a paragraph for each cause; kernels with the same cause share one.
function causes() {
  const out = [],
    known = new Map();
  D.columns.forEach((c, k) => {
    for (const why of [c.error, c.undecided])
      if (why)
        out.push(el("div", { class: "cause broken" }, el("strong", {}, c.label + ": "), why));
    for (const b of c.boots || [])
      if (badBoot(b))
        out.push(
          el(
            "div",
            { class: "cause" },
            el("strong", {}, c.label + " " + b.fate + ": "),
            b.reason || "",
            ...(b.findings || []).map((f) =>
              el(
                "div",
                {},
                f.Title,
                f.Lines ? el("pre", { class: "console" }, f.Lines.join("\n")) : null,
              ),
            ),
          ),
        );
    for (const x of c.causes || [])
      known.set(x.status + x.key, [...(known.get(x.status + x.key) || []), [x, k]]);
  });
  for (const list of known.values()) {
    const x = list[0][0],
      n = list.reduce((sum, [y]) => sum + y.count, 0);
    out.push(
      el(
        "div",
        { class: "cause " + x.status },
        badge(x.status),
        " ",
        el(
          "strong",
          {},
          n +
            (n === 1 ? " case" : " cases") +
            (D.columns.length > 1
              ? " on " +
                (list.length > 3
                  ? list.length + " kernels"
                  : list.map(([, k]) => D.columns[k].label).join(", "))
              : "") +
            ": ",
        ),
        x.text,
        x.rule ? el("div", { class: "dim" }, x.rule) : null,
        el("div", {}, ...list.map(([y, k]) => causeButtons(y, k))),
      ),
    );
  }
  return out.length
    ? [el("h2", { id: "wrong" }, "Failures"), ...out]
    : lacks().length
      ? []
      : [el("p", { class: "dim" }, "No failure: every case that ran has the expected result.")];
}

function causeButtons(x, k) {
  const i = indexOf(x.case);
  return el(
    "div",
    { class: "bar" },
    D.columns.length > 1 ? el("span", { class: "dim" }, D.columns[k].label) : null,
    el("button", { type: "button", onclick: () => showCase(i, k) }, x.case),
    x.within
      ? el(
          "button",
          {
            type: "button",
            onclick: () => {
              S.left = S.right = k;
              search(x.within, x.status);
            },
          },
          "the " + x.count + " within " + x.within,
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
