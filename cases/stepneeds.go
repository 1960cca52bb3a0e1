package cases

import (
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// StepNeeds is what the kernel must have for a request to be well formed: the
// option that compiles its type in, and the attach types that are looked up
// behind every check that the oracle knows.
func StepNeeds(s *step.Step) []Need {
	var out []Need
	t, _ := s.Num(step.KeyType)
	config := s.Op.Row().Config
	switch s.Op {
	case step.OpMapCreate:
		shape := step.MapShapeOf(uapi.MapType(t))
		return append(configNeeds(shape.Config), mapTypeNeeds(&shape)...)
	case step.OpProgLoad:
		at, _ := s.Num(step.KeyAttach)
		shape := step.ProgShapeOf(uapi.ProgType(t), uapi.AttachType(at))
		config = shape.Config
		out = progTypeNeeds(&shape)
		if i := slices.IndexFunc(uapi.AttachTypes.Members, func(m uapi.Member) bool { return uint64(m.Value) == at }); i >= 0 && shape.BTFName != "" && at != 0 {
			out = append(out, enumNeed(&uapi.AttachTypes, uapi.AttachTypes.Members[i]))
		}
	}
	return append(out, configNeeds(config)...)
}

// configNeeds are the configuration symbols of a list.
func configNeeds(list string) []Need {
	var out []Need
	for _, name := range strings.Fields(list) {
		out = append(out, Need{Kind: NeedConfig, Name: name})
	}
	return out
}

// Missing returns the needs that are not in a list.
func Missing(from, needs []Need) []Need {
	return slices.DeleteFunc(needs, func(n Need) bool { return slices.Contains(from, n) })
}

// mapTypeNeeds and progTypeNeeds are the vmlinux types that the attributes of a shape name: without the
// type there is no id to ask for.
func mapTypeNeeds(s *step.MapShape) []Need {
	if s.Struct == "" {
		return nil
	}
	return vmlinuxNeeds(step.KindStruct, s.Struct)
}

func progTypeNeeds(s *step.ProgShape) []Need {
	if s.BTFName == "" {
		return nil
	}
	return vmlinuxNeeds(s.BTFKind, s.BTFName)
}

func vmlinuxNeeds(kind, name string) []Need {
	return []Need{{Kind: NeedConfig, Name: "DEBUG_INFO_BTF"}, {Kind: NeedType, Name: step.TypeName(kind, name)}}
}
