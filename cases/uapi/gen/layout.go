package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// field is a named member of a structure: of one inside it that has a name of its own, "OUTER.INNER".
type field struct {
	name      string
	off, size int
}

// aggregate is a structure or union of the header.
type aggregate struct {
	fields      []field
	size, align int
	bits        int // used by the bit fields before; 0 after another member
}

var layouts = []struct{ tag, prefix, doc string }{
	{"union bpf_attr", "Attr", "the argument of bpf(2)"},
	{"struct bpf_map_info", "MapInfo", "what BPF_OBJ_GET_INFO_BY_FD says of a map"},
	{"struct bpf_prog_info", "ProgInfo", "of a program"},
	{"struct bpf_btf_info", "BTFInfo", "of a BTF"},
	{"struct bpf_link_info", "LinkInfo", "of a link"},
	{"struct bpf_token_info", "TokenInfo", "of a token"},
	{"struct __sk_buff", "SkBuff", "the context of a socket filter"},
}

// scalars are the sizes of the types of members, on every 64-bit architecture.
var scalars = map[string]int{
	"__u8": 1, "char": 1, "__u16": 2, "__be16": 2, "__u32": 4, "__s32": 4, "__be32": 4, "int": 4,
	"__u64": 8, "__s64": 8, "__aligned_u64": 8,
}

// lengths are the named lengths of arrays.
var lengths = map[string]int{"BPF_OBJ_NAME_LEN": 16, "BPF_TAG_SIZE": 8}

var (
	plain    = regexp.MustCompile(`^(\w+)\s+(\w+)(?:\[(\w+)\])?$`)
	bitfield = regexp.MustCompile(`^(\w+)\s*(\w*)\s*:\s*(\d+)$`)
	pointer  = regexp.MustCompile(`^__bpf_md_ptr\(.*,\s*(\w+)\)$`)
	enumType = regexp.MustCompile(`^enum\s+\w+\s+(\w+)$`)
	opens    = regexp.MustCompile(`^(struct|union)(?:\s+\w+)?\s*$`)
	attrs    = regexp.MustCompile(`__attribute__\(\(aligned\((\d+)\)\)\)`)
)

// parseLayout lays out one structure or union of a header as a compiler does.
func parseLayout(text, tag string) (*aggregate, error) {
	text = comments.ReplaceAllString(text, "")
	at := strings.Index(text, "\n"+tag+" {")
	if at < 0 {
		return nil, fmt.Errorf("no %s", tag)
	}
	l := &layouter{rest: text[at+len(tag)+3:]}
	out, err := l.body(strings.HasPrefix(tag, "union"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tag, err)
	}
	return out, nil
}

// layouter reads members up to the brace that closes what they belong to.
type layouter struct{ rest string }

// next takes the text up to a ;, { or }, and which of them it was.
func (l *layouter) next() (text string, end byte, err error) {
	i := strings.IndexAny(l.rest, ";{}")
	if i < 0 {
		return "", 0, fmt.Errorf("no end after %q", l.rest)
	}
	text, end, l.rest = strings.TrimSpace(l.rest[:i]), l.rest[i], l.rest[i+1:]
	return text, end, nil
}

func (l *layouter) body(union bool) (*aggregate, error) {
	out := &aggregate{align: 1}
	for {
		text, end, err := l.next()
		if err != nil {
			return nil, err
		}
		switch {
		case end == '}':
			out.size = roundUp(out.size, out.align)
			return out, nil
		case end == '{':
			if err = l.inner(out, text, union); err != nil {
				return nil, err
			}
		case text != "":
			if err = out.member(text, union); err != nil {
				return nil, err
			}
		}
	}
}

// inner reads a structure inside, with its name if it has one.
func (l *layouter) inner(out *aggregate, head string, union bool) error {
	m := opens.FindStringSubmatch(head)
	if m == nil {
		return fmt.Errorf("read %q", head)
	}
	in, err := l.body(m[1] == "union")
	if err != nil {
		return err
	}
	tail, _, err := l.next()
	if err != nil {
		return err
	}
	if a := attrs.FindStringSubmatch(tail); a != nil {
		n, _ := strconv.Atoi(a[1]) // it is digits
		in.align = max(in.align, n)
		in.size = roundUp(in.size, in.align)
		tail = strings.TrimSpace(attrs.ReplaceAllString(tail, ""))
	}
	at := out.place(in.size, in.align, union)
	for _, f := range in.fields {
		name := f.name
		if tail != "" {
			name = tail + "." + name
		}
		out.fields = append(out.fields, field{name, at + f.off, f.size})
	}
	return nil
}

// place makes room for a member and returns where it is.
func (a *aggregate) place(size, align int, union bool) int {
	a.align, a.bits = max(a.align, align), 0
	if union {
		a.size = max(a.size, size)
		return 0
	}
	at := roundUp(a.size, align)
	a.size = at + size
	return at
}

// bitField adds a bit field after the last member, inside one word of its type.
func (a *aggregate) bitField(size, width int, named bool) {
	at, word := a.bits, 8*size
	if at == 0 {
		at = 8 * a.size
	}
	if at/word != (at+width-1)/word {
		at = roundUp(at, word)
	}
	a.bits = at + width
	a.size = max(a.size, roundUp(a.bits, 8)/8)
	if named {
		a.align = max(a.align, size)
	}
}

// member reads a scalar, an array or a bit field.
func (a *aggregate) member(text string, union bool) error {
	name, size, n := "", 0, 1
	if m := bitfield.FindStringSubmatch(text); m != nil && scalars[m[1]] != 0 {
		width, _ := strconv.Atoi(m[3]) // it is digits
		a.bitField(scalars[m[1]], width, m[2] != "")
		return nil
	}
	if m := pointer.FindStringSubmatch(text); m != nil {
		name, size = m[1], 8
	} else if m := enumType.FindStringSubmatch(text); m != nil {
		name, size = m[1], 4
	} else if m := plain.FindStringSubmatch(text); m != nil {
		name, size = m[2], scalars[m[1]]
		var err error
		if n, err = length(m[3]); err != nil {
			return fmt.Errorf("read %q: %w", text, err)
		}
	}
	if size == 0 {
		return fmt.Errorf("read %q: unknown type", text)
	}
	a.fields = append(a.fields, field{name, a.place(n*size, size, union), n * size})
	return nil
}

// length reads the length of an array; "" is no array.
func length(s string) (int, error) {
	if s == "" {
		return 1, nil
	}
	if n := lengths[s]; n != 0 {
		return n, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("unknown length %s", s)
	}
	return n, nil
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// renderLayouts writes the structures of a header as Go.
func renderLayouts(text, release string) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by gen from include/uapi/linux/bpf.h of %s; DO NOT EDIT.\n\n"+
		"package uapi\n", release)
	for _, s := range layouts {
		a, err := parseLayout(text, s.tag)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "\n// %sSize is sizeof(%s), %s.\nconst %sSize = %d\n", s.prefix, s.tag, s.doc, s.prefix, a.size)
		fmt.Fprintf(&b, "\n// The members of %s.\nvar (\n", s.tag)
		for _, f := range a.fields {
			fmt.Fprintf(&b, "%s_%s = Field{%d, %d}\n", s.prefix, strings.ReplaceAll(f.name, ".", "_"), f.off, f.size)
		}
		b.WriteString(")\n")
	}
	return b.Bytes(), nil
}
