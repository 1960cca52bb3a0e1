// A heat map shows one group on one kernel: a row for each value of one axis, a column for each
// combination of the others. It draws only the visible cells.
const HEAD = 15,
  LABEL = 196;
const brief = (name) => name.replaceAll("CAP_", "");

class Heat {
  constructor(g, col, o) {
    Object.assign(this, { g, col, o, sel: null, peers: [] });
    this.layout();
    this.canvas = el("canvas", {
      tabindex: "0",
      role: "application",
      "aria-label":
        "heat map of " + g.name + " on " + D.columns[col].label + "; arrow keys move, Enter opens",
    });
    this.space = el("div", { style: "position:absolute;pointer-events:none" });
    this.port = el("div", { class: "port" }, this.canvas, this.space);
    this.over = el("canvas", {
      class: "over",
      "aria-hidden": "true",
      title: "the whole map; failures are red",
    });
    this.root = el(
      "div",
      { class: "map" },
      el("div", { class: "title" }, D.columns[col].label),
      this.over,
      this.port,
    );
    this.port.addEventListener("scroll", () => {
      this.paint();
      for (const p of this.peers) {
        p.port.scrollLeft = this.port.scrollLeft;
        p.port.scrollTop = this.port.scrollTop;
      }
    });
    this.canvas.addEventListener("mousemove", (e) => this.hover(e));
    this.canvas.addEventListener("mouseleave", () => tip(null));
    this.canvas.addEventListener("click", (e) => {
      const at = this.at(e);
      if (at) {
        this.select(...at);
        this.open();
      }
      this.canvas.focus();
    });
    this.canvas.addEventListener("keydown", (e) => this.key(e));
    this.over.addEventListener("click", (e) => {
      const f = e.offsetX / this.over.clientWidth;
      this.port.scrollLeft = f * this.cols.length * this.o.size - this.port.clientWidth / 2;
    });
    new ResizeObserver(() => this.resize()).observe(this.port);
  }

  // layout finds the rows, the columns and the case of each cell.
  layout() {
    const g = this.g,
      parts = partsOf(g),
      { rowAxis, only } = this.o;
    this.axes = g.axes.map((_, n) => n).filter((n) => n !== rowAxis);
    const keep = (i) => g.axes.every((_, n) => only[n] === undefined || parts[n][i] === only[n]);
    const sizes = g.axes.map((a) => a.values.length),
      rows = new Map(),
      keys = new Map(),
      cells = [];
    for (let i = 0; i < g.count; i++) {
      if (!keep(i)) continue;
      let key = 0;
      for (const n of this.axes) key = key * sizes[n] + parts[n][i];
      rows.set(parts[rowAxis][i], 0);
      if (!keys.has(key)) keys.set(key, i);
      cells.push([parts[rowAxis][i], key, i]);
    }
    this.rows = [...rows.keys()].sort((a, b) => a - b);
    this.cols = [...keys.keys()].sort((a, b) => a - b);
    this.sample = this.cols.map((k) => keys.get(k));
    const r = new Map(this.rows.map((v, n) => [v, n])),
      c = new Map(this.cols.map((v, n) => [v, n]));
    this.index = new Int32Array(this.rows.length * this.cols.length).fill(-1);
    for (const [row, key, i] of cells)
      this.index[r.get(row) * this.cols.length + c.get(key)] = g.first + i;
  }

  // bands computes the height of each axis's labels; a label that does not fit is drawn upright.
  bands() {
    const x = this.canvas.getContext("2d"),
      parts = partsOf(this.g),
      n = this.cols.length;
    x.font = "11px ui-monospace, monospace";
    let y = 0;
    this.band = this.axes.map((axis, k) => {
      const values = this.g.axes[axis].values,
        long = Math.max(...values.map((v) => x.measureText(brief(v.name)).width)) + 6;
      let least = n,
        run = 0;
      for (let c = 1; c <= n; c++) {
        run++;
        if (
          c === n ||
          this.axes
            .slice(0, k + 1)
            .some((m) => parts[m][this.sample[c]] !== parts[m][this.sample[c - 1]])
        ) {
          least = Math.min(least, run);
          run = 0;
        }
      }
      const upright = least * this.o.size < long && this.o.size >= 9,
        h = upright ? Math.min(80, long) : HEAD;
      const b = { axis, y, h, upright };
      y += h;
      return b;
    });
    this.head = y + 4;
  }

  top() {
    return this.head;
  }
  cell(r, c) {
    return r < 0 || c < 0 || r >= this.rows.length || c >= this.cols.length
      ? -1
      : this.index[r * this.cols.length + c];
  }
  other() {
    return this.peers.length ? this.peers[0].col : this.col;
  }

  resize() {
    this.bands();
    const w = this.port.clientWidth,
      h = this.port.clientHeight,
      d = devicePixelRatio || 1;
    this.space.style.width = LABEL + this.cols.length * this.o.size + 2 + "px";
    this.space.style.height = this.top() + this.rows.length * this.o.size + 2 + "px";
    this.space.style.top = this.space.style.left = "0";
    if (this.canvas.width !== Math.floor(w * d)) this.canvas.width = w * d;
    if (this.canvas.height !== Math.floor(h * d)) this.canvas.height = h * d;
    this.canvas.style.width = w + "px";
    this.canvas.style.height = h + "px";
    this.draw();
    this.overview();
  }

  paint() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.draw();
    });
  }

  draw() {
    const x = this.canvas.getContext("2d"),
      d = devicePixelRatio || 1,
      w = this.canvas.width / d,
      h = this.canvas.height / d,
      size = this.o.size,
      top = this.top();
    x.setTransform(d, 0, 0, d, 0, 0);
    x.fillStyle = COLOR.bg;
    x.fillRect(0, 0, w, h);
    const sx = this.port.scrollLeft,
      sy = this.port.scrollTop;
    const c0 = Math.floor(sx / size),
      c1 = Math.min(this.cols.length, Math.ceil((sx + w - LABEL) / size)),
      r0 = Math.floor(sy / size),
      r1 = Math.min(this.rows.length, Math.ceil((sy + h - top) / size));
    x.save();
    x.beginPath();
    x.rect(LABEL, top, w - LABEL, h - top);
    x.clip();
    x.textAlign = "center";
    x.textBaseline = "middle";
    x.font = "700 " + Math.min(12, size - 3) + "px ui-monospace, monospace";
    for (let r = r0; r < r1; r++)
      for (let c = c0; c < c1; c++)
        this.drawCell(x, r, c, LABEL + c * size - sx, top + r * size - sy);
    x.restore();
    this.rowLabels(x, r0, r1, sy, w, h);
    this.colLabels(x, c0, c1, sx, w);
  }

  drawCell(x, r, c, px, py) {
    const i = this.cell(r, c),
      size = this.o.size;
    if (i < 0) return;
    const t = tailOf(this.col, i),
      kind = t ? t.kind : "none";
    x.fillStyle = COLOR[kind];
    x.fillRect(px, py, size - 1, size - 1);
    if (size >= 10 && t) {
      x.fillStyle = COLOR[kind + "Fg"];
      x.fillText(letterOf(t), px + size / 2 - 0.5, py + size / 2);
    }
    if (this.peers.length && changed(this.col, this.other(), i)) {
      x.strokeStyle = COLOR.mark;
      x.lineWidth = 2;
      x.strokeRect(px + 1, py + 1, size - 3, size - 3);
      x.fillStyle = COLOR.mark;
      x.beginPath();
      x.moveTo(px, py);
      x.lineTo(px + size / 2, py);
      x.lineTo(px, py + size / 2);
      x.fill();
    }
    if (this.sel && this.sel[0] === r && this.sel[1] === c) {
      x.strokeStyle = COLOR.fg;
      x.lineWidth = 2;
      x.strokeRect(px, py, size - 1, size - 1);
    }
  }

  rowLabels(x, r0, r1, sy, w, h) {
    const size = this.o.size,
      axis = this.g.axes[this.o.rowAxis],
      top = this.top();
    x.fillStyle = COLOR.bg;
    x.fillRect(0, top, LABEL - 2, h);
    x.save();
    x.beginPath();
    x.rect(0, top, LABEL - 6, h);
    x.clip();
    x.fillStyle = COLOR.fg;
    x.textAlign = "left";
    x.textBaseline = "middle";
    x.font = Math.min(12, Math.max(8, size - 1)) + "px ui-monospace, monospace";
    for (let r = r0; r < r1; r++)
      x.fillText(axis.values[this.rows[r]].name, 2, top + r * size - sy + size / 2);
    x.restore();
  }

  // colLabels draws a band for each axis; equal neighbours share a label.
  colLabels(x, c0, c1, sx, w) {
    const size = this.o.size,
      parts = partsOf(this.g);
    x.fillStyle = COLOR.bg;
    x.fillRect(0, 0, w, this.top() - 1);
    x.font = "11px ui-monospace, monospace";
    x.textAlign = "left";
    x.textBaseline = "middle";
    this.band.forEach(({ axis, y, h, upright }, k) => {
      const values = this.g.axes[axis].values,
        at = (c) =>
          this.axes
            .slice(0, k + 1)
            .map((m) => parts[m][this.sample[c]])
            .join();
      x.fillStyle = COLOR.dim;
      x.fillText(this.g.axes[axis].name, 2, y + h / 2);
      for (let c = c0; c < c1;) {
        let from = c,
          end = c + 1;
        while (from > 0 && from > c - 400 && at(from - 1) === at(c)) from--;
        while (end < this.cols.length && end < c + 400 && at(end) === at(c)) end++;
        const px = Math.max(LABEL, LABEL + from * size - sx),
          width = LABEL + end * size - sx - px;
        this.label(x, brief(values[parts[axis][this.sample[c]]].name), px, y, width, h, upright);
        c = end;
      }
    });
  }

  label(x, text, px, y, width, h, upright) {
    x.save();
    x.beginPath();
    x.rect(px, y, Math.max(0, width - 1), h);
    x.clip();
    x.fillStyle = COLOR.soft;
    x.fillRect(px, y, width - 1, h - 1);
    x.fillStyle = COLOR.fg;
    if (upright && x.measureText(text).width + 6 > width) {
      x.translate(px + Math.min(width / 2, 8), y + h - 3);
      x.rotate(-Math.PI / 2);
      x.fillText(text, 0, 0);
    } else x.fillText(text, px + 2, y + h / 2);
    x.restore();
  }

  // overview draws all columns in the available width; each pixel shows the worst result of its
  // columns.
  overview() {
    const w = this.over.clientWidth,
      x = this.over.getContext("2d");
    this.over.width = w;
    this.over.height = 18;
    const rank = {
      fail: 5,
      broken: 4,
      interrupted: 3.8,
      xfail: 3.5,
      allow: 3,
      refuse: 2,
      skip: 1,
      none: 0,
    };
    for (let p = 0; p < w; p++) {
      let kind = "none",
        mark = false;
      const from = Math.floor((p * this.cols.length) / w),
        to = Math.max(from + 1, Math.floor(((p + 1) * this.cols.length) / w));
      for (let c = from; c < Math.min(to, this.cols.length); c++)
        for (let r = 0; r < this.rows.length; r++) {
          const i = this.cell(r, c);
          if (i < 0) continue;
          const t = tailOf(this.col, i),
            k = t ? t.kind : "none";
          if (rank[k] > rank[kind]) kind = k;
          mark = mark || (this.peers.length > 0 && changed(this.col, this.other(), i));
        }
      x.fillStyle = COLOR[kind];
      x.fillRect(p, kind === "fail" ? 0 : 4, 1, 18);
      if (mark) {
        x.fillStyle = COLOR.mark;
        x.fillRect(p, 13, 1, 5);
      }
    }
  }

  at(e) {
    const r = Math.floor((e.offsetY - this.top() + this.port.scrollTop) / this.o.size),
      c = Math.floor((e.offsetX - LABEL + this.port.scrollLeft) / this.o.size);
    return e.offsetX >= LABEL && e.offsetY >= this.top() && this.cell(r, c) >= 0 ? [r, c] : null;
  }

  hover(e) {
    const at = this.at(e);
    if (!at) return tip(null);
    const i = this.cell(...at),
      t = tailOf(this.col, i);
    const status = t && t.s !== "pass" ? " (" + t.s + ")" : "";
    tip(caseName(i) + " — " + (t ? t.answer + status : "no record"), e.clientX, e.clientY);
  }

  select(r, c) {
    this.sel = [r, c];
    for (const p of this.peers) {
      p.sel = [r, c];
      p.paint();
    }
    this.reveal(r, c);
    this.paint();
    const i = this.cell(r, c),
      t = tailOf(this.col, i);
    say(caseName(i) + ": " + (t ? t.answer + ", " + t.s : "no record"));
    if (!document.getElementById("case").hidden) this.open();
  }
  open() {
    showCase(this.cell(...this.sel), this.col);
  }

  reveal(r, c) {
    const s = this.o.size,
      x = c * s,
      y = r * s,
      w = this.port.clientWidth - LABEL - s,
      h = this.port.clientHeight - this.top() - s;
    if (x < this.port.scrollLeft || x > this.port.scrollLeft + w) this.port.scrollLeft = x - w / 2;
    if (y < this.port.scrollTop || y > this.port.scrollTop + h) this.port.scrollTop = y - h / 2;
  }

  key(e) {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[
      e.key
    ];
    if (e.key === "Enter" && this.sel) this.open();
    else if (e.key === "n" || e.key === "p") this.jump(e.key === "n" ? 1 : -1);
    else if (step) {
      if (!this.sel)
        this.sel = [-step[0], -step[1] || (step[1] === 0 ? 0 : -1)].map((v) =>
          Math.max(v, step[0] || step[1] > 0 ? -1 : 0),
        );
      let [r, c] = this.sel;
      do {
        r += step[0];
        c += step[1];
      } while (
        r >= 0 &&
        c >= 0 &&
        r < this.rows.length &&
        c < this.cols.length &&
        this.cell(r, c) < 0
      );
      if (this.cell(r, c) >= 0) this.select(r, c);
      else if (this.cell(...this.sel) < 0) this.first();
    } else return;
    e.preventDefault();
    e.stopPropagation();
  }
  first() {
    const k = this.index.findIndex((i) => i >= 0);
    if (k >= 0) this.select(Math.floor(k / this.cols.length), k % this.cols.length);
  }

  // jump selects the next failure or difference.
  jump(by) {
    const n = this.index.length,
      w = this.cols.length,
      h = this.rows.length;
    let at = this.sel ? this.sel[1] * h + this.sel[0] : by > 0 ? -1 : n;
    for (let k = 0; k < n; k++) {
      at = (at + by + n) % n;
      const r = at % h,
        c = Math.floor(at / h),
        i = this.cell(r, c),
        t = i >= 0 && tailOf(this.col, i);
      if (
        t &&
        (t.s === "fail" ||
          t.s === "broken" ||
          (this.peers.length && changed(this.col, this.other(), i)))
      ) {
        this.select(r, c);
        return;
      }
    }
    say("no failure in this map");
  }
}

function mapView() {
  const g =
    D.byName.get(S.group) || D.groups.find((g) => g.axes.length > 1 && !(partsOf(g), g.odd));
  if (!g) return [el("p", {}, "There is no matrix in this run.")];
  S.group = g.name;
  partsOf(g);
  if (S.rowAxis === undefined || S.rowAxis >= g.axes.length || S.mapOf !== g.name) {
    S.rowAxis = g.axes.length - 1;
    S.only = {};
    S.mapOf = g.name;
  }
  const o = { rowAxis: S.rowAxis, only: S.only, size: S.size };
  const cols = S.left === S.right ? [S.left] : [S.left, S.right];
  maps = cols.map((c) => new Heat(g, c, o));
  if (!S.sized) {
    // as large as the room allows
    const room = document.getElementById("main").clientWidth / cols.length - LABEL - 40;
    o.size = S.size = Math.max(
      12,
      Math.min(24, Math.floor(room / Math.max(1, maps[0].cols.length))),
    );
  }
  if (maps.length === 2) {
    maps[0].peers = [maps[1]];
    maps[1].peers = [maps[0]];
  }
  const matrices = D.groups.filter((g) => g.axes.length > 1);
  const bar = el(
    "div",
    { class: "bar" },
    el(
      "label",
      {},
      "group ",
      el(
        "select",
        {
          id: "group",
          onchange: (e) => {
            S.group = e.target.value;
            draw();
          },
        },
        ...matrices.map((m) => el("option", { selected: m === g }, m.name)),
      ),
    ),
    el(
      "label",
      {},
      "rows ",
      el(
        "select",
        {
          id: "rows",
          onchange: (e) => {
            S.rowAxis = +e.target.value;
            draw();
          },
        },
        ...g.axes.map((a, n) => el("option", { value: n, selected: n === S.rowAxis }, a.name)),
      ),
    ),
    ...g.axes.map((a, n) =>
      el(
        "label",
        {},
        a.name + " ",
        el(
          "select",
          {
            "data-axis": a.name,
            onchange: (e) => {
              if (e.target.value === "") delete S.only[n];
              else S.only[n] = +e.target.value;
              draw();
            },
          },
          el("option", { value: "" }, "all"),
          ...a.values.map((v, k) => el("option", { value: k, selected: S.only[n] === k }, v.name)),
        ),
      ),
    ),
    el(
      "label",
      {},
      "size ",
      el("input", {
        type: "range",
        min: 3,
        max: 28,
        value: S.size,
        "aria-label": "size of a cell",
        oninput: (e) => {
          S.sized = true;
          S.size = +e.target.value;
          for (const m of maps) {
            m.o.size = S.size;
            m.resize();
          }
        },
      }),
    ),
    el(
      "button",
      { type: "button", id: "next", onclick: () => maps[0].jump(1) },
      "next failure or difference (n)",
    ),
  );
  return [
    compareBar(),
    bar,
    el("div", { class: "dim" }, g.outline ? g.outline.about : ""),
    el("div", { class: "maps" }, ...maps.map((m) => m.root)),
    legend(g),
  ];
}

// legend explains each sign and counts its cells.
function legend(g) {
  const n = new Map();
  for (let i = g.first; i < g.first + g.count; i++) {
    const t = tailOf(S.left, i);
    if (!t) continue;
    const what = t.kind === "allow" ? "allowed" : t.kind === "refuse" ? t.t[0].g : t.kind;
    const x = n.get(what) || { t, n: 0 };
    x.n++;
    n.set(what, x);
  }
  return el(
    "div",
    { class: "legend" },
    ...[...n]
      .sort((a, b) => b[1].n - a[1].n)
      .map(([what, x]) =>
        el(
          "span",
          {},
          el(
            "span",
            {
              class: "chip",
              style: `background:${COLOR[x.t.kind]};color:${COLOR[x.t.kind + "Fg"]}`,
            },
            letterOf(x.t),
          ),
          what + " " + x.n.toLocaleString("en"),
        ),
      ),
    S.left === S.right
      ? null
      : el(
          "span",
          {},
          el("span", { class: "chip", style: `border:2px solid ${COLOR.mark}` }, "◤"),
          "differs",
        ),
  );
}
let maps = [];
