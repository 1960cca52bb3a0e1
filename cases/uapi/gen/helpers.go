package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// runHelpers writes zhelpers.go from kernel trees.
func runHelpers(trees []string) error {
	known, err := readSince("helpers.txt")
	if err != nil {
		return err
	}
	rows, err := collectHelpers(trees, known)
	if err != nil {
		return err
	}
	_, last, _ := strings.Cut(trees[len(trees)-1], "=")
	src, err := readTree(last)
	if err != nil {
		return err
	}
	return writeGo("zhelpers.go", renderHelpers(rows, src.header))
}

// helper is a row of the helpers' table: a helper of enum bpf_func_id, and the
// set of each release that differs from the one before.
type helper struct {
	id     uint32
	name   string
	sets   []helperSet
	args   []string
	reads  bool // lockdown closes it: LOCKDOWN_BPF_READ_KERNEL
	sleeps bool
	typed  bool // it returns a pointer to a type of the kernel's BTF
	config string
}

type helperSet struct{ since, set string }

// The functions of the kernel that say which helpers a program has, and the Go names of their sets in the order in
// which the capabilities are checked.
const (
	baseProto = "bpf_base_func_proto"
	sockProto = "bpf_sk_base_func_proto"
)

var baseSets = []string{"HelperFree", "HelperBPF", "HelperPerfmon"}

// sourceFiles are the parts of a kernel tree with those functions and with the helpers' prototypes.
var sourceFiles = []string{"kernel/bpf", "kernel/trace/bpf_trace.c", "net/core/filter.c"}

// configOf is the option that compiles a file in, of the files that not every kernel with bpf(2) has.
var configOf = map[string]string{
	"kernel/trace/bpf_trace.c": "BPF_EVENTS", "net/core/filter.c": "NET", "kernel/bpf/stackmap.c": "PERF_EVENTS",
	"kernel/bpf/bpf_cgrp_storage.c": "CGROUPS",
}

// collectHelpers merges the sets of kernel trees, oldest first. since tells which
// release between two trees changed a helper's set, by name.
func collectHelpers(trees []string, since map[string]string) ([]helper, error) {
	rows := map[string]*helper{}
	var before string
	for _, t := range trees {
		release, dir, ok := strings.Cut(t, "=")
		if !ok {
			return nil, fmt.Errorf("%q: want RELEASE=TREE", t)
		}
		src, err := readTree(dir)
		if err != nil {
			return nil, err
		}
		found, err := src.helpers()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		for _, h := range found {
			row := rows[h.name]
			if row == nil {
				rows[h.name] = &h
				h.sets[0].since = "0.0"
				if before != "" {
					if h.sets[0].since, ok = since[h.name]; !ok {
						return nil, fmt.Errorf("%s: in the sets of %s and not of %s; add it and the release to helpers.txt",
							h.name, release, before)
					}
				}
				continue
			}
			last := row.sets[len(row.sets)-1]
			h.sets = append(row.sets, h.sets...)
			if h.sets[len(h.sets)-1].set == last.set {
				h.sets = row.sets
			} else if h.sets[len(h.sets)-1].since, ok = since[h.name]; !ok {
				return nil, fmt.Errorf("%s: moved between %s and %s; add it and the release to helpers.txt",
					h.name, before, release)
			}
			*row = h
		}
		before = release
	}
	var out []helper
	for _, h := range rows {
		out = append(out, *h)
	}
	slices.SortFunc(out, func(a, b helper) int { return int(a.id) - int(b.id) })
	return out, nil
}

// sources is the text of a tree, by file name.
type sources struct {
	text   map[string]string
	header string
}

func readTree(dir string) (*sources, error) {
	s := &sources{text: map[string]string{}}
	header, err := os.ReadFile(filepath.Join(dir, "include/uapi/linux/bpf.h"))
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	s.header = string(header)
	for _, part := range sourceFiles {
		err := filepath.WalkDir(filepath.Join(dir, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".c" {
				return err
			}
			text, err := os.ReadFile(path)
			name, _ := filepath.Rel(dir, path)
			s.text[filepath.ToSlash(name)] = comments.ReplaceAllString(string(text), "")
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", part, err)
		}
	}
	return s, nil
}

// function returns the body of a function that begins in the first column.
func (s *sources) function(file, name string) (string, error) {
	m := regexp.MustCompile(`(?s)\n` + name + `\([^;{]*\)\n\{\n(.*?)\n\}\n`).FindStringSubmatch(s.text[file])
	if m == nil {
		return "", fmt.Errorf("%s has no function %s", file, name)
	}
	return m[1], nil
}

var (
	helperCase = regexp.MustCompile(`(?s)^(\w+):[ \t]*\n(.*?)(?:default:|$)`)
	protoName  = regexp.MustCompile(`(bpf_\w+?_proto)\b`)
	helperID   = regexp.MustCompile(`FN\((\w+), (\d+), ##ctx\)`)
	argType    = regexp.MustCompile(`\.arg(\d)_type\s*=\s*([^,\n]*)`)
	mightSleep = regexp.MustCompile(`\.might_sleep\s*= true`)
	helperName = regexp.MustCompile(`case BPF_FUNC_(\w+):`)
	returnsBTF = regexp.MustCompile(`\.ret_type\s*= RET_PTR_TO_BTF_ID`)
	option     = regexp.MustCompile(`^#(ifdef CONFIG_(\w+)|endif)`)
)

// helpers reads the two functions that gate helpers by a capability.
func (s *sources) helpers() ([]helper, error) {
	base, err := s.function("kernel/bpf/helpers.c", baseProto)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(base, "bpf_token_capable(")
	if len(parts) != len(baseSets) || !strings.Contains(parts[1], "CAP_BPF") ||
		!strings.Contains(parts[2], "CAP_PERFMON") {
		return nil, fmt.Errorf("%s does not ask for CAP_BPF and then CAP_PERFMON: read it, and change gen", baseProto)
	}
	sock, err := s.function("net/core/filter.c", sockProto)
	if err != nil {
		return nil, err
	}
	if strings.Count(sock, "bpf_token_capable(") != 1 || !strings.Contains(sock, "CAP_PERFMON") {
		return nil, fmt.Errorf("%s does not ask for CAP_PERFMON alone: read it, and change gen", sockProto)
	}
	var out []helper
	for i, part := range append(parts, sock) {
		set := "HelperSock"
		if i < len(baseSets) {
			set = baseSets[i]
		}
		found, err := s.cases(part, set)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// cases reads the cases of a switch over helpers.
func (s *sources) cases(text, set string) ([]helper, error) {
	config, of := "", map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if m := option.FindStringSubmatch(line); m != nil {
			config = m[2]
		}
		if m := helperName.FindStringSubmatch(line); m != nil {
			of[m[1]] = config
		}
	}
	var out []helper
	for _, part := range strings.Split(text, "case BPF_FUNC_")[1:] {
		m := helperCase.FindStringSubmatch(part)
		in := set
		if set == "HelperSock" && strings.Contains(m[2], "return &") {
			in = baseSets[0] // it is returned before the check
		}
		h := helper{name: m[1], sets: []helperSet{{set: in}}, reads: strings.Contains(m[2], "LOCKDOWN_BPF_READ_KERNEL")}
		for _, id := range helperID.FindAllStringSubmatch(s.header, -1) {
			if id[1] == h.name {
				fmt.Sscan(id[2], &h.id)
			}
		}
		if h.id == 0 {
			return nil, fmt.Errorf("the header has no helper %s", h.name)
		}
		if err := s.prototype(&h, last(protoName.FindAllString(m[2], -1))); err != nil {
			return nil, err
		}
		if of[h.name] != "" {
			h.config = of[h.name]
		}
		if h.typed && !slices.Contains(h.args, "ArgOther") { // check_helper_call, after the arguments
			h.config = strings.TrimSpace(h.config + " DEBUG_INFO_BTF")
		}
		out = append(out, h)
	}
	return out, nil
}

// last is the plain prototype where the function returns one for sleepable programs, too.
func last(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1]
}

// prototype reads a helper's struct bpf_func_proto.
func (s *sources) prototype(h *helper, name string) error {
	name = strings.Replace(name, "bpf_get_trace_", "bpf_trace_", 1) // functions that return the prototype
	name = strings.Replace(name, "bpf_get_perf_event_read_value", "bpf_perf_event_read_value", 1)
	re := regexp.MustCompile(`(?s)const struct bpf_func_proto ` + name + ` = \{(.*?)\n\};`)
	for file, text := range s.text {
		m := re.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		h.config, h.sleeps, h.typed = configOf[file], mightSleep.MatchString(m[1]), returnsBTF.MatchString(m[1])
		for _, a := range argType.FindAllStringSubmatch(m[1], -1) {
			h.args = append(h.args, kindOfArg(strings.Join(strings.Fields(a[2]), " ")))
		}
		return nil
	}
	return fmt.Errorf("helper %s: no file has its prototype %s", h.name, name)
}

// kindOfArg is the Go name of what an argument takes.
func kindOfArg(t string) string {
	switch t {
	case "ARG_PTR_TO_CTX":
		return "ArgContext"
	case "ARG_ANYTHING":
		return "ArgAnything"
	case "ARG_CONST_SIZE", "ARG_CONST_SIZE_OR_ZERO", "ARG_MEM_SIZE", "ARG_MEM_SIZE_OR_ZERO":
		return "ArgSize"
	case "ARG_PTR_TO_MEM", "ARG_PTR_TO_UNINIT_MEM", "ARG_PTR_TO_MEM | MEM_RDONLY", "ARG_PTR_TO_MEM | MEM_WRITE",
		"ARG_PTR_TO_MEM | PTR_MAYBE_NULL | MEM_RDONLY":
		return "ArgMemory"
	}
	return "ArgOther"
}

func renderHelpers(rows []helper, header string) []byte {
	var b bytes.Buffer
	b.WriteString("// Code generated by gen from the kernel's sources; DO NOT EDIT.\n\npackage uapi\n\n" +
		"// Helpers are the helpers of " + baseProto + " and " + sockProto + ".\nvar Helpers = []Helper{\n")
	for _, h := range rows {
		fmt.Fprintf(&b, "{ID: %d, Name: %q, Sets: []HelperSince{", h.id, h.name)
		for _, s := range h.sets {
			var major, minor int
			fmt.Sscanf(s.since, "%d.%d", &major, &minor)
			fmt.Fprintf(&b, "{Release{%d, %d}, %s},", major, minor, s.set)
		}
		b.WriteString("}")
		if len(h.args) > 0 {
			fmt.Fprintf(&b, ",\nArgs: []HelperArg{%s}", strings.Join(h.args, ", "))
		}
		if h.reads {
			b.WriteString(", ReadsKernel: true")
		}
		if h.sleeps {
			b.WriteString(", Sleeps: true")
		}
		if h.config != "" {
			sep := " "
			if strings.Contains(h.config, " ") && len(h.args) == 0 {
				sep = "\n" // the line would be too long
			}
			fmt.Fprintf(&b, ",%sConfig: %q", sep, h.config)
		}
		b.WriteString("},\n")
	}
	b.WriteString("}\n\n// HelperNames are all helpers of enum bpf_func_id, by number.\n" +
		"var HelperNames = []string{\n")
	for _, id := range helperID.FindAllStringSubmatch(header, -1) {
		fmt.Fprintf(&b, "%q,\n", id[1])
	}
	b.WriteString("}\n")
	return b.Bytes()
}
