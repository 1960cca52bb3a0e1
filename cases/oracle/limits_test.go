package oracle

import (
	"strings"
	"testing"

	"tokentest/cases/uapi"
)

// The limits of a process are checked where map_create, bpf_prog_load and
// bpf_btf_load of 6.12 and 7.3 allocate memory and a descriptor.
func TestLimits(t *testing.T) {
	array := &MapAttr{Key: 4, Value: 1 << 14, Max: 1 << 12, BTFNone: true}
	small := &MapAttr{Key: 4, Value: 1 << 10, Max: 1 << 12, BTFNone: true}
	named := *array
	named.BadName = true
	const bound = 16 << 20
	tok := tokenOf(allMasks)
	of := func(a *MapAttr) *MapCreate { return &MapCreate{Type: uapi.BPF_MAP_TYPE_ARRAY, Token: tok, Attr: a} }
	noFD := of(array)
	noFD.NoFD = true
	for _, tt := range []struct {
		what   string
		req    Request
		caps   uapi.CapSet
		memory uint64
		id     string
		errno  uapi.Errno
	}{
		{"no limit", of(array), uapi.AllCaps, 0, "map_create/allowed", 0},
		{"too large", of(array), uapi.AllCaps, bound, "map_create/no-memory", eNOMEM},
		{"small enough", of(small), uapi.AllCaps, bound, "map_create/allowed", 0},
		{"about the limit", of(array), uapi.AllCaps, 4 * bound, "map_create/late-not-modelled", 0},
		{"no permission", of(array), 0, bound, "map_create/unprivileged-disabled", ePERM},
		{"before the name", of(&named), uapi.AllCaps, bound, "map_create/no-memory", eNOMEM},
		{"before the descriptor", noFD, uapi.AllCaps, bound, "map_create/no-memory", eNOMEM},
		{"no descriptor for a map", &MapCreate{Type: 1, Token: tok, NoFD: true}, uapi.AllCaps, 0, "map_create/no-fd", eMFILE},
		{"no descriptor for a program", &ProgLoad{Type: 6, Token: tok, NoFD: true}, uapi.AllCaps, 0,
			"prog_load/no-fd", eMFILE},
		{"no descriptor for a BTF", &BTFLoad{Token: tok, NoFD: true}, uapi.AllCaps, 0, "btf_load/no-fd", eMFILE},
		{"not a BTF", &BTFLoad{Token: tok, NoFD: true, Junk: true}, uapi.AllCaps, 0, "btf_load/junk", eINVAL},
	} {
		for _, k := range []*Kernel{k612, k73} {
			w := &World{Kernel: k, Caller: Cred{Userns: child, Caps: tt.caps}, UnprivDisabled: 2, Memory: tt.memory}
			v := Decide(w, tt.req)
			if known := !strings.HasSuffix(tt.id, "-not-modelled"); v.ID != tt.id || v.Errno != tt.errno ||
				v.Known != known {
				t.Errorf("%s, %s: %+v, want %s by %s", k.Release, tt.what, v, tt.errno, tt.id)
			}
		}
	}
}

// A request that a program makes is decided like one of the process itself,
// except by the hooks: they see who makes it, and the run before it.
func TestFromKernel(t *testing.T) {
	yes, no := true, false
	run := uapi.BPF_PROG_TEST_RUN
	own := &MapCreate{Type: uapi.BPF_MAP_TYPE_HASH, Token: tokenOf(allMasks)}
	kernel := *own
	kernel.FromKernel = true
	for _, tt := range []struct {
		what        string
		lsm         *LSM
		own, kernel uapi.Errno
	}{
		{"nothing", nil, 0, 0},
		{"the kernel's commands", &LSM{Hook: uapi.HookBPF, Errno: eACCES, Kernel: &yes}, 0, eACCES},
		{"a process's commands", &LSM{Hook: uapi.HookBPF, Errno: eACCES, Kernel: &no}, eACCES, eACCES},
		{"to run programs", &LSM{Hook: uapi.HookBPF, Errno: eACCES, Cmd: &run}, 0, eACCES},
		{"the kernel's maps", &LSM{Hook: uapi.HookMapCreate, Errno: eACCES, Kernel: &yes}, 0, eACCES},
		{"a process's maps", &LSM{Hook: uapi.HookMapCreate, Errno: eACCES, Kernel: &no}, eACCES, 0},
	} {
		for req, want := range map[*MapCreate]uapi.Errno{own: tt.own, &kernel: tt.kernel} {
			w := &World{Kernel: k73, Caller: Cred{Userns: child, Caps: uapi.AllCaps}, UnprivDisabled: 2}
			if tt.lsm != nil {
				l := *tt.lsm
				w.LSM = []*LSM{&l}
			}
			if v := Decide(w, req); v.Errno != want {
				t.Errorf("%s refused, from the kernel %v: %+v, want %s", tt.what, req.FromKernel, v, want)
			}
		}
	}
	w := &World{Kernel: k73, Caller: Cred{Userns: child}, UnprivDisabled: 2}
	if v := Decide(w, &kernel); v.Errno != ePERM {
		t.Errorf("without capabilities, from the kernel: %+v, want EPERM", v)
	}
}
