package cases

import (
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// StepNeeds is what the kernel must have for a request to be well formed: the
// option that compiles its type in, and the attach types that the kernel looks
// up after every check that the oracle knows.
func StepNeeds(s *step.Step) []Need { return append(requestNeeds(s), callNeeds(s)...) }

func requestNeeds(s *step.Step) []Need {
	var out []Need
	t, _ := s.Num(step.KeyType)
	switch s.Op {
	case step.OpMapCreate:
		shape := step.MapShapeOf(uapi.MapType(t))
		return mapNeeds(&shape)
	case step.OpProgLoad:
		at, _ := s.Num(step.KeyAttach)
		shape := step.ProgShapeOf(uapi.ProgType(t), uapi.AttachType(at))
		if i := slices.IndexFunc(uapi.AttachTypes.Members,
			func(m uapi.Member) bool { return uint64(m.Value) == at }); i >= 0 && shape.BTFName != "" && at != 0 {
			out = append(out, enumNeed(&uapi.AttachTypes, uapi.AttachTypes.Members[i]))
		}
		if _, signed := s.Num(step.KeySign); signed { // bpf_verify_pkcs7_signature of kernel/bpf/helpers.c
			out = append(out, configNeeds("SYSTEM_DATA_VERIFICATION")...)
		}
		if _, signed := s.Num(step.KeySigned); signed {
			out = append(out, configNeeds("SYSTEM_DATA_VERIFICATION CRYPTO_RSA")...)
		}
		return append(append(out, progNeeds(&shape)...), bodyNeeds(s)...)
	}
	made, _ := s.Num(step.KeyMake)
	return configNeeds(strings.Join([]string{
		s.Op.Row().Config, step.MakeNeeds[step.Make(made)], step.SpotNeeds(s), step.FileNeeds(s), step.HookNeeds(s),
		step.FieldNeeds(s),
	}, " "))
}

// callNeeds is what the way needs in which a call is made.
func callNeeds(s *step.Step) []Need {
	var out []Need
	if _, compat := s.Num(step.KeyCompat); compat {
		out = configNeeds("IA32_EMULATION")
	}
	if _, sandbox := s.Num(step.KeySandbox); sandbox {
		out = append(append(out, configNeeds("SECURITY_LANDLOCK")...), Need{Kind: NeedLSM, Name: "landlock"})
	}
	if _, domain := s.Num(step.KeyDomain); domain || s.Op == step.OpSELinux {
		out = append(out, Need{Kind: NeedLSM, Name: "selinux"})
	}
	return out
}

// mapNeeds is what a map type needs of the kernel: the options that compile it
// in, the vmlinux types that its attributes name (without the type there is no
// id to ask for), and the security module that must be active.
func mapNeeds(s *step.MapShape) []Need {
	out := configNeeds(s.Config)
	if s.Struct != "" {
		out = append(out, vmlinuxNeeds(step.KindStruct, s.Struct)...)
	}
	if s.LSM != "" {
		out = append(out, Need{Kind: NeedLSM, Name: s.LSM})
	}
	return out
}

// progNeeds is the same of a program type. A program that replaces a function
// needs that programs are compiled.
func progNeeds(s *step.ProgShape) []Need {
	out := configNeeds(s.Config)
	if s.BTFName != "" {
		out = append(out, vmlinuxNeeds(s.BTFKind, s.BTFName)...)
	}
	if s.Ext {
		out = append(out, settingIs(step.JITEnable, 1, 2))
	}
	return out
}

// bodyNeeds is what the program of a step needs: the options that compile in the helpers that it calls, and the
// functions that it finds in the kernel's BTF.
func bodyNeeds(s *step.Step) []Need {
	n, _ := s.Num(step.KeyBody)
	helper, _ := s.Num(step.KeyHelper)
	body := step.Body(n)
	out := configNeeds(body.Config() + " " + step.HelperConfig(helper))
	for _, f := range body.Funcs() {
		out = append(out, vmlinuxNeeds(step.KindFunc, f)...)
	}
	return out
}

// configNeeds are the needs of a list of configuration symbols, in which step.NeedsArena may stand.
func configNeeds(list string) []Need {
	var out []Need
	for _, name := range strings.Fields(list) {
		if name == step.NeedsArena {
			out = append(out, Need{Kind: NeedArena})
			continue
		}
		out = append(out, Need{Kind: NeedConfig, Name: name})
	}
	return out
}

// Missing returns the needs that are not in a list.
func Missing(from, needs []Need) []Need {
	return slices.DeleteFunc(needs, func(n Need) bool { return slices.Contains(from, n) })
}

func vmlinuxNeeds(kind, name string) []Need {
	return []Need{{Kind: NeedConfig, Name: "DEBUG_INFO_BTF"}, {Kind: NeedType, Name: step.TypeName(kind, name)}}
}
