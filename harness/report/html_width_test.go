package report

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"tokentest/harness/result"
)

// width gives the window of a page a width.
func (p *driver) width(n int64) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: n, Height: 900, DeviceScaleFactor: 1}); err != nil {
		p.t.Fatal(err)
	}
}

// manyKernels is a run of n kernels with a group of each status.
func manyKernels(n int) *result.Run {
	var list []*result.KernelRun
	for i := range n {
		k := newKernel(fmt.Sprintf("deb:6.%d", 10+i))
		for j := range 600 {
			id := fmt.Sprintf("map_unprivileged/owner/%d", j)
			switch {
			case j < 100:
				k.Cases = append(k.Cases, failed(id, stepResult("owner map_create type=hash", 0, eperm)))
			case j < 500:
				k.Cases = append(k.Cases, passed(id, 0))
			default:
				k.Cases = append(k.Cases, skipped(id, "CONFIG_NET is not set"))
			}
		}
		list = append(list, k)
	}
	return newRun(list...)
}

// TestPageNarrow shows the grid of three kernels whole on a telephone; one of many kernels scrolls
// in its own box, and not the page.
func TestPageNarrow(t *testing.T) {
	p := &driver{t, browser(t)}
	page := "document.documentElement.scrollWidth + '/' + document.getElementById('main').scrollWidth"
	for _, n := range []int{1, 3, 9} {
		path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", manyKernels(n), b, Options{}) })
		p.width(400)
		p.open(path, "")
		p.want(page, "400/400")
		p.has(`[data-cell="0/map_unprivileged"]`, "fail 100, pass 400, skip 100")
		p.want("(b => b.scrollWidth > b.clientWidth)(document.querySelector('.scroll'))", fmt.Sprint(n > 3))
	}
}

// TestPageNames leaves most of the list's width to the names, also beside an open case.
func TestPageNames(t *testing.T) {
	p := &driver{t, browser(t)}
	path := writeHTML(t, func(b *bytes.Buffer) error { return Write("html", manyKernels(2), b, Options{}) })
	for _, w := range []int64{400, 1000, 1400} {
		p.width(w)
		p.open(path, "#v=list&c=map_unprivileged/owner/1&k=0")
		p.want("document.querySelector('.list .row .name')?.offsetWidth > "+
			"0.4 * document.querySelector('.list').offsetWidth", "true")
	}
}
