// The list of cases, with filters and a search over names. It draws only the visible rows.
const ROW = 24;

function matcher(q) {
  const terms = q.trim().toLowerCase().split(/\s+/).filter(Boolean);
  return terms.map((t) => {
    if (!t.includes("*")) return (name) => name.includes(t);
    const re = new RegExp(
      "^" +
        t
          .split("*")
          .map((p) => p.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
          .join(".*") +
        "$",
    );
    return (name) => re.test(name);
  });
}

// rowsOf returns the cases that match the filters, each with its kernel.
function rowsOf() {
  const f = S.filter,
    tests = matcher(S.q),
    cols = f.changed ? [S.right] : f.all ? D.columns.map((_, i) => i) : [S.left];
  const ok = new Uint8Array(D.tails.length);
  D.tails.forEach((t, n) => {
    ok[n] =
      t &&
      (!f.status || t.s === f.status) &&
      (!f.answer || (t.t || []).some((s) => s.g === f.answer)) &&
      (!f.rule || (t.t || []).some((s) => s.i === f.rule))
        ? 1
        : 0;
  });
  const groups = f.group ? [D.byName.get(f.group)].filter(Boolean) : D.groups,
    out = [];
  const any = f.status || f.answer || f.rule;
  for (const g of groups) {
    const prefix = g.name.toLowerCase();
    for (let i = g.first; i < g.first + g.count; i++) {
      if (f.changed && !changed(S.left, S.right, i)) continue;
      if (tests.length) {
        const name = D.suffix[i] ? prefix + "/" + D.suffix[i].toLowerCase() : prefix;
        if (!tests.every((t) => t(name))) continue;
      }
      for (const c of cols) {
        const n = D.cells[c][i];
        if (n ? ok[n] : f.changed && !any) out.push([i, c]);
      }
    }
  }
  return out;
}

function listView() {
  const f = S.filter;
  const select = (id, name, values) =>
    el(
      "label",
      {},
      name + " ",
      el(
        "select",
        {
          id,
          onchange: (e) => {
            f[id] = e.target.value || undefined;
            draw();
          },
        },
        el("option", { value: "" }, "any"),
        ...values.map((v) => el("option", { selected: f[id] === v }, v)),
      ),
    );
  const statuses = ["fail", "broken", "interrupted", "skip", "pass", "xfail"].filter((s) =>
    D.columns.some((c) => c.counts[s]),
  );
  const check = (id, name) =>
    el(
      "label",
      {},
      el("input", {
        type: "checkbox",
        id,
        checked: !!f[id],
        onchange: (e) => {
          f[id] = e.target.checked;
          draw();
        },
      }),
      " " + name,
    );
  const bar = el(
    "div",
    { class: "bar" },
    select(
      "group",
      "group",
      D.groups.map((g) => g.name),
    ),
    select("status", "status", statuses),
    select(
      "answer",
      "answer",
      Object.keys(D.letter).filter((k) => k === "ok" || k[0] === "E"),
    ),
    select(
      "rule",
      "rule",
      [
        ...new Set(
          D.tails
            .filter(Boolean)
            .flatMap((t) => (t.t || []).map((s) => s.i))
            .filter(Boolean),
        ),
      ].sort(),
    ),
    D.columns.length > 1 ? check("all", "all kernels") : null,
    S.left !== S.right ? check("changed", "only differences") : null,
  );
  const rows = rowsOf(),
    pad = el("div", { class: "pad", style: `height:${Math.min(rows.length * ROW, 3e7)}px` });
  const list = el(
    "div",
    {
      class: "list",
      tabindex: "0",
      id: "list",
      role: "listbox",
      "aria-label": rows.length + " cases",
    },
    pad,
  );
  // A link to a case, or a case that is open, marks its row.
  let on = Math.max(
    0,
    rows.findIndex(([i, c]) => i === S.case && c === S.caseCol),
  );
  const paint = () => {
    const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 5),
      to = Math.min(rows.length, from + Math.ceil(list.clientHeight / ROW) + 10);
    const some = [];
    for (let n = from; n < to; n++) some.push(row(rows[n], n, n === on));
    pad.replaceChildren(...some);
  };
  const reveal = () => {
    if (on * ROW < list.scrollTop) list.scrollTop = on * ROW;
    if ((on + 1) * ROW > list.scrollTop + list.clientHeight)
      list.scrollTop = (on + 1) * ROW - list.clientHeight;
    paint();
  };
  const go = (n) => {
    on = Math.max(0, Math.min(rows.length - 1, n));
    reveal();
    const [i, c] = rows[on];
    say(caseName(i) + " on " + D.columns[c].label);
  };
  list.addEventListener("scroll", () => requestAnimationFrame(paint));
  list.addEventListener("click", (e) => {
    const r = e.target.closest(".row");
    if (r) {
      on = +r.dataset.n;
      paint();
      showCase(...rows[on]);
    }
  });
  list.addEventListener("keydown", (e) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -1e9, End: 1e9 }[
      e.key
    ];
    if (!rows.length) return;
    if (by) {
      go(on + by);
      if (!document.getElementById("case").hidden) showCase(...rows[on]);
      e.preventDefault();
    } else if (e.key === "Enter") showCase(...rows[on]);
  });
  let seen = false;
  new ResizeObserver(() => {
    if (!seen && list.clientHeight) {
      seen = true;
      reveal();
    } else paint();
  }).observe(list);
  return [
    compareBar(),
    bar,
    el(
      "div",
      { id: "found", class: "dim" },
      rows.length.toLocaleString("en") + (rows.length === 1 ? " case" : " cases"),
    ),
    el(
      "div",
      { class: "row head", "aria-hidden": "true" },
      el("span", { class: "st" }, "status"),
      el("span", { class: "name" }, "case"),
      el("span", { class: "got" }, f.changed ? "result, before → after" : "result"),
      D.columns.length > 1 ? el("span", { class: "k" }, "kernel") : null,
    ),
    list,
  ];
}

function row([i, c], n, on) {
  const answer = (x) => (x ? x.answer : "no record");
  const t = tailOf(c, i),
    f = S.filter.changed && tailOf(S.left, i);
  return el(
    "div",
    {
      class: "row" + (on ? " on" : ""),
      style: `top:${n * ROW}px`,
      "data-n": n,
      role: "option",
      "aria-selected": on,
    },
    el("span", { class: "st" }, t ? badge(t.s) : "no record"),
    el("span", { class: "name", title: caseName(i) }, caseName(i)),
    el("span", { class: "got" }, (S.filter.changed ? answer(f) + " → " : "") + answer(t)),
    D.columns.length > 1 ? el("span", { class: "k" }, D.columns[c].label) : null,
  );
}

function search(q, status) {
  document.getElementById("q").value = S.q = q;
  S.filter = { status };
  S.view = "list";
  draw();
}
