package cases

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"tokentest/cases/step"
)

// Outline is what a reader needs to see the world of a group's cases without
// the file that they were made from: texts in which $AXIS stands for the text
// of an axis's value, and $AXIS.NAME for one of its variables.
type Outline struct {
	Name   string        `json:"name"`
	About  string        `json:"about,omitempty"`
	Path   string        `json:"path,omitempty"`
	Axes   []OutlineAxis `json:"axes,omitempty"`
	Actors []string      `json:"actors,omitempty"`
	Setup  []string      `json:"setup,omitempty"` // the steps that cases share
	Steps  []string      `json:"steps,omitempty"` // a case's own
	// Question and Answer are what the group says to a reviewer, Notes the
	// comments after Steps. They are empty if the file has no question.
	Question string   `json:"question,omitempty"`
	Answer   string   `json:"answer,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

// OutlineAxis is an axis of a matrix; its values stand in the names of cases.
type OutlineAxis struct {
	Name   string         `json:"name"`
	Values []OutlineValue `json:"values"`
}

// OutlineValue is one value: its name and the text that it stands for.
type OutlineValue struct {
	Name string            `json:"name"`
	Text string            `json:"text"`
	Vars map[string]string `json:"vars,omitempty"`
}

// Outline describes the group's cases.
func (g *Group) Outline() Outline {
	f := g.from.f
	out := Outline{Name: g.Name, About: g.About, Path: g.Path, Question: g.Question, Answer: g.Answer}
	for _, a := range f.axes {
		axis := OutlineAxis{Name: a.name}
		for _, v := range a.values {
			axis.Values = append(axis.Values, OutlineValue{v.name, v.text, v.vars})
		}
		out.Axes = append(out.Axes, axis)
	}
	for _, a := range f.actors {
		out.Actors = append(out.Actors, a.name+" "+strings.Join(a.words, " "))
	}
	for i := range f.steps {
		out.Setup = append(out.Setup, f.steps[i].outline())
	}
	if f.do == nil {
		out.Setup, out.Steps = nil, out.Setup
		for i := range f.steps {
			if g.Question != "" {
				out.Notes = append(out.Notes, f.steps[i].note)
			}
		}
		return out
	}
	out.Steps = []string{f.do.outline()}
	return out
}

// Cast returns the actors that the outline's lines declare, and the predefined actors that its steps name. The error
// says which line is no actor, such as one that depends on an axis.
func (o *Outline) Cast() ([]step.Actor, error) {
	f := &File{Path: o.Path}
	for i, line := range o.Actors {
		words := strings.Fields(line)
		if len(words) < 2 {
			return nil, fmt.Errorf("actor line %q: want a name and a kind", line)
		}
		f.actors = append(f.actors, actorLine{i + 1, words[0], words[1:]})
	}
	for _, line := range slices.Concat(o.Setup, o.Steps) {
		f.steps = append(f.steps, stepLine{words: strings.Fields(line)})
	}
	return f.cast()
}

func (s *stepLine) outline() string {
	text := strings.Join(s.words, " ")
	if s.out != "" {
		text += " -> " + s.out
	}
	return text
}

// Equal reports whether two outlines make the same cases, wherever their files lie.
func (o *Outline) Equal(p *Outline) bool {
	return reflect.DeepEqual(o.Axes, p.Axes) && slices.Equal(o.Actors, p.Actors) && slices.Equal(o.Setup, p.Setup) &&
		slices.Equal(o.Steps, p.Steps)
}

// SameCase reports whether both outlines make the same case of a name.
func (o *Outline) SameCase(p *Outline, id string) bool {
	return slices.Equal(o.Actors, p.Actors) && slices.Equal(o.Fill(o.Setup, id), p.Fill(p.Setup, id)) &&
		slices.Equal(o.Fill(o.Steps, id), p.Fill(p.Steps, id))
}

// Fill puts the values that a case's name holds in the place of the axes.
func (o *Outline) Fill(texts []string, id string) []string {
	r := o.values(id)
	out := slices.Clone(texts)
	for i := range out {
		for range o.Axes { // a value may hold another axis
			out[i] = r.Replace(out[i])
		}
		out[i] = strings.Join(strings.Fields(out[i]), " ")
	}
	return out
}

// values is what the axes stand for in a case; the longest name counts.
func (o *Outline) values(id string) *strings.Replacer {
	words := strings.Split(id, "/")[1:]
	var pairs [][2]string
	for i, a := range o.Axes {
		at := -1
		if i < len(words) {
			at = slices.IndexFunc(a.Values, func(v OutlineValue) bool { return v.Name == words[i] })
		}
		if at < 0 {
			continue
		}
		v := &a.Values[at]
		pairs = append(pairs, [2]string{"$" + a.Name, v.Text})
		for name, text := range v.Vars {
			pairs = append(pairs, [2]string{"$" + a.Name + "." + name, text})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return len(b[0]) - len(a[0]) })
	var flat []string
	for _, p := range pairs {
		flat = append(flat, p[0], p[1])
	}
	return strings.NewReplacer(flat...)
}

// Key names what a world is by what it does: its actors and its steps.
func (w *World) Key() string {
	h := sha256.New()
	for _, a := range w.Program.Actors {
		fmt.Fprintf(h, "%+v\n", a)
	}
	for i := range w.Info {
		fmt.Fprintln(h, w.Info[i].Text)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}
