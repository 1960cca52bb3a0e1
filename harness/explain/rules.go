package explain

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"tokentest/cases"
	"tokentest/cases/oracle"
	"tokentest/harness/result"
)

// Hidden are the rules whose absence no kernel can show, with the reason.
var Hidden = map[string]string{
	"btf_load/unprivileged-disabled":     "the next rule refuses the same",
	"mount/set-unprivileged":             "the next rule refuses the same",
	"link/no-parent":                     "a token has no link, which is ENOENT as well",
	"fscreate/userns-mount":              "Debian's kernels before tokens do not show their patch level",
	"fscreate/excl":                      "every kernel with tokens has the command",
	"mount_attr/idmap-no-userns":         "the next rules refuse the same",
	"prog_load/limit-used-up":            "only 6.12 before 6.12.48 and 6.16 before 6.16.8 have the check",
	"prog_load/map-root":                 "the next rule refuses the same: such a value has a lock",
	"prog_load/helper-trace":             "Debian's kernels have no CONFIG_BPF_LIRC_MODE2",
	"prog_load/limit-always-compiles":    "Debian's kernels have no CONFIG_BPF_JIT_ALWAYS_ON",
	"write_sysctl/always-compiled":       "Debian's kernels have no CONFIG_BPF_JIT_ALWAYS_ON",
	"prog_load/arena-not-compiled":       "Debian's kernels have arenas",
	"prog_load/kfunc-not-compiled":       "Debian's kernels have the function",
	"token_create/selinux-map-create-as": noPolicy,
	"token_create/selinux-prog-load-as":  noPolicy,
	"map_create/selinux-bpf":             noPolicy,
	"map_create/selinux-create":          noPolicy,
	"map_create/selinux-object":          noPolicy,
	"prog_load/selinux-bpf":              noPolicy,
	"prog_load/selinux-create":           noPolicy,
	"prog_load/selinux-object":           noPolicy,
	"call/selinux-bpf":                   noPolicy,
	"map_get_fd_by_id/selinux-object":    noPolicy,
	"prog_get_fd_by_id/selinux-object":   noPolicy,
	"get_pinned/selinux-object":          noPolicy,
	"obj_get/selinux-object":             noPolicy,
	"pidfd_getfd/selinux-object":         noPolicy,
	"token_create/no-fd":                 "the kernels that decide by it have a known defect (known_emfile), and die",
}

const noPolicy = "SELinux is active only where the kernel's command line says so (security=selinux)"

// Notice is the cases that notice that a rule is left out.
type Notice struct {
	Cases   int
	Example string // one of them, with its kernel and the reason
}

// Notices judges stored runs once more without each rule, and returns for each rule that some
// case depends on who notices. The error is the context's cause if ctx ends first.
func Notices(ctx context.Context, list []*result.Run, corpus *cases.Corpus) (map[string]*Notice, error) {
	seen := map[string]*Notice{}
	for _, r := range list {
		for _, k := range r.Kernels {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			disagree(k, corpus, seen)
		}
	}
	return seen, nil
}

// disagree counts for each rule the cases that passed and would not without it.
func disagree(k *result.KernelRun, corpus *cases.Corpus, seen map[string]*Notice) {
	if k.Facts == nil {
		return
	}
	o := result.NewOmission(k, corpus)
	for _, rule := range oracle.Rules() {
		for was, now := range o.Without(rule) {
			if now.Status == result.Pass && !forgot(was, now) {
				continue
			}
			if seen[rule] == nil {
				seen[rule] = &Notice{Example: now.ID + " on " + k.Ref + ": " + now.Reason}
			}
			seen[rule].Cases++
		}
	}
}

// forgot reports whether the oracle knew the answer of a step and, without
// the rule, does not: a pin alone then makes the case pass.
func forgot(before, after *result.CaseResult) bool {
	for i := range after.Steps {
		if after.Steps[i].Unknown != "" && before.Steps[i].Unknown == "" {
			return true
		}
	}
	return false
}

// WriteNotices writes a line for each rule of the oracle. It reports whether each is noticed, or has a reason.
func WriteNotices(to io.Writer, seen map[string]*Notice) (all bool, err error) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	rules := oracle.Rules()
	all = true
	for _, rule := range rules {
		switch n := seen[rule]; {
		case n != nil:
			fmt.Fprintf(w, "%s\t%d\t%s\n", rule, n.Cases, n.Example)
		case Hidden[rule] != "":
			fmt.Fprintf(w, "%s\t-\t%s\n", rule, Hidden[rule])
		default:
			all = false
			fmt.Fprintf(w, "%s\tNOT NOTICED\t\n", rule)
		}
	}
	fmt.Fprintf(w, "%d of %d rules noticed\n", len(seen), len(rules))
	return all, w.Flush()
}
