package report

import (
	"slices"
	"strings"
)

// who says in words who an actor is, from its line of the case file without the
// word actor: "strong joins owner caps=all-CAP_BPF".
func who(line string) string {
	w := strings.Fields(clean(line))
	if len(w) < 2 {
		return clean(line)
	}
	arg := map[string]string{}
	for _, a := range w[2:] {
		if key, value, ok := strings.Cut(a, "="); ok {
			arg[key] = value
		}
	}
	name, of := w[0], ""
	if len(w) > 2 {
		of = w[2]
	}
	text := ""
	switch w[1] {
	case "userns":
		text = "root of a user namespace of its own"
		if of == "in" && len(w) > 3 {
			text += " below " + w[3] + "'s"
		}
		if uid := arg["uid"]; uid != "" {
			text += ", made by uid " + uid
		}
	case "joins":
		text = "another process in " + of + "'s namespaces"
	case "child":
		text = "a process that " + of + " forks"
	case "init":
		text = "a process in the initial namespaces, outside of every container"
		if uid := arg["uid"]; uid != "" {
			text += ", with uid " + uid
		}
		if arg["caps"] == "" {
			text += " and no capability"
		}
	default:
		return clean(line)
	}
	switch caps := arg["caps"]; {
	case caps == "":
	case caps == "none":
		text += ", without capabilities"
	case strings.HasPrefix(caps, "all-"):
		text += ", with every capability but " + but(strings.TrimPrefix(caps, "all-"))
	default:
		text += ", with " + strings.ReplaceAll(caps, "+", ", ") + " alone"
	}
	return name + ": " + text
}

func but(caps string) string { return strings.ReplaceAll(caps, "+", ", ") }

// whoIsWho are the actors of a case in words, and those that every file has
// where its steps name them.
func whoIsWho(actors, steps []string) []string {
	var out []string
	for _, a := range actors {
		out = append(out, who(a))
	}
	for _, always := range []string{"root: uid 0 in the initial namespaces, with every capability", "nobody: uid 65534 in the initial namespaces, without capabilities"} {
		name, _, _ := strings.Cut(always, ":")
		if slices.ContainsFunc(steps, func(s string) bool { return strings.HasPrefix(s, name+" ") }) {
			out = append(out, always)
		}
	}
	return out
}
