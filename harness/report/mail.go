package report

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"tokentest/harness/result"
)

// mailWidth is where plain-text mail on kernel lists is wrapped.
const mailWidth = 72

// Mail renders a run as plain text for kernel mailing lists: a subject, the tested kernels,
// the smallest example of each cause, the commands that reproduce it, and the totals.
func Mail(r *result.Run, w io.Writer, o Options) error {
	p := &pretty{textWriter{bufio.NewWriter(w), mailWidth, false}}
	list := kernels(r)
	slices.SortStableFunc(list, func(a, b *run) int { return a.badness() - b.badness() })
	p.subject(mailSubject(r, list), o.To)
	for _, k := range list {
		p.mailKernel(r, k)
	}
	p.accelerators(r)
	p.whole(r)
	p.signature(r)
	return flush(p.w)
}

// subject is one line of any length, because mail programs fold it. The receivers stand below it.
func (p *pretty) subject(text string, to []string) {
	if !strings.HasPrefix(text, "[") {
		text = "[tokentest] " + text
	}
	fmt.Fprintf(p.w, "Subject: %s\n", clean(text))
	if len(to) > 0 {
		fmt.Fprintf(p.w, "To: %s\n", clean(strings.Join(to, ", ")))
	}
	p.blank()
}

// inFunction is the function that a finding's title names.
var inFunction = regexp.MustCompile(`\bin (\w+)`)

// sourceFile is a file of the kernel's sources in a finding's title.
var sourceFile = regexp.MustCompile(`[\w/-]+/[\w-]+\.[ch]\b`)

// Places are the kernel's functions, and the files of its sources, that decide what a run found wrong.
func Places(k *result.KernelRun) []string {
	var out []string
	for i := range k.Boots {
		if !bad(&k.Boots[i]) || infrastructure(k.Boots[i].Fate) {
			continue
		}
		for _, f := range k.Boots[i].Findings {
			out = append(out, sourceFile.FindAllString(f.Title, -1)...)
			for _, m := range inFunction.FindAllStringSubmatch(f.Title, -1) {
				out = append(out, m[1])
			}
		}
	}
	for _, c := range byCause(k.Those(result.Fail)) {
		if s := c.example.Decisive(); s != nil && s.Func != "" {
			out = append(out, s.Func)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// bug is the subject for the only kernel of a run if it differs from the rules, as lists of the kernel want it: what is
// wrong, and where. "" if it does not differ.
func (k *run) bug() string {
	if k.verdict() != result.ExitDiffers || k.of != nil && k.of.Lies() != "" {
		return ""
	}
	for i := range k.Boots {
		for _, f := range k.Boots[i].Findings {
			if bad(&k.Boots[i]) && !infrastructure(k.Boots[i].Fate) {
				return fmt.Sprintf("[BUG] %s (Linux %s)", f.Title, k.Release)
			}
		}
	}
	for _, c := range byCause(k.Those(result.Fail)) {
		if s := c.example.Decisive(); s != nil && s.Func != "" {
			_, what, _ := strings.Cut(headline(c), ": ")
			return fmt.Sprintf("[BUG] bpf: %s: %s (Linux %s)", s.Func, what, k.Release)
		}
	}
	return ""
}

func mailSubject(r *result.Run, list []*run) string {
	if len(list) == 1 {
		if bug := list[0].bug(); bug != "" {
			return cut(bug, 200)
		}
	}
	var parts []string
	for _, k := range list {
		n := k.Counts()
		switch {
		case k.untried() != "":
			parts = append(parts, k.name()+": not tried")
		case k.verdict() == result.ExitDiffers:
			parts = append(parts, fmt.Sprintf("%s: %d failed", k.name(), n[result.Fail]-k.faults()+health(k)))
		case k.verdict() == result.ExitUsage:
			parts = append(parts, k.name()+": an expectation is wrong")
		case k.verdict() == result.ExitNoVerdict:
			parts = append(parts, k.name()+": no verdict")
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("%s: %s", verdictWord(r.ExitCode()), Count(len(list), "kernel"))
	}
	return cut(strings.Join(parts, "; "), 200)
}

// health counts the machines that count against the kernel.
func health(k *run) int {
	n := 0
	for i := range k.Boots {
		if bad(&k.Boots[i]) && !infrastructure(k.Boots[i].Fate) {
			n++
		}
	}
	return n
}

// tree describes the tested kernels, with the labels of kernel test robots.
func (p *pretty) tree(k *result.KernelRun) {
	for _, f := range [][2]string{
		{"kernel", k.Ref}, {"release", k.Release}, {"source", k.Source}, {"commit", k.Commit},
		{"config", digestText(k.ConfigDigest, "in the run's directory")},
		{"compiler", k.Compiler}, {"image", digestText(k.Digest, "")}, {"machine", k.AccelName}, {"note", k.Note},
		{"drift", drift(k)},
	} {
		if f[1] == "" {
			continue
		}
		lead := f[0] + ":"
		p.para(lead+strings.Repeat(" ", 11-len(lead)), plain, 11, strings.Fields(clean(f[1])), "")
	}
}

func digestText(digest, where string) string {
	if digest == "" {
		return ""
	}
	return strings.TrimSpace("sha256 " + digest + " " + where)
}

func (p *pretty) mailKernel(r *result.Run, k *run) {
	p.tree(k.KernelRun)
	if why := k.untried(); why != "" {
		p.head("\nNOT TRIED", plain, why)
		p.blank()
		return
	}
	p.causes(k, result.Fail, "FAIL", plain)
	p.causes(k, result.Broken, "BROKEN", plain)
	for i := range k.Boots {
		if bad(&k.Boots[i]) {
			p.machine(k, i)
			p.log(&k.Boots[i])
		}
	}
	if !k.hasTrouble() {
		p.blank()
	}
	p.skips(k)
	p.expected(k)
	p.unjudged(k)
	if k.hasTrouble() {
		p.blank()
	}
	words := append(strings.Fields(tally(k.Counts())), times(k)...)
	p.para(words[0]+" ", plain, 2, words[1:], "")
	if why := k.undecided(); why != "" {
		p.head("NO VERDICT", plain, why)
	}
	p.reproduce(r, k)
	p.blank()
	p.program(k)
}

// shortProgram is how many lines of C a mail carries.
const shortProgram = 200

// program writes the C program of the first cause that has a short one.
func (p *pretty) program(k *run) {
	for _, cause := range byCause(k.Those(result.Fail)) {
		file := k.repro(cause.example)
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil || bytes.Count(text, []byte("\n")) > shortProgram {
			continue
		}
		p.head("To repeat it without tokentest:", plain, "cc -Wall repro.c && ./a.out, as root")
		p.blank()
		for line := range strings.Lines(string(text)) {
			fmt.Fprintln(p.w, strings.TrimSuffix(line, "\n"))
		}
		p.blank()
		return
	}
}

// log quotes the stored lines of the kernel log, because a mailing list needs them. It does
// not wrap them.
func (p *pretty) log(b *result.Boot) {
	const most = 60
	for _, f := range b.Findings {
		if len(f.Lines) == 0 {
			continue
		}
		p.blank()
		for _, line := range f.Lines[:min(most, len(f.Lines))] {
			fmt.Fprintf(p.w, "  %s\n", clean(line))
		}
		if n := len(f.Lines) - most; n > 0 {
			fmt.Fprintf(p.w, "  [%s more in console.log]\n", Count(n, "line"))
		}
	}
}

// reproduce writes the steps that repeat the run on this kernel only.
func (p *pretty) reproduce(r *result.Run, k *run) {
	p.blank()
	p.head("To repeat:", plain, "")
	words := append([]string{program(k.of), "run"}, k.kernelFlags()...)
	for _, s := range r.Selection {
		words = append(words, quote(s))
	}
	words = append(words, listFlags(r.Lists)...)
	p.para("  ", plain, 4, words, ` \`)
}

// listFlags returns the flags for a run's lists, each once.
func listFlags(list []result.ListEntry) []string {
	var out []string
	for i := range list {
		if flag := list[i].Kind.Flag() + " " + quote(list[i].File()); !slices.Contains(out, flag) {
			out = append(out, flag)
		}
	}
	return out
}

// signature names the program and the time.
func (p *pretty) signature(r *result.Run) {
	fmt.Fprintf(p.w, "-- \ntokentest %s", clean(r.Tool))
	if !r.Start.IsZero() {
		fmt.Fprintf(p.w, ", %s", r.Start.Format("2006-01-02 15:04 UTC"))
	}
	p.blank()
}

// MailComparison renders a comparison as mail: what changed, and how to repeat it.
func MailComparison(c *result.Comparison, w io.Writer, _ Options) error {
	p := &pretty{textWriter{bufio.NewWriter(w), mailWidth, false}}
	n := c.Counts()
	subject := "nothing changed"
	if t := changeTally(n); t != "" {
		subject = t
	}
	for _, pair := range c.Pairs {
		if len(pair.Findings) > 0 {
			subject = "new: " + pair.Findings[0].Title + "; " + subject
			break
		}
	}
	p.subject(subject+" ("+c.New+")", nil)
	p.head("What changed", plain, "from "+c.Base+" to "+c.New+":")
	for _, u := range c.Unlike {
		p.head("note:", plain, u)
	}
	p.gaps(c)
	for _, pair := range c.Pairs {
		p.blank()
		if pair.New != nil {
			p.tree(pair.New)
			p.blank()
		}
		p.pair(pair)
	}
	return flush(p.w)
}

// changeTally counts the cases of each class of change.
func changeTally(n map[result.Class]int) string {
	var out []string
	for _, c := range result.Classes() {
		if n[c] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[c], c))
		}
	}
	return strings.Join(out, ", ")
}
