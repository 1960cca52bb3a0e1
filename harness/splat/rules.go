package splat

import (
	"regexp"
	"regexp/syntax"
)

// rule recognises the first line of a report. Rules match only at the start of a
// message: a program that prints such words after its own name is not the kernel.
type rule struct {
	kind  Kind
	match *regexp.Regexp
	title string // with $1 for what match captured
	traits
}

// traits say what else is known about a report.
type traits struct {
	fatal   bool // the kernel dies of it (with oops=panic)
	die     bool // the line with "[#1]" after the fault's own line
	rip     bool // the title lacks the function, which the RIP line names
	carrier bool // a WARNING or BUG line that may carry a message printed before it
	carried bool // such a message
	single  bool // one line, not a report
	part    bool // starts a report only if none of its kind is open
	inside  bool // counts only after a "cut here" line: else it is an ordinary message
}

var (
	fault   = traits{fatal: true, rip: true}
	die     = traits{fatal: true, rip: true, die: true}
	bugAt   = traits{fatal: true, rip: true, carrier: true}
	carrier = traits{carrier: true}
	carried = traits{carried: true}
	stuck   = traits{rip: true}
	single  = traits{single: true}
	part    = traits{part: true}
	inside  = traits{carrier: true, inside: true}
	plain   = traits{}
)

// rules is in order: the first rule that matches decides, so the general ones come last.
var rules = []rule{
	{KindPanic, re(`^Kernel panic - not syncing: (.*)`), "kernel panic: $1", traits{fatal: true}},

	{KindOops, re(`^BUG: ([Kk]ernel NULL pointer dereference|[Uu]nable to handle page fault)`), "BUG: $1", fault},
	{KindOops, re(`^BUG: ([Uu]nable to handle kernel .*?)(?: at (?:virtual address )?[0-9a-f]|$)`), "BUG: $1", fault},
	{KindOops, re(`^(?:CPU \d+ )?[Uu]nable to handle kernel (.*?)(?: (?:for data )?at |$| in virtual)`),
		"unable to handle kernel $1", fault},
	{KindOops, re(`^Unhandled (fault|prefetch abort): (.*?) \(0x`), "unhandled $1: $2", fault},
	{KindOops, re(`^Bad mode in (.*?) handler detected`), "bad mode in $1 handler", fault},
	{KindOops, re(`^BUG: (.*stack guard page was hit)`), "BUG: $1", fault},
	{KindOops, re(`^(?:traps: )?PANIC: (double fault)`), "$1", fault},
	{KindOops, re(`^(?:BUG: k|K|k)(ernel stack overflow)`), "k$1", fault},
	{KindOops, re(`^(Insufficient stack space) to handle exception`), "$1", fault},
	{KindOops, re(`^PANIC: early exception`), "early exception", fault},
	{KindOops, re(`^CFI failure at ([^+ ]+)`), "CFI failure in $1", fault},
	{KindOops, re(`^(?:mce: )?\[Hardware Error\]: Machine check events logged`), "machine check", single},
	{KindOops, re(`^(?:Oops: )?` + exceptions + `\b.*\[#\d+\]`), "$1", die},
	{KindOops, re(`^Internal error: (?:Oops - )?([^:\[]*?)(?:: [0-9a-f]+)? \[#\d+\]`), "internal error: $1", die},
	{KindOops, re(`^Oops - ([^:\[]*?)(?:: [0-9a-f]+)? ?\[#\d+\]`), "Oops: $1", die},
	{KindOops, re(`^(?:Internal error: )?Oops\b.*`), "Oops", die},
	{KindOops, re(`^general protection fault\b`), "general protection fault", fault},
	{KindBug, re(`^[Kk]ernel BUG at (\S+?):\d+`), "kernel BUG at $1", bugAt},
	{KindOops, re(dies), "$1", die},

	{KindKASAN, re(`^BUG: KASAN: (.*)`), "KASAN: $1", plain},
	{KindKCSAN, re(`^BUG: KCSAN: (.*)`), "KCSAN: $1", plain},
	{KindKFENCE, re(`^BUG: KFENCE: (.*)`), "KFENCE: $1", plain},
	{KindKMSAN, re(`^BUG: KMSAN: (.*)`), "KMSAN: $1", plain},
	{KindUBSAN, re(`^UBSAN: (.*)`), "UBSAN: $1", plain},

	{KindLockup, re(`^(?:NMI )?(?:watchdog: )?BUG: (soft lockup)`), "$1", stuck},
	{KindLockup, re(`^(?:NMI )?(?:watchdog: )?(?:CPU\d+: )?Watchdog detected (hard LOCKUP)`), "hard lockup", stuck},
	{KindLockup, re(`^watchdog: CPU \d+ (?:self-)?(?:detected )?(?:Hard|hard) LOCKUP`), "hard lockup", stuck},
	{KindLockup, re(`^BUG: (workqueue lockup)`), "$1", plain},
	{KindRCU, re(`^(?:rcu: )?INFO: (rcu_\w+) (?:self-)?detected (?:expedited )?stalls?`), "RCU stall: $1", plain},
	{KindRCU, re(`^(?:rcu: )?(rcu_\w+) (?:grace-period )?kthread (?:starved|timer wakeup didn't happen)`),
		"RCU stall: $1", plain},
	{KindHungTask, re(`^INFO: task (.+):\d+ (?:<(?:reader|writer)> )?(?:is )?blocked on an? `), "hung task: $1", part},
	{KindHungTask, re(`^INFO: task (.+):\d+ (?:(?:is )?blocked|can't die for more than) `), "hung task: $1", plain},

	{KindAtomic, re(`^BUG: (scheduling while atomic): ([^/]+)`), "$1: $2", plain},
	{KindAtomic, re(`^BUG: (sleeping function called from invalid context at \S+)`), "$1", plain},
	{KindAtomic, re(`^BUG: (using \S+ in preemptible)`), "$1", plain},
	{KindLockdep, re(lockdep + `(possible (?:circular|recursive|irq lock).*?)(?: \])?$`), "lockdep: $1", plain},
	{KindLockdep, re(lockdep +
		`(inconsistent lock state|suspicious RCU usage|bad (?:unlock balance|contention) detected)`),
		"lockdep: $1", plain},
	{KindLockdep, re(lockdep + `(held lock freed|lock held (?:when|at).*|locks still held.*|Nested lock was not taken|` +
		`Invalid wait context)`),
		"lockdep: $1", plain},
	{KindLockdep, re(lockdep + `(\S+-safe -> \S+-unsafe lock order detected)`), "lockdep: $1", plain},
	{KindLockdep, re(lockdep + `.*/\d+ (still has locks held|is leaving the kernel with locks still held)`),
		"lockdep: $1", plain},
	{KindLockdep, re(`^INFO: (trying to register non-static key)`), "lockdep: $1", carried},
	{KindLockdep, re(`^(DEBUG_LOCKS_WARN_ON)`), "lockdep: $1", carried},
	{KindLockdep, re(`^BUG: (MAX_LOCK\w+) too low`), "lockdep: $1", carried},

	{KindRefcount, re(`^refcount_t: (.*)`), "refcount_t: $1", carried},
	{KindCorruption, re(`^(list_(?:add|del)) (?:corruption|double add|debug)`), "$1 corruption", carried},
	{KindCorruption, re(`^BUG:? (\S+) \([^)]*\): (.*)`), "slab corruption in $1: $2", plain},
	{KindCorruption, re(`^BUG: (Bad (?:page state|page map|page cache|rss-counter state))`), "BUG: $1", plain},
	{KindCorruption, re(`^usercopy: (Kernel memory \w+ attempt)`), "usercopy: $1", carried},
	{KindCorruption, re(`^(?:kmem_cache_destroy|cache) (\S+?):? (Slab cache still has objects|double free detected)`),
		"slab corruption in $1: $2", carried},
	{KindCorruption, re(`^ODEBUG: (\S+(?: active)?) (?:\(|active|object)`), "ODEBUG: $1", carried},
	{KindCorruption, re(`^(VFS: Busy inodes after unmount)`), "$1", plain},
	{KindKmemleak, re(`^BUG: (memory leak)`), "$1", plain},
	{KindKmemleak, re(`^kmemleak: \d+ new suspected memory leaks`), "kmemleak: new suspected memory leaks", single},
	{KindOOM, re(`^(` + outOfMemory + `): Kill(?:ed)? process \d+ \((.*?)\)`),
		"$1: killed $2", single},
	{KindOther, re(`^irq \d+: nobody cared`), "irq: nobody cared", plain},
	{KindOther, re(`^unregister_netdevice: waiting for (\S+)`), "unregister_netdevice: waiting for $1", single},

	{KindWarn, re(`^WARNING: CPU: \d+ PID: \d+ at (\S+?):\d+ (\S+)`), "WARNING in $2 ($1)", carrier},
	{KindWarn, re(`^WARNING: (?:\[.*\] )?(\S+?):\d+ at (\S+?)(?:,|$| )`), "WARNING in $2 ($1)", carrier},
	{KindWarn, re(`^WARNING: (?:CPU: \d+ PID: \d+ )?at (\S+?):\d+ (\S+)`), "WARNING in $2 ($1)",
		carrier}, // before 3.11
	{KindWarn, re(`^WARNING: (?:CPU: \d+ PID: \d+ )?at (?:0x)?[0-9a-f]{6,}`), "WARNING at an address", carrier},
	{KindWarn, re(`^WARNING: ((?:kernel stack|can't \w+ registers|stack (?:recursion|going)).*?)(?: at |$)`),
		"WARNING: $1", plain},
	{KindWarn, re(`^WARNING: (.*)`), "WARNING: $1", inside},
	{KindBug, re(`^BUG: (.*)`), "BUG: $1", plain},
}

// exceptions are the names under which the kernel dies of a CPU exception.
const exceptions = `(general protection fault|invalid opcode|divide error|stack segment|` +
	`int3|segment not present|bounds|alignment check|simd exception|invalid TSS)`

// dies matches the line with which every architecture dies of what has no rule of its own: the name, a code, and the
// count of deaths.
const dies = `^([A-Za-z][\w '/,.()-]{2,60}?)(?:: [0-9a-f]+)?(?: ilc:\d)? ?\[#\d+\](?:$|[ :])`

// outOfMemory begins the report of the OOM killer.
const outOfMemory = `(?:Memory cgroup out|Out) of memory(?: \(oom_kill_allocating_task\))?`

// lockdep begins lockdep's reports; some releases put them in brackets.
const lockdep = `^(?:\[ )?(?:WARNING|INFO|BUG): `

// endOnly is for a report of which the log holds only the end.
var endOnly = rule{KindOther, nil, "a report with its beginning missing", plain}

// hints holds for each rule a text that every match contains. Searching for it is
// far cheaper than the regular expression, and nearly every line of a log lacks
// all of them.
var hints = func() []string {
	all := make([]string, len(rules))
	for i, r := range rules {
		parsed, err := syntax.Parse(r.match.String(), syntax.Perl)
		if err == nil { // it compiled, so it parses
			all[i] = literal(parsed)
		}
	}
	return all
}()

// literal is the longest text that every match of e contains.
func literal(e *syntax.Regexp) (longest string) {
	switch e.Op {
	case syntax.OpLiteral:
		if e.Flags&syntax.FoldCase == 0 {
			return string(e.Rune)
		}
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range e.Sub {
			if l := literal(sub); len(l) > len(longest) {
				longest = l
			}
		}
	}
	return longest
}

// consequence matches the titles of panics that only end what another report
// started.
var consequence = re(`^kernel panic: (Fatal exception|.*panic_on_|Fatal hardware error|softlockup|hung_task|` +
	`Hard LOCKUP|RCU Stall|UBSAN|KASAN|kernel stack overflow)`)

func re(s string) *regexp.Regexp { return regexp.MustCompile(s) }
