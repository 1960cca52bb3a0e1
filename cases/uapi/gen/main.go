// Gen writes the kernel's enumerators as Go constants and tables, and the offsets
// of the members of union bpf_attr. It runs at development time only; start with
// "make generate", which calls it.
//
// Usage: gen -since since.txt -o zenums.go -layout zlayout.go [-btf RELEASE=vmlinuz] RELEASE=bpf.h...
//
// The headers (include/uapi/linux/bpf.h of each release, oldest first) give every
// name and number. since.txt names the release that added each enumerator that the
// oldest header does not have. gen refuses an enumerator without an entry, because
// the releases between two headers are unknown to it, and an entry that a header
// contradicts. The layout is that of the last header: kernels only ever add members. With -btf, gen also writes
// testdata/layout.txt, the layout in the BTF of a packaged kernel of that release.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

type enumerator struct {
	name  string
	value uint64
	since string
	alias bool
}

type enumSpec struct{ tag, goType, prefix, varName, doc string }

var enums = []enumSpec{
	{"bpf_cmd", "Cmd", "BPF_", "Cmds", "Cmds are the commands of bpf(2), enum bpf_cmd, the bits of delegate_cmds."},
	{"bpf_map_type", "MapType", "BPF_MAP_TYPE_", "MapTypes",
		"MapTypes are the map types, enum bpf_map_type, the bits of delegate_maps."},
	{"bpf_prog_type", "ProgType", "BPF_PROG_TYPE_", "ProgTypes",
		"ProgTypes are the program types, enum bpf_prog_type, the bits of delegate_progs."},
	{"bpf_attach_type", "AttachType", "BPF_", "AttachTypes",
		"AttachTypes are the attach types, enum bpf_attach_type, the bits of delegate_attachs."},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	fs := flag.NewFlagSet("gen", flag.ContinueOnError)
	since := fs.String("since", "since.txt", "releases that lie between two headers")
	out := fs.String("o", "zenums.go", "file to write")
	layout := fs.String("layout", "zlayout.go", "file to write the members of structures to")
	helpers := fs.String("helpers", "", "RELEASE=TREE,...: write zhelpers.go from these sources alone")
	image := fs.String("btf", "", "RELEASE=FILE: a packaged kernel whose BTF to write to testdata/layout.txt")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *helpers != "" {
		return runHelpers(strings.Split(*helpers, ","))
	}
	if release, file, ok := strings.Cut(*image, "="); ok {
		text, err := renderBTF(file, release)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join("testdata", "layout.txt"), text, 0o644); err != nil {
			return err
		}
	}
	known, err := readSince(*since)
	if err != nil {
		return err
	}
	var all [][]enumerator
	for _, spec := range enums {
		members, err := collect(spec.tag, fs.Args(), known)
		if err != nil {
			return err
		}
		all = append(all, members)
	}
	if err := writeGo(*out, render(all)); err != nil {
		return err
	}
	release, header, _ := strings.Cut(fs.Arg(fs.NArg()-1), "=") // collect read it
	text, err := os.ReadFile(header)
	if err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	src, err := renderLayouts(string(text), release)
	if err != nil {
		return fmt.Errorf("%s: %w", header, err)
	}
	return writeGo(*layout, src)
}

func writeGo(name string, src []byte) error {
	src, err := format.Source(src)
	if err != nil {
		return fmt.Errorf("format %s: %w", name, err)
	}
	return os.WriteFile(name, src, 0o644)
}

func readSince(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	known := map[string]string{}
	for n, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch len(f) {
		case 0:
		case 2:
			known[f[0]] = f[1]
		default:
			return nil, fmt.Errorf("%s:%d: want NAME RELEASE", path, n+1)
		}
	}
	return known, nil
}

// collect merges one enumeration over the headers, oldest first.
func collect(tag string, headers []string, known map[string]string) ([]enumerator, error) {
	var members []enumerator
	first := map[string]bool{}
	before := "" // the newest header that lacks the name
	for _, h := range headers {
		release, path, ok := strings.Cut(h, "=")
		if !ok {
			return nil, fmt.Errorf("%q: want RELEASE=HEADER", h)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read header: %w", err)
		}
		found, err := parseEnum(string(text), tag)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		members = members[:0:0]
		for _, e := range found {
			if !first[e.name] {
				first[e.name] = true
				s, ok := known[e.name]
				switch {
				case !ok && before == "":
					known[e.name] = release
				case !ok:
					return nil, fmt.Errorf(
						"%s: in the header of %s and not of %s; add the release that added it to since.txt",
						e.name,
						release,
						before,
					)
				case before != "" && !less(before, s) || less(release, s):
					return nil, fmt.Errorf(
						"since %s: %s is in the header of %s and not of %q",
						s,
						e.name,
						release,
						before,
					)
				}
			}
			e.since = known[e.name]
			members = append(members, e)
		}
		before = release
	}
	return members, nil
}

func less(a, b string) bool {
	var a1, a2, b1, b2 int
	fmt.Sscanf(a, "%d.%d", &a1, &a2)
	fmt.Sscanf(b, "%d.%d", &b1, &b2)
	return a1 < b1 || a1 == b1 && a2 < b2
}

var (
	comments = regexp.MustCompile(`(?s)/\*.*?\*/`)
	member   = regexp.MustCompile(`^(\w+)\s*(?:=\s*(.+))?$`)
)

// parseEnum reads one C enumeration; an initialiser is a number, an earlier
// enumerator, or a shift of one.
func parseEnum(text, tag string) ([]enumerator, error) {
	m := regexp.MustCompile(`(?s)\nenum ` + tag + ` \{(.*?)\n\};`).FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("no enum %s", tag)
	}
	values := map[string]uint64{}
	var out []enumerator
	next := uint64(0)
	for _, item := range strings.Split(comments.ReplaceAllString(m[1], ""), ",") {
		f := member.FindStringSubmatch(strings.TrimSpace(item))
		if f == nil {
			if strings.TrimSpace(item) == "" {
				continue
			}
			return nil, fmt.Errorf("enum %s: read %q", tag, item)
		}
		e := enumerator{name: f[1], value: next}
		if f[2] != "" {
			v, alias, err := initialiser(f[2], values)
			if err != nil {
				return nil, fmt.Errorf("enum %s: %s: %w", tag, e.name, err)
			}
			e.value, e.alias = v, alias
		}
		values[e.name] = e.value
		if !e.alias {
			next = e.value + 1
		}
		if !strings.HasPrefix(e.name, "__MAX") {
			out = append(out, e)
		}
	}
	return out, nil
}

func initialiser(s string, values map[string]uint64) (v uint64, alias bool, err error) {
	if v, ok := values[s]; ok {
		return v, true, nil
	}
	if n, ok := strings.CutPrefix(s, "1 << "); ok {
		shift, err := strconv.ParseUint(n, 0, 6)
		return 1 << shift, false, err
	}
	v, err = strconv.ParseUint(s, 0, 64)
	return v, false, err
}

func render(all [][]enumerator) []byte {
	var b bytes.Buffer
	b.WriteString("// Code generated by gen from include/uapi/linux/bpf.h; DO NOT EDIT.\n\npackage uapi\n")
	for i, spec := range enums {
		fmt.Fprintf(&b, "\n// enum %s\nconst (\n", spec.tag)
		for _, e := range all[i] {
			fmt.Fprintf(&b, "%s %s = %d\n", e.name, spec.goType, e.value)
		}
		fmt.Fprintf(&b, ")\n\n// %s\nvar %s = Enum{Tag: %q, Prefix: %q, Members: []Member{\n", spec.doc, spec.varName,
			spec.tag, spec.prefix)
		for _, e := range all[i] {
			var major, minor int
			fmt.Sscanf(e.since, "%d.%d", &major, &minor)
			fmt.Fprintf(&b, "{%d, %q, Release{%d, %d}, %v},\n", e.value,
				strings.ToLower(strings.TrimPrefix(e.name, spec.prefix)), major, minor, e.alias)
		}
		b.WriteString("}}\n")
	}
	return b.Bytes()
}
