package report

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"tokentest/cases/step"
	"tokentest/harness/result"
)

//go:embed page/*
var pageFiles embed.FS

// pageScripts are the parts of the page's program, in order.
var pageScripts = []string{"data.js", "case.js", "grid.js", "heat.js", "list.js", "app.js"}

// HTML renders a run as one self-contained file for a browser: the causes of failures, a
// grid of kernels and groups, a heat map for each group, and every case with its world, its
// rule and its results. Verdict, failures and grid can be read without JavaScript.
func HTML(r *result.Run, w io.Writer, _ Options) error {
	return writePage(w, []*result.Run{r}, nil)
}

// pageTitle names the kernels, as far as a tab has room, and the verdict.
func pageTitle(runs []*result.Run) string {
	var names []string
	for _, r := range runs {
		for _, k := range kernels(r) {
			if !slices.Contains(names, k.name()) {
				names = append(names, k.name())
			}
		}
	}
	const most = 3
	if n := len(names) - most; n > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", n))
	}
	title := strings.Join(append([]string{pageVerdict(runs)[1]}, names...), ", ")
	for _, r := range runs {
		if r.Damaged() != "" {
			return "not a real run: " + title + " - tokentest"
		}
	}
	return title + " - tokentest"
}

// HTMLComparison renders a comparison as a page with the runs of both sides, the kernels
// of each pair side by side.
func HTMLComparison(c *result.Comparison, w io.Writer, _ Options) error {
	return writePage(w, c.Runs(), c)
}

// writePage puts the data into the page. The data is binary: the names of cases, then for
// each case on each kernel the index of its tail, which equal cases share.
func writePage(w io.Writer, runs []*result.Run, c *result.Comparison) error {
	page, err := readPage()
	if err != nil {
		return err
	}
	page = strings.Replace(page, "{{title}}", template.HTMLEscapeString(pageTitle(runs)), 1)
	head, rest, ok := strings.Cut(page, "{{summary}}")
	before, after, ok2 := strings.Cut(rest, "{{data}}")
	if !ok || !ok2 {
		return fmt.Errorf("page.html has no {{summary}} or no {{data}}")
	}
	d := newPageData(runs, c)
	out := bufio.NewWriter(w)
	out.WriteString(head)
	if err := summaryPage.Execute(out, newPageSummary(d)); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	out.WriteString(before)
	text := base64.NewEncoder(base64.StdEncoding, out)
	z := gzip.NewWriter(text)
	if err := d.write(z); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := text.Close(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	out.WriteString(after)
	return flush(out)
}

// readPage puts style and scripts into page.html.
func readPage() (string, error) {
	read := func(name string) (string, error) {
		text, err := pageFiles.ReadFile("page/" + name)
		return string(text), err
	}
	frame, err := read("page.html")
	if err != nil {
		return "", err
	}
	style, err := read("page.css")
	if err != nil {
		return "", err
	}
	var script strings.Builder
	for _, name := range pageScripts {
		text, err := read(name)
		if err != nil {
			return "", err
		}
		script.WriteString(text + "\n")
	}
	return strings.NewReplacer("{{style}}", style, "{{script}}", script.String()).Replace(frame), nil
}

// pageData is the data of a page.
type pageData struct {
	head    pageHead
	names   map[string]*pageGroup // the groups, by name
	order   []*pageGroup
	kernels []*run
	columns [][]uint32 // by kernel, the tail of each case, from 1 on; 0 for none
	tails   map[string]uint32
}

type pageGroup struct {
	name   string
	first  int
	at     map[string]int // by the rest of a case's name
	suffix []string
}

// pageHead is the part of the data that is JSON.
type pageHead struct {
	Runs    []pageRun                  `json:"runs"`
	Columns []pageColumn               `json:"columns"`
	Groups  []pageGroupHead            `json:"groups"`
	Tails   []pageTail                 `json:"tails"`
	Rules   map[string]result.RuleText `json:"rules"`
	Pairs   [][2]int                   `json:"pairs,omitempty"` // columns that are compared
	Verdict [2]string                  `json:"verdict"`         // a class of the style, and the text
	Legend  [][2]string                `json:"legend"`          // the statuses that occur, with their meaning
	// Failures are the causes of all kernels, the worst first; Wrong counts their cases in words.
	Failures []*pageFailure `json:"failures"`
	Wrong    string         `json:"wrong,omitempty"`
	Unlike   []string       `json:"unlike,omitempty"`
	Gaps     []string       `json:"gaps,omitempty"`
}

type pageRun struct {
	*result.Run
	Dir      string   `json:"dir"`
	Lacks    []string `json:"lacks,omitempty"` // why it is incomplete
	ExitCode int      `json:"exit_code"`
	Kernels  struct{} `json:"kernels,omitzero"`
	Groups   struct{} `json:"groups,omitzero"`
}

// pageColumn is one kernel of one run.
type pageColumn struct {
	*result.KernelRun
	Label  string                `json:"label"` // the name, which no other column has
	Run    int                   `json:"run"`
	Counts map[result.Status]int `json:"counts"`
	// Bad are the indices of the machines that count against the kernel, Machines says in
	// words how the machines ended, after its class.
	Bad      []int     `json:"bad,omitempty"`
	Machines [2]string `json:"machines"`
	Empty    string    `json:"undecided,omitempty"`
	Exit     int       `json:"exit_code"`
	// Command and Flags begin and end the command that repeats a case.
	Command string `json:"command"`
	Flags   string `json:"flags"`
	// Settings are the kernel's settings as text: a name and a value.
	Settings [][2]string   `json:"settings,omitempty"`
	Changes  []step.Change `json:"changes,omitempty"`
	Facts    struct{}      `json:"facts,omitzero"`
	Rules    struct{}      `json:"rules,omitzero"`
}

type pageGroupHead struct {
	Name    string `json:"name"`
	Count   int    `json:"count"`
	Outline any    `json:"outline,omitempty"`
	File    string `json:"file,omitempty"` // the user's own case file
	about   string
}

// pageTail is everything of a case except its name.
type pageTail struct {
	Status result.Status `json:"s"`
	Reason string        `json:"r,omitempty"`
	Boot   int           `json:"b"`
	Steps  []pageStep    `json:"t,omitempty"`
}

type pageStep struct {
	Got    string   `json:"g"`
	Broken bool     `json:"x,omitempty"` // the new object does not work
	Made   bool     `json:"m,omitempty"` // the new object works
	Values []string `json:"v,omitempty"`
	ID     string   `json:"i,omitempty"`
	Text   string   `json:"e,omitempty"`
	Want   string   `json:"w,omitempty"`
	Rule   string   `json:"r,omitempty"`
	Func   string   `json:"f,omitempty"`
	Pin    string   `json:"p,omitempty"`
	Wrong  bool     `json:"d,omitempty"`
	Fault  string   `json:"u,omitempty"` // as text, if the kernel is not wrong
	None   string   `json:"n,omitempty"` // why it is not judged
}

func newPageData(runs []*result.Run, c *result.Comparison) *pageData {
	d := &pageData{names: map[string]*pageGroup{}, tails: map[string]uint32{}}
	d.head.Rules = map[string]result.RuleText{}
	d.head.Columns, d.head.Groups, d.head.Tails = []pageColumn{}, []pageGroupHead{}, []pageTail{} // lists, not null
	outline, about := map[string]any{}, map[string]string{}
	files := map[string]string{}
	at := map[*result.KernelRun]int{}
	for i, r := range runs {
		d.head.Runs = append(d.head.Runs, pageRun{Run: r, Dir: r.Dir, Lacks: lackLines(r), ExitCode: r.ExitCode()})
		for j := range r.Groups {
			outline[r.Groups[j].Name], about[r.Groups[j].Name] = &r.Groups[j], r.Groups[j].About
		}
		for group, file := range r.Files {
			files[group] = file
		}
		for _, k := range kernels(r) {
			if same := d.same(r, k); same >= 0 {
				at[k.KernelRun] = same
				continue
			}
			at[k.KernelRun] = len(d.kernels)
			d.column(k, i)
		}
	}
	d.label()
	d.failures()
	d.number()
	for _, k := range d.kernels {
		d.fill(k)
	}
	for _, g := range d.order {
		d.head.Groups = append(d.head.Groups, pageGroupHead{g.name, len(g.suffix), outline[g.name], files[g.name],
			about[g.name]})
	}
	d.head.Verdict, d.head.Legend, d.head.Wrong = pageVerdict(runs), d.legend(), d.wrong()
	if c != nil {
		d.compare(c, at)
	}
	return d
}

// same returns the column of the same kernel of the same stored run, or -1.
func (d *pageData) same(r *result.Run, k *run) int {
	return slices.IndexFunc(d.kernels, func(old *run) bool {
		return r.Dir != "" && old.of != r && old.dir == r.Dir && old.Ref == k.Ref && old.of.Start.Equal(r.Start)
	})
}

// lackLines returns the reasons why a run is incomplete.
func lackLines(r *result.Run) []string {
	var out []string
	for _, line := range append(r.Gaps(), cutShort(r), r.Damaged()) {
		if line != "" {
			out = append(out, clean(line))
		}
	}
	return out
}

// column adds a kernel and the names of its cases.
func (d *pageData) column(k *run, index int) {
	col := pageColumn{KernelRun: k.KernelRun, Run: index, Counts: k.Counts(), Exit: k.verdict(), Empty: k.undecided(),
		Machines: machineWords(k), Command: program(k.of) + " run", Flags: strings.Join(k.kernelFlags(), " ")}
	for i := range k.Boots {
		if bad(&k.Boots[i]) {
			col.Bad = append(col.Bad, i)
		}
	}
	for _, s := range k.Facts.States() {
		col.Settings = append(col.Settings, [2]string{s.Name, settingText(s)})
	}
	if k.Facts != nil {
		col.Changes = k.Facts.Changes
	}
	d.kernels = append(d.kernels, k)
	d.head.Columns = append(d.head.Columns, col)
	for id, text := range k.Rules {
		d.head.Rules[id] = text
	}
	for c := range k.All() {
		name, suffix, _ := strings.Cut(c.ID, "/")
		g := d.names[name]
		if g == nil {
			g = &pageGroup{name: name, at: map[string]int{}}
			d.names[name] = g
			d.order = append(d.order, g)
		}
		if _, known := g.at[suffix]; !known {
			g.at[suffix] = len(g.suffix)
			g.suffix = append(g.suffix, suffix)
		}
	}
}

// number computes the index of each group's first case.
func (d *pageData) number() {
	n := 0
	for _, g := range d.order {
		g.first = n
		n += len(g.suffix)
	}
}

func (d *pageData) size() int {
	if len(d.order) == 0 {
		return 0
	}
	last := d.order[len(d.order)-1]
	return last.first + len(last.suffix)
}

// fill adds the tails of a kernel's cases.
func (d *pageData) fill(k *run) {
	col := make([]uint32, d.size())
	for c := range k.All() {
		name, suffix, _ := strings.Cut(c.ID, "/")
		g := d.names[name]
		col[g.first+g.at[suffix]] = d.tail(c)
	}
	d.columns = append(d.columns, col)
}

// tail returns the index of a case's tail, from 1 on.
func (d *pageData) tail(c *result.CaseResult) uint32 {
	key := tailKey(c)
	if n := d.tails[key]; n > 0 && key != "" {
		return n
	}
	t := newPageTail(c)
	own := key
	if own == "" {
		text, _ := json.Marshal(t) // strings and numbers only
		own = "\x00" + string(text)
	}
	n := d.tails[own]
	if n == 0 {
		d.head.Tails = append(d.head.Tails, t)
		n = uint32(len(d.head.Tails))
		d.tails[own] = n
	}
	return n
}

func newPageTail(c *result.CaseResult) pageTail {
	t := pageTail{Status: c.Status, Reason: clean(c.Reason), Boot: c.Boot}
	for i := range c.Steps {
		s := &c.Steps[i]
		p := pageStep{Got: s.Got.Errno.String(), ID: s.ID, Text: clean(s.Text), Rule: clean(s.Rule), Func: s.Func,
			Pin: clean(s.Pin), Wrong: s.Wrong,
			Fault: contradiction(s, got(s)), Made: s.Got.Proof == step.Works, Broken: s.Got.Proof.Fails()}
		for _, v := range s.Got.Values {
			p.Values = append(p.Values, fmt.Sprintf("%#x", v))
		}
		if s.Want != nil {
			p.Want = s.Want.String()
		} else {
			p.None = string(s.Unknown)
		}
		t.Steps = append(t.Steps, p)
	}
	return t
}

// compare finds the columns of each pair.
func (d *pageData) compare(c *result.Comparison, at map[*result.KernelRun]int) {
	d.head.Unlike, d.head.Gaps = c.Unlike, c.Gaps
	for _, p := range c.Pairs {
		if p.Base != nil && p.New != nil {
			d.head.Pairs = append(d.head.Pairs, [2]int{at[p.Base], at[p.New]})
		}
	}
}

// write writes the head, the names, and the columns, each after its length.
func (d *pageData) write(w io.Writer) error {
	head, err := json.Marshal(d.head)
	if err != nil {
		return fmt.Errorf("encode the run: %w", err)
	}
	if err := block(w, bytes.ToValidUTF8(head, []byte("?"))); err != nil {
		return err
	}
	var names bytes.Buffer
	for _, g := range d.order {
		for _, s := range g.suffix {
			names.WriteString(clean(s) + "\n")
		}
	}
	if err := block(w, names.Bytes()); err != nil {
		return err
	}
	for _, col := range d.columns {
		if err := block(w, binary.LittleEndian.AppendUint32(nil, uint32(len(col)))); err != nil {
			return err
		}
		// All low bytes, then all high ones: this compresses best.
		for shift := 0; shift < 32; shift += 8 {
			part := make([]byte, len(col))
			for i, n := range col {
				part[i] = byte(n >> shift)
			}
			if err := block(w, part); err != nil {
				return err
			}
		}
	}
	return nil
}

func block(w io.Writer, data []byte) error {
	if _, err := w.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(data)))); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}
