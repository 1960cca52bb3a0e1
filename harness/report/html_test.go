package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tokentest/cases"
	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// matrixRun is a run of two kernels with a matrix of n types, in which 7.3
// decides two cells otherwise and one of them wrongly.
func matrixRun(n int) *result.Run {
	axis := func(name string, values ...string) cases.OutlineAxis {
		a := cases.OutlineAxis{Name: name}
		for _, v := range values {
			a.Values = append(a.Values, cases.OutlineValue{Name: v, Text: v})
		}
		return a
	}
	masks, caps, tokens, types := []string{"none", "any"}, []string{"none", "CAP_BPF", "all"}, []string{"without", "with"},
		[]string{}
	for i := range n {
		types = append(types, fmt.Sprintf("type%d", i))
	}
	o := cases.Outline{Name: "map_create", About: "Who may create a map.", Path: "cases/matrix/map_create.txt",
		Actors: []string{"owner userns uid=1000"},
		Axes: []cases.OutlineAxis{axis("delegate", masks...), axis("caps", caps...), axis("token", tokens...),
			axis("type", types...)},
		Setup: []string{"owner bpffs cmds=$delegate -> b"}, Steps: []string{"owner map_create type=$type caps=$caps"}}
	k612, k73 := newKernel("deb:6.12"), newKernel("deb:7.3")
	k73.Release = "7.3.4"
	for _, k := range []*result.KernelRun{k612, k73} {
		k.Rules = map[string]result.RuleText{"map_create/ok": {Rule: "nothing refuses it", Func: "map_create"}}
		for _, m := range masks {
			for _, c := range caps {
				for _, tok := range tokens {
					for i, typ := range types {
						id := strings.Join([]string{"map_create", m, c, tok, typ}, "/")
						r := passed(id, eperm)
						if m == "any" && c != "none" && tok == "with" {
							r = passed(id, 0)
						}
						if k == k73 && m == "any" && c == "none" && tok == "with" && i == 1 {
							r = failed(id, stepResult("owner map_create type=type1 caps=none", 0, eperm))
							r.Steps = r.Steps[1:]
						}
						if k == k73 && m == "none" && c == "none" && tok == "without" && i == 0 {
							r = passed(id, einval)
						}
						k.Cases = append(k.Cases, r)
					}
				}
			}
		}
		k.Cases = append(k.Cases, passed("nested_userns", 0), skipped("later", "the kernel is older than 7.4"))
	}
	k73.Boots[0] = boot(0, vm.Tainted, "WARNING in f", splat.Finding{Kind: splat.KindWarn, Title: "WARNING in f",
		Lines: []string{"[ 1.0] WARNING: f+0x1", "<script>alert(1)</script>"}})
	r := newRun(k612, k73)
	r.Groups = []cases.Outline{o}
	return r
}

// patience is how long a busy machine may take for anything that is not timed.
const patience = 2 * time.Minute

// browser starts a headless Chromium. It fails the test on an exception in the page and on
// every network request.
func browser(t *testing.T) context.Context {
	t.Helper()
	found := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			found = path
			break
		}
	}
	if found == "" {
		t.Skip("no Chromium: install chromium to try the page")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(found), chromedp.NoSandbox,
		chromedp.WindowSize(1400, 900),
		chromedp.WSURLReadTimeout(patience))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	ctx, late := context.WithTimeout(ctx, 2*patience)
	t.Cleanup(late)
	err := chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page throws: %+v", ev.ExceptionDetails)
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(ev.Request.URL, "file://") && !strings.HasPrefix(ev.Request.URL, "data:") {
				t.Errorf("the page asks for %s", ev.Request.URL)
			}
		}
	})
	if err == nil {
		_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	}
	if err != nil {
		t.Fatalf("start %s: %v", found, err)
	}
	return ctx
}

func writeHTML(t *testing.T, write func(*bytes.Buffer) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// driver drives one page; each of its methods fails the test by itself.
type driver struct {
	t   *testing.T
	ctx context.Context
}

func (p *driver) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

func (p *driver) open(path, hash string) {
	p.t.Helper()
	p.do("open the page", chromedp.Navigate("about:blank"), chromedp.Navigate("file://"+path+hash),
		chromedp.WaitReady(chromedp.CSS(`html[data-ready]`)))
}

func (p *driver) js(expression string) string {
	p.t.Helper()
	out, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return out
}

// until evaluates an expression until its value is right, because the page draws asynchronously.
func (p *driver) until(expression, want string, right func(got string) bool) {
	p.t.Helper()
	got := ""
	for end := time.Now().Add(patience / 4); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = p.js(expression); right(got) {
			return
		}
	}
	p.t.Errorf("%s is %q, want %q", expression, got, want)
}

func (p *driver) want(expression, want string) {
	p.t.Helper()
	p.until(expression, want, func(got string) bool { return got == want })
}

func (p *driver) has(selector, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("document.querySelector(%q)?.textContent", selector), text,
		func(got string) bool { return strings.Contains(got, text) })
}

// script runs a script in the page.
func script(text string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Evaluate[string]("("+text+", '')")(ctx, t)
		return chromedp.Void{}, err
	}
}

func (p *driver) number(expression string) float64 {
	p.t.Helper()
	n, err := chromedp.Run(p.ctx, chromedp.Evaluate[float64](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return n
}

// cell clicks a cell of the nth heat map, by its row and column.
func (p *driver) cell(n, row, col int) {
	p.t.Helper()
	place := fmt.Sprintf(`(() => { const m = maps[%d], b = m.canvas.getBoundingClientRect();
		return JSON.stringify([b.x + LABEL + (%d + .5) * m.o.size - m.port.scrollLeft,
			b.y + m.top() + (%d + .5) * m.o.size - m.port.scrollTop]); })()`, n, col, row)
	at := ""
	p.until(place, "the same twice", func(got string) bool { same := got == at; at = got; return same }) // it has its size
	var xy [2]float64
	if err := json.Unmarshal([]byte(at), &xy); err != nil {
		p.t.Fatal(err)
	}
	p.do("click a cell", chromedp.MouseClickXY(xy[0], xy[1]))
}

// TestPage uses the page like a user, with the mouse and with keys.
func TestPage(t *testing.T) {
	path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", matrixRun(12), b, Options{}) })
	p := &driver{t, browser(t)}
	p.open(path, "")
	p.has("#verdict", "a kernel differs")
	p.has("details summary", "2 kernels, 146 cases, 292 decisions")
	p.has(`[data-cell="0/map_create"]`, "pass 144")
	p.has(`[data-cell="1/map_create"]`, "fail 1, pass 143")
	p.has("#main", "WARNING in f")
	p.has("#main", "<script>alert(1)</script>") // as text

	// A click on a cell of the grid opens the map of its group and kernel.
	p.do("click the grid", chromedp.Click(chromedp.CSS(`[data-cell="1/map_create"]`)))
	p.want("S.view", "map")
	p.want("maps.length", "1")
	p.has(".map .title", "deb:7.3")
	p.want("maps[0].rows.length+'x'+maps[0].cols.length", "12x12")

	// A click on a cell of the map shows the case, in full.
	p.cell(0, 1, 7) // any, none, with: type1
	p.has("#name", "map_create/any/none/with/type1")
	p.has("#case .badge", "fail")
	p.has("#steps", "EPERM")
	p.has("#steps", "a map type that the token does not allow")
	p.has("#world", "owner bpffs cmds=any -> b")
	p.has("#world", "actor owner userns uid=1000")
	p.has("#case .console", "WARNING: f+0x1")
	p.has("#repeat", "tokentest run map_create/any/none/with/type1 --kernel deb:7.3")

	// Keys move, and what is chosen is said.
	p.do("press keys", chromedp.KeyEvent(kb.ArrowLeft))
	p.has("#name", "map_create/any/none/without/type1")
	p.do("press keys", chromedp.KeyEvent(kb.ArrowDown))
	p.has("#name", "map_create/any/none/without/type2")
	p.has("#steps", "owner map_create type=type2 caps=none")
	p.has("#steps", "nothing refuses it")
	p.has("#live", "map_create/any/none/without/type2")
	p.do("close", chromedp.KeyEvent(kb.Escape))
	p.want("document.getElementById('case').hidden", "true")
	p.do("next disagreement", chromedp.KeyEvent("n"))
	p.has("#live", "map_create/any/none/with/type1")

	// Two kernels side by side: what differs is marked and can be listed.
	for _, pick := range [][2]string{{"left", "0"}, {"right", "1"}} {
		p.do("compare", chromedp.SetValue(chromedp.CSS("#"+pick[0]), pick[1]),
			script(fmt.Sprintf(`document.getElementById(%q).dispatchEvent(new Event("change"))`, pick[0])))
	}
	p.want("maps.length", "2")
	p.has("#main", "2 cases differ")
	p.cell(0, 0, 0)
	p.has("#name", "map_create/none/none/without/type0")
	p.has("#case", "≠ differs")
	p.want("JSON.stringify(maps[1].sel)", "[0,0]")
	p.do("list", chromedp.Click(chromedp.CSS("#only-changed")))
	p.has("#found", "2 cases")
	p.has("#list", "EPERM → EINVAL")

	// The search.
	p.do("close", chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent("/"), chromedp.WaitReady(chromedp.CSS("#q:focus")),
		chromedp.KeyEvent("none/with/*"))
	p.has("#found", "0 cases")
	p.do("uncheck", chromedp.Click(chromedp.CSS("#changed")))
	p.want("document.getElementById('found').textContent", "0 cases") // a pattern is of the whole name
	p.do("search", script(`document.getElementById("q").value = ""`), chromedp.Focus(chromedp.CSS("#q")),
		chromedp.KeyEvent("none/with/ type1"))
	p.want(`document.getElementById("found").textContent`, "6 cases") // type1, type10 and type11 with each mask
	p.do("click a row", chromedp.Click(chromedp.CSS(`.row[data-n="1"]`)))
	p.has("#name", "map_create/none/none/with/type10")

	// A view is in the address.
	hash := p.js("location.hash")
	p.open(path, hash)
	p.has("#name", "map_create/none/none/with/type10")
	p.has("#found", "6 cases")
	const marked = `[...document.querySelectorAll(".row.on .name")].map((e) => e.textContent).join()`
	p.want(marked, "map_create/none/none/with/type10")
	// One far down the list is scrolled to.
	last := p.js("caseName(D.suffix.length - 1)")
	p.open(path, "#v=list&l=0&r=0&k=0&c="+url.QueryEscape(last))
	p.want(marked, last)
	p.want(`document.getElementById("list").scrollTop > 0`, "true")

	// Light and dark.
	dark := p.js("document.documentElement.dataset.theme")
	p.do("theme", chromedp.Click(chromedp.CSS("#theme")))
	p.want("document.documentElement.dataset.theme", map[string]string{"dark": "light", "light": "dark"}[dark])
}

// TestPageWithoutColour gives each kind of cell a sign and a brightness of its
// own, in both themes.
func TestPageWithoutColour(t *testing.T) {
	path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", everything(), b, Options{}) })
	p := &driver{t, browser(t)}
	p.open(path, "")
	for _, theme := range []string{"light", "dark"} {
		p.do("theme", script(fmt.Sprintf("theme(%q)", theme)))
		p.want(`new Set(["allow","refuse","fail","broken","skip","xfail"].map(
			(k) => letterOf({kind: k, t: [{g: "EPERM"}]}))).size`, "6")
		// Contrast of each sign against its cell, as WCAG counts it.
		p.want(`(() => {
			const linear = (x) => (x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
			const part = (c, i) => linear(parseInt(c.slice(i, i + 2), 16) / 255);
			const lum = (c) => .2126 * part(c, 1) + .7152 * part(c, 3) + .0722 * part(c, 5);
			const ratio = (a, b) => {
				const [x, y] = [lum(a), lum(b)].sort((m, n) => n - m);
				return (x + .05) / (y + .05);
			};
			const kinds = ["allow", "refuse", "fail", "broken", "skip", "xfail"];
			const bad = kinds.filter((k) => ratio(COLOR[k], COLOR[k + "Fg"]) < 4.5);
			if (ratio(COLOR.allow, COLOR.refuse) < 3) bad.push("allow/refuse");
			if (ratio(COLOR.fg, COLOR.bg) < 7) bad.push("text");
			return bad.join();
		})()`, "")
	}
}

// TestPageOfKnownDefect checks that the page shows no error for a machine that ended with a
// known defect.
func TestPageOfKnownDefect(t *testing.T) {
	path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", known(), b, Options{}) })
	p := &driver{t, browser(t)}
	p.open(path, "#v=grid&c=known_reopen&k=0")
	p.has("#grid", "1 clean, 1 known defect")
	p.has("#legend", "the kernel answers as expected")
	p.has("#main", "No failure")
	p.want("document.querySelectorAll('.cause').length", "0")
	p.has("#case", "known defect: bpf_token_fops has no open method")
}

// TestPageOfManyDecisions opens a page of more than 100,000 decisions in less
// than two seconds and draws it fast enough to scroll. The best of three
// counts, because the machine may be busy.
func TestPageOfManyDecisions(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	r := matrixRun(4500)
	path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", r, b, Options{}) })
	p := &driver{t, browser(t)}
	var ready, frame float64 = 1e9, 1e9
	for n := 0; n < 3 || n < 12 && (ready > 2000 || frame > 50); n++ {
		p.open(path, "#v=map&g=map_create&l=0&r=1")
		ready = min(ready, p.number("+document.documentElement.dataset.ready"))
		frame = min(frame, p.number(`new Promise((done) => {
			const port = maps[0].port, began = performance.now();
			let n = 0;
			const step = () => {
				port.scrollTop += 300;
				if (++n < 40) requestAnimationFrame(step);
				else done((performance.now() - began) / n);
			};
			requestAnimationFrame(step);
		})`))
	}
	t.Logf("%d decisions are ready in %.0f ms, a frame of scrolling takes %.1f ms", 2*r.Kernels[0].Len(), ready, frame)
	if ready > 2000 {
		t.Errorf("ready in %.0f ms, want at most 2000", ready)
	}
	if frame > 50 {
		t.Errorf("a frame takes %.1f ms, want at most 50", frame)
	}
}

// TestPageComparison opens with the pair that was compared.
func TestPageComparison(t *testing.T) {
	path := writeHTML(t, func(b *bytes.Buffer) error { return WriteComparison("html", comparison(), b, Options{}) })
	p := &driver{t, browser(t)}
	p.open(path, "")
	p.has("#main", "unlike: tokentest: 33a3b73f2fe1")
	p.want("D.runs.length", "3")
	p.want("S.left+'-'+S.right", "0-2")
	p.has("#main", "cases differ")
	p.has(`[data-cell="2/m"]`, "fail 2")
}

// TestPageWithoutCases opens every view of runs in which one kernel, or every kernel, has no case.
func TestPageWithoutCases(t *testing.T) {
	untried := func(ref string) *result.KernelRun {
		return &result.KernelRun{Ref: ref, Error: "no such kernel",
			Planned: 2}
	}
	some := newKernel("deb:6.12")
	some.Cases = []result.CaseResult{passed("nested_userns", 0)}
	p := &driver{t, browser(t)}
	for _, tt := range []struct {
		run   *result.Run
		found string
	}{
		{newRun(untried("deb:4.4")), "0 cases"},
		{newRun(untried("deb:4.4"), untried("deb:4.9")), "0 cases"},
		{newRun(some, untried("deb:4.4")), "1 case"},
		{newRun(), "0 cases"},
	} {
		r := tt.run
		path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", r, b, Options{}) })
		for view, want := range map[string]string{"grid": tt.found, "map": "no matrix", "list": tt.found} {
			p.open(path, "#v="+view)
			p.has("#main", want)
		}
		if len(r.Kernels) > 0 {
			p.open(path, "#v=grid")
			p.has("#grid", "not tried")
		}
	}
}

// TestPageOffersOtherKernels compares with no kernel at first, and never with the kernel that is shown.
func TestPageOffersOtherKernels(t *testing.T) {
	path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", matrixRun(12), b, Options{}) })
	p := &driver{t, browser(t)}
	options := func(id string) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#%s option")]
			.map((o) => (o.selected ? "*" : "") + o.textContent).join()`, id)
	}
	choose := func(id, value string) {
		t.Helper()
		p.do("choose", chromedp.SetValue(chromedp.CSS("#"+id), value),
			script(fmt.Sprintf(`document.getElementById(%q).dispatchEvent(new Event("change"))`, id)))
	}
	p.open(path, "#v=map&g=map_create")
	p.want(options("left"), "*deb:6.12,deb:7.3")
	p.want(options("right"), "*nothing,deb:7.3")
	p.want("maps.length", "1")
	choose("left", "1") // without a comparison, the one map shows the other kernel
	p.want(options("right"), "*nothing,deb:6.12")
	p.want("maps.map((m) => m.col).join()", "1")
	choose("right", "0")
	p.want("maps.map((m) => m.col).join()", "1,0")
	choose("left", "0") // the kernel that it is compared with: they change places
	p.want("maps.map((m) => m.col).join()", "0,1")
	p.want(options("right"), "nothing,*deb:7.3")
	choose("right", "")
	p.want("maps.map((m) => m.col).join()", "0")
}

// TestPageLines keeps the page's sources readable: no line of JavaScript has more than 100 columns.
func TestPageLines(t *testing.T) {
	files, err := filepath.Glob("page/*.js")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			if columns := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); columns > 100 {
				t.Errorf("%s:%d: %d columns", name, n, columns)
			}
		}
	}
}

// TestPageAlone checks that the page needs no network.
func TestPageAlone(t *testing.T) {
	for _, f := range fixtures {
		text := render(t, "html", f.run(), Options{})
		for _, word := range []string{"http://", "https://", "<link", "@import", "src=\"", "url("} {
			if strings.Contains(text, word) {
				t.Errorf("%s: the page holds %q", f.name, word)
			}
		}
		if strings.Contains(text, "{{") || strings.Count(text, "</script>") != 2 {
			t.Errorf("%s: the page is not whole", f.name)
		}
	}
}

// TestPageDoubt shows who is wrong if not the kernel, unjudged steps, and a run that decided
// nothing.
func TestPageDoubt(t *testing.T) {
	p := &driver{t, browser(t)}
	show := func(r *result.Run) {
		p.open(writeHTML(t, func(b *bytes.Buffer) error { return Write("html", r, b, Options{}) }), "")
	}
	show(wrongExpectation())
	p.has("#verdict", "an expectation is wrong")
	p.has(".cause.fail", "the expectation EPERM contradicts both the kernel and the rules, which say ok")
	p.do("show the case", chromedp.Click(chromedp.CSS(".cause.fail button")))
	p.has("#steps .fault", "the expectation EPERM contradicts both the kernel and the rules, which say ok")
	show(wrongOracle())
	p.has("#verdict", "no verdict")
	p.has(".cause.fail", "the rules are wrong, not the kernel")
	show(unmodelled())
	p.has("#verdict", "all as expected")
	p.has("#main", "slow.txt:3: map_crate matches no case")
	p.do("show the case", script(`showCase(0, 0)`))
	p.has("#steps", "not modelled")
	p.has("#steps", "owner chmod e mode=0")
	show(allSkip())
	p.has("#verdict", "no verdict")
	p.has(".cause.broken", "nothing was decided: all 2 cases that were selected are skipped")
}

// The title names the kernel and the verdict, and is text.
func TestPageTitle(t *testing.T) {
	for _, tt := range []struct {
		run  *result.Run
		want string
	}{
		{passing(), "<title>✓ all as expected, deb:trixie - tokentest</title>"},
		{lie(), "<title>not a real run: ✗ a kernel differs, deb:trixie - tokentest</title>"},
	} {
		var b bytes.Buffer
		if err := HTML(tt.run, &b, Options{}); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); !strings.Contains(got, tt.want) {
			i := strings.Index(got, "<title>")
			t.Errorf("got %q, want %q", got[i:i+100], tt.want)
		}
	}
	hostile := passing()
	hostile.Kernels[0].Ref = "</title><script>"
	if got := template.HTMLEscapeString(pageTitle([]*result.Run{hostile})); strings.Contains(got, "<") {
		t.Errorf("markup in the title: %s", got)
	}
}
