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
		g.mark("leak scan")
		l.Jiffies, l.HZ = now, hz
		then -= uint64(g.marks-1)*hz - hz/2
	}
	l.Text = fmt.Sprintf("unreferenced object 0xffff888101234560 (size 64):\n  comm \"subject\", pid 88, jiffies %d\n  backtrace (crc 0):\n    bpf_token_create+0x1a/0x90\n", then)
	return l
}
