package report

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"tokentest/cases/step"
	"tokentest/harness/result"
	"tokentest/harness/shell"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// field is a label and its text, about a case or a machine. Lines are wrapped between its words
// and never inside one.
type field struct {
	label   string
	words   []string
	command bool // a line for the shell: a break must be escaped
}

// textField is a field whose text may be wrapped at each space.
func textField(label, text string) field {
	return field{label: label, words: strings.Fields(clean(text))}
}

func (f *field) text() string { return strings.Join(f.words, " ") }

// clean makes text safe for one line of a terminal or a log: white space becomes a space,
// and every other unprintable character a question mark.
func clean(s string) string {
	if printable(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r), r == unicode.ReplacementChar:
			return '?'
		}
		return r
	}, s)
}

// printable reports whether clean would change nothing. Most text is ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// quote quotes a word for the shell, and for one line of a terminal or a log.
func quote(s string) string { return shell.Quote(clean(s)) }

// repeat returns the command that repeats one case on one kernel.
func (k *run) repeat(id string) field {
	if k.Repeat != "" {
		return field{"repeat", []string{k.Repeat}, true}
	}
	words := []string{program(k.of), "run"}
	group, _, inGroup := strings.Cut(id, "/")
	file, own := k.files[group]
	if own {
		words = append(words, quote(file))
	}
	if !own || inGroup {
		words = append(words, quote(id))
	}
	words = append(words, k.kernelFlags()...)
	if e := result.Expected(k.lists, k.KernelRun, id); e != nil {
		words = append(words, e.Kind.Flag()+" "+quote(e.File()))
	}
	return field{"repeat", words, true}
}

// kernelFlags are the flags that boot the same kernel in the same way.
func (k *run) kernelFlags() []string {
	flags := []string{"--kernel " + quote(k.Ref)}
	for _, arg := range k.Append {
		flags = append(flags, "--append "+quote(arg))
	}
	if k.of == nil {
		return flags
	}
	for _, arg := range k.of.Flags {
		if strings.HasPrefix(arg, "--") {
			flags = append(flags, quote(arg))
		} else { // the value of the flag before it, on the same line
			flags[len(flags)-1] += " " + quote(arg)
		}
	}
	return flags
}

// program is the name that the tool was called by when it made a run, as far as the run has it.
func program(r *result.Run) string {
	if r != nil && r.Called != "" {
		return quote(r.Called)
	}
	if r == nil || len(r.Args) == 0 || r.Args[0] == "run" {
		return "tokentest"
	}
	return quote(r.Args[0])
}

// run is a kernel's part of a run, with what its fields are derived from.
type run struct {
	*result.KernelRun
	of    *result.Run
	dir   string            // the run's directory
	files map[string]string // the user's case files, by group
	lists []result.ListEntry
}

// details returns everything known about a case that did not pass.
func (k *run) details(c *result.CaseResult) []field {
	var out []field
	if s := c.Decisive(); s != nil {
		out = stepFields(s)
		if e := result.Expected(k.lists, k.KernelRun, c.ID); e != nil && c.Cause.Kind == result.ByStep {
			out = append(out, textField("but", e.Says()))
		}
	} else if c.Status == result.Fail {
		out = append(out, textField("reason", c.Reason))
	}
	if len(c.Times) > 1 {
		out = append(out, textField("flaky", tally(c.Times)))
	}
	if c.Status == result.Broken && c.Boot >= 0 && c.Boot < len(k.Boots) {
		out = append(out, refused(k.Boots[c.Boot].Refused)...)
	}
	if b := k.machine(c); b != nil {
		out = append(out, k.console(b))
	}
	if file := k.repro(c); file != "" {
		out = append(out, textField("in C", near(file)))
	}
	again := k.repeat(c.ID)
	if len(c.Times) > 1 && k.Repeat == "" { // one repetition may not show it
		again.words = append(again.words, "--until-fail")
	}
	return append(out, again)
}

// repro is the C program of a case, "" if the run's directory has none.
func (k *run) repro(c *result.CaseResult) string {
	if k.of == nil || k.dir == "" || c.Status != result.Fail {
		return ""
	}
	file := result.ReproFile(k.dir, slices.Index(k.of.Kernels, k.KernelRun), c.ID)
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// refused lists the fixtures that the kernel refused, with errnos.
func refused(list []step.Fixture) []field {
	if len(list) == 0 {
		return nil
	}
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = fmt.Sprintf("%s %s", f.Name, f.Errno)
	}
	return []field{textField("refused", strings.Join(names, ", "))}
}

// machine returns the machine of a case if it did not end well.
func (k *run) machine(c *result.CaseResult) *result.Boot {
	if c.Status == result.Skip || c.Boot < 0 || c.Boot >= len(k.Boots) || !bad(&k.Boots[c.Boot]) {
		return nil
	}
	return &k.Boots[c.Boot]
}

// bad reports whether a machine makes its kernel fail or leaves it without a verdict.
func bad(b *result.Boot) bool {
	return b.Known == "" && (b.Fate != vm.Clean && !b.Stopped || slices.ContainsFunc(b.Findings,
		func(f splat.Finding) bool { return f.Counts() }))
}

// console is the path of a boot's kernel log.
func (k *run) console(b *result.Boot) field {
	return field{label: "console", words: []string{clean(filepath.Join(k.dir, b.Dir, "console.log"))}}
}

// stepFields describes a wrong step: what it should have shown, and which rule says so.
func stepFields(s *result.StepResult) []field {
	rule := s.Rule
	if s.ID != "" {
		rule = strings.TrimSpace(rule + " (" + s.ID + ")")
	}
	var out []field
	for _, f := range [][2]string{
		{"step", s.Text}, {"expected", want(s)}, {"got", got(s)}, {"rule", rule}, {"function", s.Func},
		{"pin", s.Pin}, {"fault", contradiction(s, got(s))}, {"fix", remedy(s)},
	} {
		if f[1] != "" {
			out = append(out, textField(f[0], f[1]))
		}
	}
	return out
}

// want names the expected result of a step.
func want(s *result.StepResult) string {
	switch {
	case s.Want == nil:
		return "an unknown answer"
	case shows(s):
		return "ok with other values"
	}
	return s.Want.String()
}

// got names the result of a step.
func got(s *result.StepResult) string {
	switch {
	case s.Got.Proof.Fails():
		return s.Got.Errno.String() + " with " + s.Got.Proof.Fault()
	case shows(s):
		return fmt.Sprintf("ok with %#x", s.Got.Values)
	case s.Wrong && s.Got.Text != "" && s.Want != nil && *s.Want == s.Got.Errno:
		return s.Got.Errno.String() + " with another text" // the rule's text shows it
	}
	return s.Got.Errno.String()
}

// mismatch describes a wrong step whose results are answers. If the errno is as expected,
// the rule's text says what differs.
func mismatch(s *result.StepResult, answers string) string {
	if shows(s) && s.Rule != "" {
		return s.Rule
	}
	if text := contradiction(s, answers); text != "" {
		return text
	}
	return fmt.Sprintf("got %s, want %s", answers, want(s))
}

// shows reports whether only the values read back can be wrong.
func shows(s *result.StepResult) bool {
	return !s.Got.Proof.Fails() && s.Want != nil && *s.Want == s.Got.Errno && len(s.Got.Values) > 0
}

// verdict is the exit code of a run with this kernel only.
func (k *run) verdict() int {
	return k.of.Verdict(k.KernelRun)
}

// untried returns why a kernel has no result, or "".
func (k *run) untried() string {
	switch {
	case k.Error != "":
		return "could not be tried: " + k.Error
	case k.Len() == 0:
		return "no case ran on it"
	}
	return ""
}

// name is the kernel's reference, or a placeholder if it has none.
func (k *run) name() string {
	return cmp.Or(strings.TrimSpace(clean(k.Ref)), "(unnamed)")
}

// tally counts the cases of each status.
func tally(n map[result.Status]int) string {
	text := fmt.Sprintf("%d pass, %d fail, %d broken, %d skip", n[result.Pass], n[result.Fail], n[result.Broken],
		n[result.Skip])
	if n[result.XFail] > 0 {
		text += fmt.Sprintf(", %d xfail", n[result.XFail])
	}
	if n[result.Interrupted] > 0 {
		text += fmt.Sprintf(", %d not run", n[result.Interrupted])
	}
	return text
}

// cutShort describes an incomplete run and what was not tried; "" for any other run.
func cutShort(r *result.Run) string {
	why := r.Incomplete()
	if n, of := r.NotTried(); why != "" && n > 0 {
		verb := "were"
		if n == 1 {
			verb = "was"
		}
		why += fmt.Sprintf(": %d of %s %s not tried", n, Count(of, "case"), verb)
	}
	return why
}

// runOf is the new side of a pair, which may have none.
func runOf(p *result.Pair) *run {
	if p.Of == nil {
		return &run{KernelRun: p.New}
	}
	return &run{p.New, p.Of, p.Of.Dir, p.Of.Files, p.Of.Lists}
}

// kernels wraps the kernels of a run.
func kernels(r *result.Run) []*run {
	var out []*run
	for _, k := range r.Kernels {
		out = append(out, &run{k, r, r.Dir, r.Files, r.Lists})
	}
	return out
}

// trouble returns everything known about a machine that did not end well.
func (k *run) trouble(b *result.Boot) []field {
	var out []field
	if b.Blame != "" {
		out = append(out, textField("blame", b.Blame))
	}
	out = append(out, findings(b.Findings)...)
	if w := b.Where; w != nil {
		parts := slices.DeleteFunc([]string{w.Host, w.Job, w.Accel}, func(s string) bool { return s == "" })
		out = append(out, textField("host", strings.Join(parts, ", ")))
	}
	out = append(out, k.console(b))
	if b.Blamed.Case != "" {
		out = append(out, k.repeat(b.Blamed.Case))
	}
	return out
}

// findings lists the reports in the kernel log, each once.
func findings(list []splat.Finding) []field {
	times := map[string]int{}
	var order []string
	for _, f := range list {
		text := fmt.Sprintf("%s: %s", f.Kind, f.Title)
		if f.Case != "" {
			text += " under " + f.Case
		}
		if f.Fingerprint != "" {
			text += " [" + f.Fingerprint + "]"
		}
		switch {
		case f.Allowed != "":
			text += " allowed: " + f.Allowed
		case f.Host != nil:
			text += " by the host: " + f.Host.String()
		}
		if times[text]++; times[text] == 1 {
			order = append(order, text)
		}
	}
	var out []field
	for _, text := range order {
		if n := times[text]; n > 1 {
			text = fmt.Sprintf("%s (%d times)", text, n)
		}
		out = append(out, textField("finding", text))
	}
	return out
}

// drift lists the enumerators that the kernel has and the oracle does not know.
func drift(k *result.KernelRun) string {
	if len(k.Drift) == 0 {
		return ""
	}
	return "unknown to this tokentest, and not tested: " + strings.Join(k.Drift, " ")
}
