package draw

import (
	"strings"
	"testing"

	"tokentest/cases/step"
)

// How an operation is drawn is what the table says: each act and each call has a
// weight, and what has none is part of another or never drawn.
func TestDrawnOperations(t *testing.T) {
	for o := step.Op(1); o < step.Ops; o++ {
		d := o.Row().Drawn
		if (d.Setup > 0) != (acts[o] != nil) {
			t.Errorf("%s: weight %d in a set-up, and an act %v", o, d.Setup, acts[o] != nil)
		}
		if (d.Cell > 0) != (calls[o] != nil) {
			t.Errorf("%s: weight %d as a cell, and a call %v", o, d.Cell, calls[o] != nil)
		}
	}
	if t.Failed() {
		return // what has no act cannot be drawn
	}
	seen := drawnOps(t, 400)
	for o := step.Op(1); o < step.Ops; o++ {
		if never := o.Row().Drawn.Never; (seen[o] > 0) != (never == "") {
			t.Errorf("%s: drawn %d times, and not at all for %q", o, seen[o], never)
		}
	}
}

// drawnOps counts the operations of the first worlds of a seed.
func drawnOps(t *testing.T, worlds uint64) map[step.Op]int {
	t.Helper()
	seen := map[step.Op]int{}
	for i := range worlds {
		d := newDrawer(3, i)
		d.draw()
		for _, line := range append(d.steps, d.values...) {
			seen[step.OpNamed(strings.Fields(line)[1])]++
		}
	}
	return seen
}

const noPolicy = "SELinux is active only where the kernel's command line says so"

const noRules = "no rule knows what a command does with a token that it has no place for"

// undrawn are arguments that are not drawn, with the reason.
var undrawn = map[string]string{
	"call token_at":        noRules,
	"call flag_at":         noRules,
	"token_create selinux": noPolicy,
	"map_create selinux":   noPolicy,
	"prog_load selinux":    noPolicy,
	"btf_load selinux":     noPolicy,
	"call selinux":         noPolicy,
	"pidfd_getfd selinux":  noPolicy,
	"get_pinned selinux":   noPolicy,
	"token_create no_fd":   "some kernels leak an inode, which a later umount(2) finds",
}

// Every argument of every operation that is drawn is drawn too.
func TestDrawnArguments(t *testing.T) {
	seen := map[string]int{}
	for i := range uint64(1500) {
		d := newDrawer(5, i)
		d.draw()
		for _, line := range append(d.steps, d.values...) {
			words := strings.Fields(line)
			for _, w := range words[2:] {
				if key, _, ok := strings.Cut(w, "="); ok {
					seen[words[1]+" "+key]++
				}
			}
		}
	}
	for o := step.Op(1); o < step.Ops; o++ {
		row := o.Row()
		if row.Drawn.Never != "" {
			continue
		}
		for i := range row.Params {
			p := &row.Params[i]
			arg := row.Name + " " + p.Name
			if p.Use == step.Positional {
				continue
			}
			if _, never := undrawn[arg]; (seen[arg] > 0) == never {
				t.Errorf("%s=: drawn %d times, and it is not to be drawn: %t", arg, seen[arg], never)
			}
		}
	}
}
