package cases

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Enums are the enumerations of the bits of the four masks.
func Enums() []uapi.Enum {
	return []uapi.Enum{uapi.Cmds, uapi.MapTypes, uapi.ProgTypes, uapi.AttachTypes}
}

// FactsIn describes a kernel by the enumerations in its BTF, as the guest does when the
// kernel runs. If release is empty, it is the oldest release that has all of them. A nil
// configuration means that it is unknown.
func FactsIn(release string, enums map[string][]step.Enumerator, config map[string]string) *step.Facts {
	f := &step.Facts{Release: release, BTF: true, Max: map[string]uint32{}, Enumerators: map[string][]string{},
		Config: config}
	for tag, list := range enums {
		f.Max[tag] = step.End(list)
		for _, m := range list {
			f.Enumerators[tag] = append(f.Enumerators[tag], m.Name)
		}
	}
	f.Token = slices.Contains(f.Enumerators[uapi.Cmds.Tag], tokenCommand)
	if f.Release == "" {
		f.Release = youngest(f).String()
	}
	return f
}

const tokenCommand = "BPF_TOKEN_CREATE"

// youngest is the release that added the newest enumerator of the kernel.
func youngest(f *step.Facts) uapi.Release {
	var out uapi.Release
	for _, e := range Enums() {
		for _, m := range e.Members {
			if out.Less(m.Since) && slices.ContainsFunc(f.Enumerators[e.Tag],
				func(name string) bool { return shortName(&e, name) == m.Name }) {
				out = m.Since
			}
		}
	}
	return out
}

// shortName is an enumerator as a delegate_* option spells it.
func shortName(e *uapi.Enum, name string) string {
	return strings.ToLower(strings.TrimPrefix(name, e.Prefix))
}

// Differ lists the enumerators that differ between the image and the running kernel. It
// returns "" if there are none.
func Differ(before, running *step.Facts) string {
	var out []string
	for _, tag := range slices.Sorted(maps.Keys(running.Enumerators)) {
		if tag == uapi.HelperEnum {
			continue // it is not read from images
		}
		was, is := before.Enumerators[tag], running.Enumerators[tag]
		for _, name := range is {
			if !slices.Contains(was, name) {
				out = append(out, name+" is in the running kernel and not in the image")
			}
		}
		for _, name := range was {
			if !slices.Contains(is, name) {
				out = append(out, name+" is in the image and not in the running kernel")
			}
		}
		if before.Max[tag] != running.Max[tag] {
			out = append(
				out,
				fmt.Sprintf("enum %s ends at %d in the image and at %d in the running kernel", tag, before.Max[tag],
					running.Max[tag]),
			)
		}
	}
	return strings.Join(out, "; ")
}
