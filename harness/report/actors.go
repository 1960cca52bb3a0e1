package report

import (
	"fmt"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// who describes an actor in words; all are the actors of its case.
func who(a *step.Actor, all []step.Actor) string {
	parent := ""
	if a.Parent >= 0 && a.Parent < len(all) {
		parent = all[a.Parent].Name
	}
	text := ""
	switch a.Kind {
	case step.Userns:
		text = "root of its own user namespace"
		if parent != "" {
			text += " below " + parent + "'s"
		}
		text += fmt.Sprintf(", created by uid %d", a.UID)
	case step.Joins:
		text = "another process in " + parent + "'s namespaces"
	case step.Child:
		text = "a process that " + parent + " forks"
	case step.Init:
		text = fmt.Sprintf("uid %d in the initial namespaces", a.UID)
	}
	if caps := withCaps(a.Caps); caps != "" && (a.Kind == step.Init || a.Caps != uapi.AllCaps) {
		text += ", " + caps
	}
	return a.Name + ": " + text
}

// withCaps describes capabilities in words.
func withCaps(s uapi.CapSet) string {
	switch missing := uapi.AllCaps &^ s; {
	case s == 0:
		return "without capabilities"
	case missing == 0:
		return "with every capability"
	case missing < s: // the set has every capability that has no name
		return "with every capability except " + missing.List()
	}
	return "with " + s.List() + " only"
}

// whoIsWho describes the actors of a case. The lines of the case file stand for actors that depend on an axis.
func whoIsWho(actors []step.Actor, err error, lines []string) []string {
	var out []string
	if err != nil {
		for _, line := range lines {
			out = append(out, clean(line))
		}
		return out
	}
	for i := range actors {
		out = append(out, clean(who(&actors[i], actors)))
	}
	return out
}
