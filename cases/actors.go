package cases

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// predefined are the actors that every file has without declaring them.
var predefined = []step.Actor{
	{Name: "root", Kind: step.Init, Parent: -1, UID: 0, Caps: uapi.AllCaps},
	{Name: "nobody", Kind: step.Init, Parent: -1, UID: 65534},
}

// IsPredefined reports whether every file has an actor of the name without declaring it.
func IsPredefined(name string) bool {
	return slices.ContainsFunc(predefined, func(a step.Actor) bool { return a.Name == name })
}

// cast resolves the actor lines, then adds the predefined ones that a step names.
func (f *File) cast() ([]step.Actor, error) {
	var out []step.Actor
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

// mentions reports whether any step or axis value contains the word.
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
		return slices.ContainsFunc(
			a.values,
			func(v axisValue) bool { return slices.Contains(strings.Fields(v.text), name) },
		)
	})
}

// actorKind is a word of an actor line: the namespaces in which the actor's process runs.
type actorKind struct {
	name, usage, doc string
	kind             step.ActorKind
	of               bool // the next word is another actor
}

var actorKinds = []actorKind{
	{"userns", "userns [in OTHER]",
		"in a user and mount namespace of its own, of which uid= is the owner; below OTHER's with in", step.Userns, false},
	{"joins", "joins OTHER", "another process in OTHER's namespaces", step.Joins, true},
	{"child", "child OTHER", "like joins, but the process starts at the step OTHER fork NAME", step.Child, true},
	{"init", "init", "in the initial namespaces, as uid=, without capabilities unless caps= says so", step.Init, false},
}

func actorKindNames() []string {
	var out []string
	for _, k := range actorKinds {
		out = append(out, k.name)
	}
	return out
}

const defaultUID = 1000 // the kuid of an actor without uid=

// oneActor reads an actor line; above are those of the lines above.
func oneActor(l actorLine, above []step.Actor) (step.Actor, error) {
	a := step.Actor{Name: l.name, Parent: -1, UID: defaultUID, Caps: uapi.AllCaps}
	words := l.words
	kind := slices.IndexFunc(actorKinds, func(k actorKind) bool { return k.name == words[0] })
	if kind < 0 {
		return a, fmt.Errorf("unknown kind of actor %q: want %s", words[0], strings.Join(actorKindNames(), ", "))
	}
	a.Kind = actorKinds[kind].kind
	if a.Kind == step.Init {
		a.Caps = 0
	}
	words = words[1:]
	if actorKinds[kind].of {
		if len(words) < 1 {
			return a, fmt.Errorf("want %s ACTOR", actorKinds[kind].name)
		}
		words = append([]string{"in"}, words...)
	}
	if len(words) > 1 && words[0] == "in" {
		a.Parent = actorIndex(above, words[1])
		if a.Parent < 0 {
			return a, fmt.Errorf("unknown actor %q: it must be declared above", words[1])
		}
		if above[a.Parent].Kind == step.Init {
			return a, fmt.Errorf("actor %s is not in a user namespace of its own", words[1])
		}
		a.UID = above[a.Parent].UID
		words = words[2:]
	}
	return a, actorOptions(&a, words)
}

func actorOptions(a *step.Actor, words []string) error {
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

func actorIndex(all []step.Actor, name string) int {
	return slices.IndexFunc(all, func(a step.Actor) bool { return a.Name == name })
}
