package labtest

import (
	"fmt"

	"tokentest/harness/wire"
)

// leaks is what a kmemleak scan comes to: an object that is lost, in an old leak
// since half a second behind the first mark; or nothing, for it gave up.
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
	l.Text = fmt.Sprintf("unreferenced object 0xffff888101234560 (size 64):\n  comm \"subject\", pid 88, jiffies %d\n  backtrace (crc 0):\n    bpf_token_create+0x1a/0x90\n", then)
	return l
}
