package cases

import "strings"

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
	out := Outline{Name: g.Name, About: g.About, Path: g.Path}
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
		return out
	}
	out.Steps = []string{f.do.outline()}
	return out
}

func (s *stepLine) outline() string {
	text := strings.Join(s.words, " ")
	if s.out != "" {
		text += " -> " + s.out
	}
	return text
}
