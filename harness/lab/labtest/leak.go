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
			l.Marks = append(l.Marks, wire.Mark{Ticks: now - uint64(g.marks-i)*hz, What: fmt.Sprintf("cells %d 1", i)})
		}
		l.Marks[0].What = "set-up 0"
		then = l.Marks[0].Ticks + hz/2
	}
	l.Text = fmt.Sprintf("unreferenced object 0xffff888101234560 (size 64):\n  comm \"subject\", pid 88, jiffies %d\n  backtrace (crc 0):\n    bpf_token_create+0x1a/0x90\n", then)
	return l
}
