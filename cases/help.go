package cases

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/uapi"
)

// Language is the case language on one page, from the tables that the parser
// reads it by.
func Language() string {
	h := &help{}
	h.text("A case file is text, a line a statement; # begins a comment at the beginning of a line and behind white space. Without a do line it is a scenario, one case of several steps; with one it is a matrix.")
	h.title("LINES")
	for _, k := range keywords {
		h.entry(k.usage, k.doc)
	}
	h.entry("STEP  # source", "anything else is a step; of a scenario's the comment is the source of its expectation")
	h.title("STEPS")
	h.entry("ACTOR OPERATION ARGUMENT... [caps=CAPS] [-> NAME] [=> ERRNO]", "what it makes is called NAME from there on; without => it must succeed, => ? leaves the answer to the oracle alone")
	h.entry("caps=CAPS", "with just these effective capabilities: none, all, all-CAP_X+CAP_Y, or some of "+strings.Join(uapi.CapNames(), " ")+" joined by +")
	h.entry(closedName, "in the place of a NAME: a descriptor that is not open")
	h.title("ACTORS")
	for _, k := range actorKinds {
		h.entry(k.usage, k.doc)
	}
	for _, a := range predefined {
		h.entry(a.Name, fmt.Sprintf("always there: uid %d in the initial namespaces, capabilities %s", a.UID, a.Caps))
	}
	h.title("NEEDS")
	for i := range needSpecs {
		h.entry(needSpecs[i].usage(), needSpecs[i].doc)
	}
	h.title("OPERATIONS")
	h.operations()
	h.title("ARGUMENTS OF SEVERAL OPERATIONS")
	for _, k := range h.shared() {
		h.entry(k.name+"=", k.doc)
	}
	return h.String()
}

// help writes lines of at most helpWidth columns.
type help struct{ strings.Builder }

const (
	helpWidth  = 100
	helpMargin = 26
)

func (h *help) title(s string) { fmt.Fprintf(h, "\n%s\n", s) }

func (h *help) text(s string) { h.wrap(0, 0, s) }

// entry writes a word and what it means, side by side where there is room.
func (h *help) entry(word, doc string) {
	if len(word)+2 >= helpMargin {
		h.WriteString("  ")
		h.wrap(2, 6, word)
		word = ""
	}
	fmt.Fprintf(h, "%-*s", helpMargin, "  "+word)
	h.wrap(helpMargin, helpMargin, doc)
}

// wrap breaks text to a margin; col is where the line stands.
func (h *help) wrap(col, margin int, text string) {
	for i, w := range strings.Fields(text) {
		switch {
		case i == 0:
		case col+1+len(w) > helpWidth:
			fmt.Fprintf(h, "\n%*s", margin, "")
			col = margin
		default:
			h.WriteByte(' ')
			col++
		}
		h.WriteString(w)
		col += len(w)
	}
	h.WriteByte('\n')
}

// shared are the arguments that several operations have and mean the same by.
func (h *help) shared() []keySpec {
	var out []keySpec
	for i := range ops {
		for _, k := range ops[i].keys {
			n := 0
			for j := range ops {
				if slices.Contains(ops[j].keys, k) && !slices.Contains(ops[j].positional, k.key) {
					n++
				}
			}
			if n > 1 && !slices.Contains(out, k) {
				out = append(out, k)
			}
		}
	}
	return out
}

func (h *help) operations() {
	shared := h.shared()
	for i := range ops {
		o := &ops[i]
		h.entry(o.synopsis(), o.doc)
		for _, k := range o.keys {
			if slices.Contains(shared, k) {
				continue
			}
			name := k.name + "="
			if slices.Contains(o.positional, k.key) {
				name = strings.ToUpper(k.name)
			}
			h.entry("  "+name, k.doc)
		}
	}
}

// synopsis is an operation with the arguments that it wants or takes.
func (o *opSpec) synopsis() string {
	out := []string{o.op.String()}
	for _, k := range o.keys {
		switch {
		case slices.Contains(o.positional, k.key):
			out = append(out, strings.ToUpper(k.name))
		case slices.Contains(o.required, k.key):
			out = append(out, k.name+"=")
		}
	}
	for _, k := range o.keys {
		if !slices.Contains(o.positional, k.key) && !slices.Contains(o.required, k.key) {
			out = append(out, "["+k.name+"=]")
		}
	}
	if o.makes {
		out = append(out, "[-> NAME]")
	}
	return strings.Join(out, " ")
}
