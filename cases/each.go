package cases

import (
	"fmt"
	"slices"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// each makes the values of an axis from a table: every map type, or every
// well-formed program; "-NAME" leaves one out.
func each(what string, except []string) ([]axisValue, error) {
	var values []axisValue
	switch what {
	case "map_type":
		values = eachMapType()
	case "prog_load":
		values = eachProgLoad()
	case "command":
		values = eachCommand()
	case "helper":
		values = eachHelper()
	default:
		return nil, fmt.Errorf("unknown list %q: want each map_type, each prog_load, each helper or each command", what)
	}
	for _, e := range except {
		i := slices.IndexFunc(values, func(v axisValue) bool { return "-"+v.name == e })
		if i < 0 {
			return nil, fmt.Errorf("%q excludes no %s", e, what)
		}
		values = slices.Delete(values, i, i+1)
	}
	return values, nil
}

func eachMapType() []axisValue {
	var out []axisValue
	for _, m := range uapi.MapTypes.Members {
		if m.Alias {
			continue
		}
		v := axisValue{name: m.Name, text: m.Name, vars: map[string]string{"others": othersMask(m.Value)}}
		v.needs = append(v.needs, enumNeed(&uapi.MapTypes, m))
		s := step.MapShapeOf(uapi.MapType(m.Value))
		v.needs = append(v.needs, mapNeeds(&s)...)
		out = append(out, v)
	}
	return out
}

// eachHelper are the helpers that some capability guards, each in a program that may call it where it has the
// capability: one that sleeps in a syscall program, any other in a socket filter.
func eachHelper() []axisValue {
	var out []axisValue
	for i := range uapi.Helpers {
		h := &uapi.Helpers[i]
		set := h.Sets[len(h.Sets)-1]
		if set.Set == uapi.HelperFree {
			continue
		}
		text := "type=socket_filter"
		if h.Sleeps {
			text = "type=syscall"
		}
		v := axisValue{name: h.Name, text: text + " helper=" + h.Name, needs: configNeeds(h.Config)}
		if set.Since != (uapi.Release{}) {
			v.needs = append(v.needs, Need{Kind: NeedRelease, Since: set.Since})
		}
		out = append(out, v)
	}
	return out
}

func enumNeed(e *uapi.Enum, m uapi.Member) Need {
	return Need{Kind: NeedEnum, Tag: e.Tag, Name: e.Symbol(m), Value: m.Value, Since: m.Since}
}

func othersMask(bit uint32) string { return fmt.Sprintf("%#x", ^uint64(0)&^(1<<bit)) }

func eachProgLoad() []axisValue {
	var out []axisValue
	for i := range step.ProgShapes {
		s := &step.ProgShapes[i]
		text := "type=" + s.Type.String()
		if s.Attach != 0 {
			text += " attach=" + s.Attach.String()
		}
		v := axisValue{name: s.Name(), text: text, vars: map[string]string{
			"type": s.Type.String(), "attach": needsName(s),
			"other_types": othersMask(uint32(s.Type)), "other_attachs": othersMask(uint32(s.Needs)),
		}}
		for _, m := range uapi.ProgTypes.Members {
			if m.Value == uint32(s.Type) {
				v.needs = append(v.needs, enumNeed(&uapi.ProgTypes, m))
			}
		}
		for _, m := range uapi.AttachTypes.Members {
			if m.Value == uint32(s.Attach) && !m.Alias {
				v.needs = append(v.needs, enumNeed(&uapi.AttachTypes, m))
			}
		}
		v.needs = append(v.needs, progNeeds(s)...)
		out = append(out, v)
	}
	return out
}

// needsName is the delegate_attachs value that covers just the program. A
// struct_ops program's expected attach type is a member index, which only the
// running kernel tells, so every bit stands for it.
func needsName(s *step.ProgShape) string {
	if s.Member != "" {
		return "any"
	}
	return s.Needs.String()
}
