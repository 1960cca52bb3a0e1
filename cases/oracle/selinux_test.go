package oracle

import (
	"testing"

	"tokentest/cases/uapi"
)

// Each domain lacks one permission in one relation, and each release asks in its own places.
func TestSELinux(t *testing.T) {
	b := FD{Kind: BPFFSRoot, BPFFS: &BPFFS{Userns: child, Delegate: allMasks}}
	self := func(p uapi.Perms) *Domain { return &Domain{Self: p} }
	over := func(p uapi.Perms) *Domain { return &Domain{Over: p} }
	by := func(p uapi.Perms) *Domain { return &Domain{By: p} }
	hash := &MapCreate{Type: uapi.BPF_MAP_TYPE_STACK_TRACE, Token: tokenOf(allMasks)}
	xdp := &ProgLoad{Type: uapi.BPF_PROG_TYPE_XDP, Token: tokenOf(allMasks)}
	rootsMap := &Take{What: PidfdGetfd, Own: true, FD: FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH, Only: ReadOnly}}
	for _, tt := range []struct {
		name     string
		d        *Domain
		req      Request
		old, new uapi.Errno // 6.12, 7.3
	}{
		{"no domain", nil, hash, 0, 0},
		{"nothing denied", &Domain{}, hash, 0, 0},
		{"map_create", self(uapi.PermMapCreate), hash, eACCES, eACCES},
		{"map_create, a program", self(uapi.PermMapCreate), xdp, 0, 0},
		{"prog_load", self(uapi.PermProgLoad), xdp, eACCES, eACCES},
		{"the grantor's map_create", by(uapi.PermMapCreate), hash, 0, eACCES},
		{"the grantor's prog_load", by(uapi.PermProgLoad), xdp, 0, eACCES},
		{"no token", by(uapi.PermMapCreate), &MapCreate{Type: uapi.BPF_MAP_TYPE_HASH}, ePERM, ePERM},
		{"map_create_as", over(uapi.PermMapCreateAs), &TokenCreate{BPFFS: b}, 0, eACCES},
		{"prog_load_as", over(uapi.PermProgLoadAs), &TokenCreate{BPFFS: b}, 0, eACCES},
		{"the capability bpf", over(uapi.PermBPF), hash, 0, ePERM},
		{"the capability net_admin", over(uapi.PermNetAdmin), xdp, 0, ePERM},
		{"another capability", over(uapi.PermPerfmon), hash, 0, 0},
		{"map_write of its own map", self(uapi.PermMapWrite), hash, eACCES, eACCES},
		{"prog_run of its own program", self(uapi.PermProgRun), xdp, eACCES, eACCES},
		{"map_read", over(uapi.PermMapRead), rootsMap, eACCES, eACCES},
		{"map_write of a descriptor to read", over(uapi.PermMapWrite), rootsMap, 0, 0},
	} {
		for k, want := range map[*Kernel]uapi.Errno{k612: tt.old, k73: tt.new} {
			strict := *k
			strict.Settings.SELinux.Enforces = true
			w := World{Kernel: &strict, Caller: Cred{Userns: child, Caps: uapi.AllCaps}, UnprivDisabled: 2, Domain: tt.d}
			if v := Decide(&w, tt.req); v.Errno != want {
				t.Errorf("%s on %s: got %s by %s, want %s", tt.name, k.Release, v.Errno, v.ID, want)
			}
			w.Kernel = k
			if v := Decide(&w, tt.req); v.Errno == eACCES {
				t.Errorf("%s on %s, permissive: got %s by %s", tt.name, k.Release, v.Errno, v.ID)
			}
		}
	}
}
