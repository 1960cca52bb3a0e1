package result

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tokentest/cases"
	"tokentest/cases/uapi"
)

// ListKind says what a list is for.
type ListKind string

// The kinds of lists: cases that are not run, cases that alone are run, and
// cases that are known to fail.
const (
	DenyList   ListKind = "deny"
	AllowList  ListKind = "allow"
	ExpectList ListKind = "expect"
)

// ListEntry is one line of a list.
type ListEntry struct {
	Kind    ListKind `json:"kind"`
	Pattern string   `json:"pattern"` // of case names
	Where   string   `json:"where"`   // FILE:LINE
	Reason  string   `json:"reason,omitempty"`
	Kernel  string   `json:"kernel,omitempty"` // a glob of its reference or release; "" is every one
	// Errno is what an expected failure shows.
	Errno *uapi.Errno `json:"errno,omitempty"`
	// Unmatched says that there is no case that the pattern covers.
	Unmatched bool `json:"unmatched,omitempty"`
}

// ParseList reads a list in the form of the kernel selftests' DENYLIST files: a
// pattern of names a line, then options, and behind a # the reason.
//
//	PATTERN [errno=NAME] [kernel=GLOB] [until=YYYY-MM-DD] # REASON
//
// A pattern covers what is below it up to a /. A denied or expected entry must
// say why, an expected one with which errno the case fails, and one whose day
// has passed is an error: it is to be looked at again.
func ParseList(kind ListKind, name, text string, now time.Time) ([]ListEntry, error) {
	var out []ListEntry
	for i, line := range strings.Split(text, "\n") {
		entry, reason, _ := strings.Cut(line, "#")
		words := strings.Fields(entry)
		if len(words) == 0 {
			continue
		}
		e := ListEntry{Kind: kind, Pattern: words[0], Where: fmt.Sprintf("%s:%d", name, i+1), Reason: strings.TrimSpace(reason)}
		err := e.options(words[1:], now)
		switch {
		case err != nil:
		case e.Reason == "" && kind != AllowList:
			err = fmt.Errorf("no reason: write it behind a #")
		case e.Errno == nil && kind == ExpectList:
			err = fmt.Errorf("no errno: write errno=NAME, what the case fails with")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Where, err)
		}
		out = append(out, e)
	}
	return out, nil
}

func (e *ListEntry) options(words []string, now time.Time) error {
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case key == "until":
			last, err := time.Parse(time.DateOnly, value)
			if err != nil {
				return fmt.Errorf("until=%s: want until=YYYY-MM-DD", value)
			}
			if !now.Before(last.AddDate(0, 0, 1)) {
				return fmt.Errorf("the entry %q ended on %s: see whether it is still so, and take it out or give it another date", e.Pattern, value)
			}
		case key == "errno" && e.Kind == ExpectList:
			errno, err := uapi.ParseErrno(value)
			if err != nil {
				return err
			}
			e.Errno = &errno
		case key == "kernel" && value != "" && e.Kind != AllowList:
			e.Kernel = value
		default:
			return fmt.Errorf("unknown option %q: want errno=NAME (of an expected failure), kernel=GLOB or until=YYYY-MM-DD", w)
		}
	}
	return nil
}

// covers reports whether the entry is about a case on a kernel.
func (e *ListEntry) covers(kind ListKind, k *KernelRun, id string) bool {
	return e.Kind == kind && cases.Match(e.Pattern, id) &&
		(e.Kernel == "" || globs(e.Kernel, k.Ref) || globs(e.Kernel, k.Release))
}

// globs matches a whole text, in which * of the pattern stands for anything.
func globs(pattern, text string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == text
	}
	return cases.Match(pattern, text)
}

// Denied says why a case is not to be run on a kernel, or "". Without its
// controls a case says nothing: what is denied of them is denied of it.
func Denied(list []ListEntry, k *KernelRun, c *cases.Case) string {
	if why := deniedBy(list, k, c.ID); why != "" {
		return why
	}
	for _, g := range c.Guards() {
		if why := deniedBy(list, k, g.ID); why != "" {
			return fmt.Sprintf("its control %s is %s", g.ID, why)
		}
	}
	return ""
}

func deniedBy(list []ListEntry, k *KernelRun, id string) string {
	for i := range list {
		if e := &list[i]; e.covers(DenyList, k, id) {
			return fmt.Sprintf("denied: %s (%s)", e.Reason, e.Where)
		}
	}
	return ""
}

// Expect holds a kernel's cases against what is known to fail: one that does
// so, exactly as its entry says, is xfail; one that passes fails, because the
// entry is no longer true.
func Expect(list []ListEntry, k *KernelRun) {
	if !expects(list) {
		return
	}
	for i := range k.Cases {
		if e := Expected(list, k, k.Cases[i].ID); e != nil {
			k.Cases[i].expect(e)
		}
	}
}

func expects(list []ListEntry) bool {
	return slices.ContainsFunc(list, func(e ListEntry) bool { return e.Kind == ExpectList })
}

// Expected returns the entry that says how a case fails on a kernel, or nil.
func Expected(list []ListEntry, k *KernelRun, id string) *ListEntry {
	for i := range list {
		if list[i].covers(ExpectList, k, id) {
			return &list[i]
		}
	}
	return nil
}

// File is the list that the entry stands in.
func (e *ListEntry) File() string {
	if i := strings.LastIndexByte(e.Where, ':'); i > 0 {
		return e.Where[:i]
	}
	return e.Where
}

// Flag is the flag that a list of the kind is given with.
func (k ListKind) Flag() string {
	if k == ExpectList {
		return "--expect"
	}
	return "--" + string(k) + "list"
}

func (r *CaseResult) expect(e *ListEntry) {
	switch {
	case r.Status == Pass:
		r.Status = Fail
		r.Reason = fmt.Sprintf("unexpected pass: %s says that it fails with %s (%s): take the entry out", e.Where, e.Errno, e.Reason)
	case r.Status == Fail && r.wrongErrno() == *e.Errno:
		r.Status = XFail
		r.Reason = fmt.Sprintf("%s (%s): %s", e.Reason, e.Where, r.Reason)
	case r.Status == Fail:
		r.Reason += fmt.Sprintf("; %s says that it fails with %s", e.Where, e.Errno)
	}
}

// wrongErrno is what the first wrong step showed; a case without one has no errno.
func (r *CaseResult) wrongErrno() uapi.Errno {
	for i := range r.Steps {
		if r.Steps[i].Wrong {
			return r.Steps[i].Got.Errno
		}
	}
	return ^uapi.Errno(0)
}
