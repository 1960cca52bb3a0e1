package splat

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

// treeDirs are the kernel's top directories: the part of a path before one of them
// is where the kernel was built.
const treeDirs = `arch|block|certs|crypto|drivers|fs|include|init|io_uring|ipc|kernel|lib|mm|net|rust|samples|` +
	`security|sound|virt`

// noise is what normalise takes out of a title, in this order.
var noise = []struct {
	re   *regexp.Regexp
	with string
}{
	{re(`(^|[ (])(?:\.\./|/)\S*?/?\b((?:` + treeDirs + `)/\S+\.[chS])\b`), "${1}${2}"},
	{re(`\+0x[0-9a-f]+/0x[0-9a-f]+( \[[\w-]+\])?`), ""},
	{re(`\.(isra|constprop|part|cold|llvm)(\.\d+)?`), ""},
	{re(`\b(0x)?[0-9a-f]{8,16}\b`), "ADDR"},
	{re(`\b0x[0-9a-f]+\b`), "ADDR"},
	{re(`(\.[chS]):\d+(:\d+)?`), "$1"},
	{re(`\bPID:? \d+`), "PID"},
	{re(`(?i)\bcpu[ #]?\d+`), "CPU"},
	{re(`([/:])\d+\b`), "$1"},
	{re(`(^|[ #=])\d+(\.\d+)?\b`), "${1}N"},
}

// normalise removes from a title what differs between two runs or builds.
func normalise(title string) string {
	for _, n := range noise {
		title = n.re.ReplaceAllString(title, n.with)
	}
	return strings.TrimRight(strings.Join(strings.Fields(title), " "), " .!:/")
}

// printFrames is how many functions of the stack tell two reports with the same
// title apart.
const printFrames = 3

// fingerprint is a short digest of the kind, the title and the functions on top of the stack.
func fingerprint(f *Finding) string {
	parts := append([]string{string(f.Kind), f.Title}, frames(f.Kind, f.Lines, printFrames)...)
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:6])
}

var (
	traceLine = re(`^\s*(?:Call [Tt]race|[Bb]acktrace(?: \(crc [0-9a-f]+\))?|Stack trace):`)
	frameLine = re(`^\s*(?:\[<[0-9a-f]+>\] )?(\? )?([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+`)
)

// reporters are prefixes of functions that print a report, not what it is about.
var reporters = []string{
	"dump_stack", "show_stack", "show_regs", "__warn", "report_bug", "handle_bug", "exc_", "asm_exc_", "__ubsan",
	"ubsan_", "kasan_", "__kasan", "print_report", "print_address_description", "panic", "die", "oops_",
	"page_fault_oops", "__schedule_bug", "__might_", "asm_sysvec", "sysvec_", "watchdog_", "refcount_warn", "__list_",
	"kfence_", "kcsan_", "print_", "lockdep_", "__lock_acquire", "lock_acquire",
}

// allocators are prefixes of functions that allocate for their callers; a leak is
// about the caller.
var allocators = []string{
	"kmemleak_", "kmalloc", "__kmalloc", "__do_kmalloc", "kmem_cache_alloc", "slab_post_alloc", "kzalloc", "krealloc",
	"__krealloc", "kmemdup", "kstrdup", "kvmalloc", "__kvmalloc", "vmalloc", "__vmalloc", "kvasprintf", "kasprintf",
	"pcpu_alloc", "__alloc_percpu", "__alloc_pages", "alloc_pages", "__get_free_pages", "bpf_map_kmalloc",
	"bpf_map_kzalloc", "bpf_map_kvcalloc", "bpf_map_alloc_percpu", "bpf_map_area_", "__bpf_map_area_alloc",
}

// isHelper reports whether a report of kind k is not about the function: it prints
// the report or, in a leak, allocates for its caller.
func isHelper(k Kind, name string) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return slices.ContainsFunc(reporters, begins) || k == KindKmemleak && slices.ContainsFunc(allocators, begins)
}

// Callers returns the functions on the report's stack that the kernel is sure of,
// the innermost first.
func (f *Finding) Callers() []string { return frames(f.Kind, f.Lines, maxLines) }

// frames returns the first functions of the report's first stack, at most most,
// without helpers and without those that the kernel marks as unsure ("? ").
func frames(k Kind, lines []string, most int) []string {
	var out []string
	inTrace := false
	for _, raw := range lines {
		msg := unprefix(raw).msg
		if traceLine.MatchString(msg) {
			if len(out) > 0 {
				break
			}
			inTrace = true
			continue
		}
		m := frameLine.FindStringSubmatch(msg)
		if !inTrace || m == nil || m[1] != "" {
			continue
		}
		name := normalise(m[2])
		if isHelper(k, name) {
			continue
		}
		if out = append(out, name); len(out) == most {
			break
		}
	}
	return out
}
