package splat

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
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
	{re(`(^|[ (])(?:\.\.?/|/)\S*?/?\b((?:` + treeDirs + `)/\S+\.[chS])\b`), "${1}${2}"},
	{re(`\+0x[0-9a-f]+/0x[0-9a-f]+( \[[\w-]+\])?( \S+\.[chS]:\d+)?`), ""}, // a symboliser adds the source line
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
