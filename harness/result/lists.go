package result

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tokentest/cases"
	"tokentest/cases/uapi"
	"tokentest/harness/glob"
	"tokentest/harness/listfile"
	"tokentest/harness/textfile"
)

// ListKind is the kind of a list.
type ListKind string

// The kinds of lists: cases that are not run, the only cases that are run, and cases that
// are known to fail.
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
	Kernel  string   `json:"kernel,omitempty"` // a glob of the kernel's reference or release; "" is any
	// Errno is the errno of an expected failure.
	Errno *uapi.Errno `json:"errno,omitempty"`
	// Unmatched says that the pattern matches no case.
	Unmatched bool `json:"unmatched,omitempty"`
}

// ParseList reads a list in the form of the kernel selftests' DENYLIST files; name is the
// file, for error messages. A line has a pattern of case names, options, and the reason:
//
//	PATTERN [errno=NAME] [kernel=GLOB] [until=YYYY-MM-DD] # REASON
//
// A pattern also matches everything below it, after a /. The reason is mandatory in deny and
// expect lists, errno in expect lists. An entry whose date has passed is an error, so that
// somebody checks it.
func ParseList(kind ListKind, name, text string, now time.Time) ([]ListEntry, error) {
	if err := textfile.Check(name, []byte(text)); err != nil {
		return nil, err
	}
	var out []ListEntry
	for line := range listfile.Parse(name, text, "#") {
		words := strings.Fields(line.Body)
		e := ListEntry{Kind: kind, Pattern: words[0], Where: line.Where, Reason: line.Reason}
		err := e.options(words[1:], now)
		switch {
		case err != nil:
		case e.Reason == "" && kind != AllowList:
			err = listfile.ErrNoReason
		case e.Errno == nil && kind == ExpectList:
			err = fmt.Errorf("no errno: add errno=NAME, with which the case fails")
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
			if err := listfile.CheckUntil(e.Pattern, value, now); err != nil {
				return err
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
			return fmt.Errorf("unknown option %q: must be errno=NAME (in an expect list), kernel=GLOB or until=YYYY-MM-DD", w)
		}
	}
	return nil
}

// covers reports whether the entry matches a case on a kernel.
func (e *ListEntry) covers(kind ListKind, k *KernelRun, id string) bool {
	return e.Kind == kind && cases.Match(e.Pattern, id) &&
		(e.Kernel == "" || glob.Match(e.Kernel, k.Ref) || glob.Match(e.Kernel, k.Release) || glob.Match(e.Kernel, k.Name()))
}

// Denied returns the result of a case that a deny list excludes on a kernel, or nil. A case
// needs its controls: an entry that excludes a control excludes the case too.
func Denied(list []ListEntry, k *KernelRun, c *cases.Case) *CaseResult {
	skip := func(e *ListEntry, control, before string) *CaseResult {
		text := fmt.Sprintf("%sdenied: %s (%s)", before, e.Reason, e.Where)
		r := NewResult(c.ID, Skip, Cause{Kind: OnDenyList, Control: control, Entry: e.Where}, text, -1)
		return &r
	}
	if e := deniedBy(list, k, c.ID); e != nil {
		return skip(e, "", "")
	}
	for _, g := range c.Guards() {
		if e := deniedBy(list, k, g.ID); e != nil {
			return skip(e, g.ID, fmt.Sprintf("its control %s is ", g.ID))
		}
	}
	return nil
}

func deniedBy(list []ListEntry, k *KernelRun, id string) *ListEntry {
	for i := range list {
		if e := &list[i]; e.covers(DenyList, k, id) {
			return e
		}
	}
	return nil
}

// Expect applies the expect lists to a kernel's cases: a case that fails exactly as its entry
// says is xfail; one that passes fails, because the entry is wrong.
func Expect(list []ListEntry, k *KernelRun) {
	if !expects(list) {
		return
	}
	for i := range k.Cases {
		if e := Expected(list, k, k.Cases[i].ID); e != nil {
			k.Cases[i].expect(e)
		}
	}
	if k.packed == nil {
		return
	}
	for i := range k.packed.body {
		c := k.packed.at(i)
		if e := Expected(list, k, c.ID); e != nil {
			c.expect(e)
			k.packed.body[i] = k.packed.keep(c, nil)
		}
	}
}

func expects(list []ListEntry) bool {
	return slices.ContainsFunc(list, func(e ListEntry) bool { return e.Kind == ExpectList })
}

// Expected returns the entry of an expect list for a case on a kernel, or nil.
func Expected(list []ListEntry, k *KernelRun, id string) *ListEntry {
	for i := range list {
		if list[i].covers(ExpectList, k, id) {
			return &list[i]
		}
	}
	return nil
}

// File returns the file of the entry's list.
func (e *ListEntry) File() string {
	if i := strings.LastIndexByte(e.Where, ':'); i > 0 {
		return e.Where[:i]
	}
	return e.Where
}

// Flag returns the command's flag for lists of the kind.
func (k ListKind) Flag() string {
	if k == ExpectList {
		return "--expect"
	}
	return "--" + string(k) + "list"
}

// Says describes an entry of an expect list.
func (e *ListEntry) Says() string {
	return fmt.Sprintf("%s says that it fails with %s", e.Where, e.Errno)
}

func (r *CaseResult) expect(e *ListEntry) {
	now := r.Cause
	now.Entry = e.Where
	switch {
	case r.Status == Pass:
		const text = "unexpected pass: %s says that it fails with %s (%s): remove the entry"
		r.end(Fail, Cause{Kind: UnexpectedOK, Entry: e.Where}, fmt.Sprintf(text, e.Where, e.Errno, e.Reason))
	case r.Status == Fail && r.wrongErrno() == *e.Errno:
		now.Kind = OnExpectList
		r.end(XFail, now, fmt.Sprintf("%s (%s): %s", e.Reason, e.Where, r.Reason))
	case r.Status == Fail:
		now.Text = r.Why()
		r.end(Fail, now, fmt.Sprintf("%s; %s", r.Reason, e.Says()))
	}
}

// wrongErrno is the errno of the first wrong step; without one it is no errno at all.
func (r *CaseResult) wrongErrno() uapi.Errno {
	for i := range r.Steps {
		if r.Steps[i].Wrong {
			return r.Steps[i].Got.Errno
		}
	}
	return ^uapi.Errno(0)
}
