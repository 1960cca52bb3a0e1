package oracle

import (
	"testing"

	"tokentest/cases/uapi"
)

// Where releases differ: what a request gets on the last release before a
// change, and on the first release with it. SEMANTICS.md, Releases.
func TestReleaseBoundaries(t *testing.T) {
	type answer struct {
		errno uapi.Errno
		id    string
	}
	inside := cred(child, 1000, uapi.AllCaps)
	nobody := Cred{Userns: Initial, Euid: 4242, Caps: 0}
	closed := TokenRef{Flag: true}
	tok := tokenOf(allMasks)
	allowed := func(cmd string) answer { return answer{0, cmd + "/allowed"} }
	hash := func(a MapAttr) *MapCreate { return &MapCreate{Type: uapi.BPF_MAP_TYPE_HASH, Token: tok, Attr: &a} }
	root := FD{Kind: BPFFSRoot, BPFFS: &BPFFS{Userns: child, Delegate: allMasks}}
	yes := true
	for _, tt := range []struct {
		name          string
		major, minor  int // the first release with the change
		caller        Cred
		req           Request
		before, after answer
	}{
		{"the sysctl refuses every command", 5, 19, nobody, &TokenCreate{},
			answer{ePERM, "token_create/unprivileged-disabled"}, answer{eINVAL, "token_create/unknown"}},
		{"the sysctl refuses BTF", 5, 19, nobody, &BTFLoad{},
			answer{ePERM, "btf_load/unprivileged-disabled"}, answer{ePERM, "btf_load/no-cap-bpf"}},
		{"the sysctl comes before the attribute", 5, 19, nobody, &BTFLoad{Fault: Fault{TooLong: true}},
			answer{ePERM, "btf_load/unprivileged-disabled"}, answer{e2BIG, "btf_load/attr-too-long"}},
		{"the sysctl comes before the attribute of a token", 5, 19, nobody, &TokenCreate{Fault: Fault{Unreadable: true}},
			answer{ePERM, "token_create/unprivileged-disabled"}, answer{eFAULT, "token_create/attr-unreadable"}},
		{"tokens", 6, 9, inside, &TokenCreate{BPFFS: root}, answer{eINVAL, "token_create/unknown"}, allowed("token_create")},
		{"a token for BTF", 6, 9, inside, &BTFLoad{Token: closed},
			answer{eINVAL, "btf_load/flag-unknown"}, answer{eBADF, "btf_load/token-bad-fd"}},
		{"a token for BTF by id", 6, 15, inside, &Call{Cmd: uapi.BPF_BTF_GET_FD_BY_ID, Token: tok},
			answer{eINVAL, "btf_get_fd_by_id/attr"}, allowed("btf_get_fd_by_id")},
		{"no token for BTF by id", 6, 15, inside, &Call{Cmd: uapi.BPF_BTF_GET_FD_BY_ID, Token: closed},
			answer{eINVAL, "btf_get_fd_by_id/attr"}, answer{eBADF, "btf_get_fd_by_id/token-bad-fd"}},
		{"a hook's argument kernel", 6, 15, rootCred, &LSMAttach{LSM{Kernel: &yes}},
			answer{eACCES, "lsm/no-kernel-argument"}, allowed("lsm")},
		{"probe_write_user", 6, 16, inside,
			&ProgLoad{Type: uapi.BPF_PROG_TYPE_KPROBE, Token: tok, Attr: &ProgAttr{Insns: 8, Body: CallsProbeWriteUser}},
			answer{eINVAL, "prog_load/helper-sys-admin-initial"}, allowed("prog_load")},
		{"information about tokens", 6, 17, nobody, &TokenInfo{FD: FD{Kind: TokenFD}},
			answer{eINVAL, "token_info/no-info"}, allowed("token_info")},
		{"the token's descriptor", 6, 19, inside, &TokenCreate{BPFFS: root, NoFD: true},
			answer{eMFILE, "token_create/no-fd-late"}, answer{eMFILE, "token_create/no-fd"}},
		{"tcx detach", 7, 0, nobody, &Call{Cmd: uapi.BPF_PROG_DETACH, On: CallTCX},
			answer{eNOENT, "prog_detach/nothing-attached"}, answer{ePERM, "prog_detach/no-cap-net-admin"}},
		{"a sub-program's symbol", 7, 1, nobody,
			&Symbol{Loaded: true, Loader: inside, Token: tok.FD.Token, Sub: true},
			answer{eNOENT, "kallsyms/sub-no-cap-bpf"}, allowed("kallsyms")},
		{"common attributes", 7, 2, rootCred, &Call{Cmd: uapi.BPF_MAP_FREEZE, Fault: Fault{Common: CommonEmpty}},
			answer{eINVAL, "call/common"}, answer{eBUSY, "map_freeze/mapped"}},
		{"common attributes that are too long", 7, 2, inside, &TokenCreate{BPFFS: root, Fault: Fault{Common: CommonTail}},
			answer{eINVAL, "token_create/common"}, answer{e2BIG, "token_create/common-too-long"}},
		{"common attributes that cannot be read", 7, 2, inside,
			&BTFLoad{Token: closed, Fault: Fault{Common: CommonUnreadable}},
			answer{eINVAL, "btf_load/common"}, answer{eFAULT, "btf_load/common-unreadable"}},
		{"a log for a map", 7, 2, inside, &MapCreate{Type: 1, Token: closed, Fault: Fault{Common: CommonNoSize}},
			answer{eINVAL, "map_create/common"}, answer{eINVAL, "map_create/log"}},
		{"a log of a map that is full", 7, 2, inside, &MapCreate{Type: 1, Token: closed, Fault: Fault{Common: CommonShort}},
			answer{eINVAL, "map_create/common"}, answer{eNOSPC, "map_create/log-full"}},
		{"a second cgroup storage", 6, 14, inside, &ProgLoad{Type: 1, Token: tok, Attr: &ProgAttr{Insns: 2, Body: HasMap,
			Uses:  &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED, Content: &Content{}},
			Binds: &FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED, Content: &Content{}}}},
			allowed("prog_load"), answer{eBUSY, "prog_load/storage-taken"}},
		{"file flags before the token", 7, 2, inside,
			&MapCreate{Type: 1, Token: closed, Attr: &MapAttr{Key: 4, Value: 4, Max: 1, Flags: fFile}},
			answer{eINVAL, "map_create/file-flags"}, answer{eBADF, "map_create/token-bad-fd"}},
		{"file flags", 7, 2, inside, hash(MapAttr{Key: 4, Value: 4, Max: 1, Flags: fFile}),
			answer{eINVAL, "map_create/file-flags"}, answer{eINVAL, "map_create/file-flags-late"}},
		{"a program's log", 7, 2, inside, &ProgLoad{Type: 1, Token: closed, Attr: &ProgAttr{Insns: 2, BadLog: true}},
			answer{eBADF, "prog_load/token-bad-fd"}, answer{eINVAL, "prog_load/log"}},
		{"a BTF's log", 7, 2, inside, &BTFLoad{Token: closed, BadLog: true},
			answer{eBADF, "btf_load/token-bad-fd"}, answer{eINVAL, "btf_load/log"}},
		{"multi attach types", 7, 2, rootCred, &ProgLoad{Type: uapi.BPF_PROG_TYPE_XDP, Attach: uapi.BPF_TRACE_FENTRY_MULTI},
			allowed("prog_load"), answer{eINVAL, "prog_load/multi-not-tracing"}},
	} {
		first := uapi.Release{Major: tt.major, Minor: tt.minor}
		last := uapi.Release{Major: tt.major, Minor: tt.minor - 1}
		if tt.minor == 0 {
			last = uapi.Release{Major: tt.major - 1, Minor: 19}
		}
		for release, want := range map[uapi.Release]answer{last: tt.before, first: tt.after} {
			w := &World{Kernel: KernelAt(release), Caller: tt.caller, UnprivDisabled: 2}
			if v := Decide(w, tt.req); v.Errno != want.errno || v.ID != want.id || !v.Known {
				t.Errorf("%s on %s: got %s by %s (known %v), want %s by %s",
					tt.name, release, v.Errno, v.ID, v.Known, want.errno, want.id)
			}
		}
	}
}

// Since 7.3 the hook bpf_prog_load gets the token. Since 6.7 the verifier
// trusts a CPU whose mitigations are off.
func TestReleasesOfTheVerifier(t *testing.T) {
	given := true
	req := &ProgLoad{Type: uapi.BPF_PROG_TYPE_XDP, Token: tokenOf(allMasks)}
	for release, want := range map[uapi.Release]uapi.Errno{{Major: 7, Minor: 2}: 0, {Major: 7, Minor: 3}: eACCES} {
		l := &LSM{Hook: uapi.HookProgLoad, Errno: eACCES, Given: &given}
		w := &World{Kernel: KernelAt(release), Caller: cred(child, 1000, uapi.AllCaps), LSM: []*LSM{l}}
		if v := Decide(w, req); v.Errno != want {
			t.Errorf("%s: a hook for loads with a token: got %s, want %s", release, v.Errno, want)
		}
	}
	for release, want := range map[uapi.Release]bool{{Major: 6, Minor: 6}: false, {Major: 6, Minor: 7}: true} {
		k := KernelAt(release)
		k.MitigationsOff = true
		if k.trustsCPU() != want {
			t.Errorf("%s: trusts the CPU: %v, want %v", release, !want, want)
		}
	}
	k := KernelAt(uapi.Release{Major: 7, Minor: 3})
	stack := &ProgLoad{Type: 1, Attr: &ProgAttr{Insns: 4, Body: VariesStackPointer}}
	for off, want := range map[bool]uapi.Errno{false: eACCES, true: 0} {
		k.MitigationsOff = off
		if v := Decide(&World{Kernel: k, Caller: Cred{Userns: Initial, Euid: 4242, Caps: capsBPF}}, stack); v.Errno != want {
			t.Errorf("mitigations off %v: a variable stack pointer: got %s, want %s", off, v.Errno, want)
		}
	}
}
