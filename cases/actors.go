package cases

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/program"
	"tokentest/cases/uapi"
)

// predefined are the actors that every file has without declaring them.
var predefined = []program.Actor{
	{Name: "root", Kind: program.Init, Parent: -1, UID: 0, Caps: uapi.AllCaps},
	{Name: "nobody", Kind: program.Init, Parent: -1, UID: 65534},
}

func isPredefined(name string) bool {
	return slices.ContainsFunc(predefined, func(a program.Actor) bool { return a.Name == name })
}

// cast resolves the actor lines, then adds the predefined ones that a step names.
func (f *File) cast() ([]program.Actor, error) {
	var out []program.Actor
	for _, l := range f.actors {
		a, err := oneActor(l, out)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", f.Path, l.line, err)
		}
		out = append(out, a)
	}
	for _, a := range predefined {
		if f.mentions(a.Name) {
			out = append(out, a)
		}
	}
	return out, nil
}

// mentions reports whether any step or axis value holds the word.
func (f *File) mentions(name string) bool {
	for _, s := range f.steps {
		if slices.Contains(s.words, name) {
			return true
		}
	}
	if f.do != nil && slices.Contains(f.do.words, name) {
		return true
	}
	return slices.ContainsFunc(f.axes, func(a axis) bool {
		return slices.ContainsFunc(a.values, func(v axisValue) bool { return slices.Contains(strings.Fields(v.text), name) })
	})
}

const defaultUID = 1000 // the kuid of an actor that names none

// oneActor reads an actor line; above are those of the lines above.
func oneActor(l actorLine, above []program.Actor) (program.Actor, error) {
	a := program.Actor{Name: l.name, Parent: -1, UID: defaultUID, Caps: uapi.AllCaps}
	words := l.words
	switch words[0] {
	case "init":
		a.Kind, a.Caps = program.Init, 0
	case "userns":
		a.Kind = program.Userns
	case "joins":
		a.Kind = program.Joins
		if len(words) < 2 {
			return a, fmt.Errorf("want joins ACTOR")
		}
		words = append([]string{"joins", "in"}, words[1:]...)
	default:
		return a, fmt.Errorf("unknown kind of actor %q: want init, userns or joins", words[0])
	}
	words = words[1:]
	if len(words) > 1 && words[0] == "in" {
		a.Parent = actorIndex(above, words[1])
		if a.Parent < 0 {
			return a, fmt.Errorf("unknown actor %q: it must be declared above", words[1])
		}
		if above[a.Parent].Kind == program.Init {
			return a, fmt.Errorf("actor %s is not in a user namespace of its own", words[1])
		}
		a.UID = above[a.Parent].UID
		words = words[2:]
	}
	return a, actorOptions(&a, words)
}

func actorOptions(a *program.Actor, words []string) error {
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		var err error
		switch k {
		case "uid":
			var n uint64
			n, err = parseNum(v)
			a.UID = uint32(n)
			if a.Parent >= 0 {
				err = fmt.Errorf("an actor inside another's namespace has its uid")
			}
		case "caps":
			a.Caps, err = uapi.ParseCaps(v)
		default:
			err = fmt.Errorf("unknown option %q of an actor: want uid= or caps=", w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func actorIndex(all []program.Actor, name string) int {
	return slices.IndexFunc(all, func(a program.Actor) bool { return a.Name == name })
}
