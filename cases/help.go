package cases

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Language is the case language on one page, from the tables that the parser
// reads it by.
func Language() string {
	h := &help{}
	h.text("A case file is text with one statement per line. # at the beginning of a line or after " +
		"white space begins a comment. Without a do line it is a scenario, one case of several steps; with one it is a " +
		"matrix.")
	h.title("LINES")
	for _, k := range keywords {
		h.entry(k.usage, k.doc)
	}
	h.entry("STEP  # source", "anything else is a step; of a scenario's the comment is the source of its expectation")
	h.title("STEPS")
	h.entry("ACTOR OPERATION ARGUMENT... [caps=CAPS] [-> NAME] [=> ERRNO]",
		"what it makes is called NAME from there on; without => it must succeed, => ? leaves the answer "+
			"to the oracle alone, and where that does not follow the step, it is only reported")
	h.entry("caps=CAPS", "with just these effective capabilities: none, all, all-CAP_X+CAP_Y, or some of "+
		strings.Join(uapi.CapNames(), " ")+" joined by +")
	h.entry(ClosedName, "in the place of a NAME: a descriptor that is not open")
	h.title("ACTORS")
	for _, k := range actorKinds {
		h.entry(k.usage, k.doc)
	}
	for _, a := range predefined {
		h.entry(a.Name, fmt.Sprintf("always there: uid %d in the initial namespaces, capabilities %s", a.UID, a.Caps))
	}
	h.entry("uid=N", "of a userns actor the owner of its namespace, which has it as uid 0; of an actor inside another's "+
		"namespace its uid there")
	h.entry("uid=N+COUNT", "a userns actor's namespace maps COUNT ids: N is its uid 0, N+1 its uid 1, ...; "+
		"the broker writes the map, as newuidmap does")
	h.entry("map=INNER:OUTER+COUNT", fmt.Sprintf("a line of a userns actor's id map, up to %d times: COUNT ids (1 "+
		"without +COUNT) from INNER on are those from OUTER on of the namespace above; uid=N is then the creator's alone, "+
		"and the actor is uid 0", step.MostLines))
	h.entry("mounts=own|before|parent", "where a userns actor's mount namespace comes from: made in its user namespace "+
		"(the default), made before that, or none of its own; in the last two it may not mount")
	h.entry("securebits=N", "the securebits of the actor's threads: "+step.SecurebitsDoc+", and the bit above each to "+
		"lock it; a child has those of its parent. They decide what run starts, and no call of bpf(2)")
	h.entry(abiCompat, "the actor's program is one of 32 bits, which makes its calls through the kernel's entry for those")
	for _, w := range furtherNS {
		h.entry(w.name, "of a userns actor: "+w.doc)
	}
	h.title("NEEDS")
	for i := range needSpecs {
		h.entry(needSpecs[i].usage(), needSpecs[i].doc)
	}
	h.title("OPERATIONS")
	h.operations()
	h.title("ARGUMENTS OF SEVERAL OPERATIONS")
	for _, k := range h.shared() {
		h.entry(k.Name+"=", k.Doc)
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
func (h *help) shared() []step.Param {
	var out []step.Param
	for o := step.Op(1); o < step.Ops; o++ {
		for _, p := range o.Row().Params {
			n := 0
			for other := step.Op(1); other < step.Ops; other++ {
				if slices.ContainsFunc(other.Row().Params,
					func(q step.Param) bool { return q.Use != step.Positional && q.Same(p) }) {
					n++
				}
			}
			if n > 1 && !slices.ContainsFunc(out, p.Same) {
				out = append(out, p)
			}
		}
	}
	return out
}

func (h *help) operations() {
	shared := h.shared()
	for o := step.Op(1); o < step.Ops; o++ {
		row := o.Row()
		h.entry(synopsis(row), row.Doc)
		for _, p := range row.Params {
			if slices.ContainsFunc(shared, p.Same) {
				continue
			}
			name := p.Spelling()
			if p.Use == step.Positional {
				name = strings.ToUpper(p.Name)
			}
			h.entry("  "+name, p.Doc)
		}
	}
}

// synopsis is an operation with its required and optional arguments.
func synopsis(row *step.Operation) string {
	out := []string{row.Name}
	rest := ""
	for _, p := range row.Params {
		switch p.Use {
		case step.Positional:
			if p.Rest {
				rest = strings.ToUpper(p.Name) + "..."
				continue
			}
			out = append(out, strings.ToUpper(p.Name))
		case step.Required:
			out = append(out, p.Name+"=")
		}
	}
	for _, p := range row.Params {
		if p.Use == step.Optional || p.Use == step.OneOf {
			out = append(out, "["+p.Spelling()+"]")
		}
	}
	if rest != "" {
		out = append(out, rest)
	}
	if row.Makes {
		out = append(out, "[-> NAME]")
	}
	return strings.Join(out, " ")
}
