package labtest

import (
	"fmt"

	"tokentest/harness/wire"
)

// leaks is the result of a kmemleak scan: a lost object, which an old leak lost half a second
// after the first mark; or no scan, because kmemleak gave up.
func (g *guest) leaks() *wire.Leaks {
	const now, hz = 4_295_000_000, 100
	l := &wire.Leaks{}
	then := uint64(now)
	switch g.act {
	case "noscan":
		l.Unscanned = "kmemleak has switched itself off"
		return l
	case "oldleak":
		l.Jiffies, l.Ticks = now, now
		for i := range g.marks {
			m := wire.Mark{Kind: wire.MarkCells, First: uint32(i), Count: 1}
			l.Marks = append(l.Marks, wire.MarkAt{Ticks: now - uint64(g.marks-i)*hz, Mark: m})
		}
		l.Marks[0].Mark = wire.Mark{Kind: wire.MarkSetup}
		then = l.Marks[0].Ticks + hz/2
	}
	const text = `unreferenced object 0xffff888101234560 (size 64):
  comm "subject", pid 88, jiffies %d
  backtrace (crc 0):
    bpf_token_create+0x1a/0x90
`
	l.Text = fmt.Sprintf(text, then)
	return l
}
