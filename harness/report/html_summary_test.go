package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tokentest/harness/result"
)

// TestPageOpensOnFailures shows the first failure without scrolling, before the grid, and as
// many more as a reader asks for.
func TestPageOpensOnFailures(t *testing.T) {
	path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", many(50), b, Options{}) })
	p := &driver{t, browser(t)}
	p.open(path, "")
	p.has("#wrong", "Failures: 50 decisions differ, 50 have no result")
	p.want(`document.querySelector(".cause").getBoundingClientRect().bottom < innerHeight`, "true")
	p.want(`document.querySelector(".cause").getBoundingClientRect().top <
		document.getElementById("grid").getBoundingClientRect().top`, "true")
	p.want("document.querySelectorAll('.cause').length", "20")
	p.has("#more", "show 80 more causes")
	p.do("show all", chromedp.Click(chromedp.CSS("#more")))
	p.want("document.querySelectorAll('.cause').length", "100")
}

// TestPageUsesTheWidth gives the grid of one kernel the whole width, at any width, and never
// makes the page itself wider than the window.
func TestPageUsesTheWidth(t *testing.T) {
	one := matrixRun(12)
	one.Kernels = one.Kernels[:1]
	eleven := matrixRun(12)
	for i := range 9 {
		k := newKernel(fmt.Sprintf("deb:6.%d", i))
		k.Cases = eleven.Kernels[0].Cases
		eleven.Kernels = append(eleven.Kernels, k)
	}
	p := &driver{t, browser(t)}
	for _, tt := range []struct {
		run  *result.Run
		wide bool
	}{{one, true}, {matrixRun(12), true}, {eleven, false}} {
		path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", tt.run, b, Options{}) })
		for _, width := range []int64{400, 1000, 1800} {
			p.do("resize", chromedp.EmulateViewport(width, 900))
			p.open(path, "")
			p.want("document.documentElement.scrollWidth <= innerWidth", "true")
			p.want("document.getElementById('main').scrollWidth <= document.getElementById('main').clientWidth", "true")
			if tt.wide && width > 400 {
				p.want(`document.getElementById("grid").offsetWidth > innerWidth * .9`, "true")
			}
		}
	}
}

// TestPageWithoutScript keeps the verdict, the failures and the grid in the markup, and shows
// no control that does nothing.
func TestPageWithoutScript(t *testing.T) {
	for _, f := range fixtures {
		markup, _, _ := strings.Cut(render(t, "html", f.run(), Options{}), "<script")
		_, markup, _ = strings.Cut(markup, "<body>")
		for _, want := range []string{"<h2>Results by group", verdictWord(f.exit), `id="q"`} {
			if !strings.Contains(markup, want) {
				t.Errorf("%s: no %q in the markup", f.name, want)
			}
		}
		failures := f.exit != result.ExitOK && f.name != "damaged" && f.name != "nothing"
		if got := strings.Contains(markup, "<h2>Failures"); got != failures {
			t.Errorf("%s: the markup has failures: %t, want %t", f.name, got, failures)
		}
		for _, control := range []string{"<nav", "<label", "<button"} {
			for _, part := range strings.Split(markup, control)[1:] {
				if tag, _, _ := strings.Cut(part, ">"); !strings.HasSuffix(tag, " hidden") {
					t.Errorf("%s: %s%s is shown without JavaScript", f.name, control, tag)
				}
			}
		}
	}
	markup, _, _ := strings.Cut(render(t, "html", everything(), Options{}), "<script")
	for _, want := range []string{"3 cases on tree:my linux/it&#39;s new:", "got ok, want EPERM",
		"<dt>repeat</dt><dd>tokentest run map_create/maps/owner/none/with/hash", "fail 5, pass 1, skip 1", "not tried",
		"<pre class=\"console\">BUG: KASAN"} {
		if !strings.Contains(markup, want) {
			t.Errorf("no %q in the markup", want)
		}
	}
}

// TestPageLabels gives every kernel a name of its own, and shows a kernel of a run once.
func TestPageLabels(t *testing.T) {
	labels := func(d *pageData) string {
		var out []string
		for i := range d.head.Columns {
			out = append(out, d.head.Columns[i].Label)
		}
		return strings.Join(out, ",")
	}
	at := func(dir, ref string) *result.Run {
		r := newRun(newKernel(ref, passed("a", 0)))
		r.Dir = dir
		return r
	}
	for _, tt := range []struct {
		runs []*result.Run
		want string
	}{
		{[]*result.Run{at("x/1", "a"), at("x/1", "b")}, "a,b"},
		{[]*result.Run{at("x/1", "a"), at("x/2", "a")}, "a · 1,a · 2"},
		{[]*result.Run{at("x/1", "a"), at("y/1", "a")}, "a · x/1,a · y/1"},
		{[]*result.Run{at("x/1", "a"), at("x/1", "a")}, "a"},
		{[]*result.Run{at("", "a"), at("", "a")}, "a,a (2)"},
		{[]*result.Run{newRun(newKernel("a"), newKernel("a"))}, "a,a (2)"},
	} {
		if got := labels(newPageData(tt.runs, nil)); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
