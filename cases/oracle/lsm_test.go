package oracle

import (
	"slices"
	"strings"
	"testing"

	"tokentest/cases/uapi"
)

// isLSM reports whether a rule is an LSM hook.
func isLSM(l Line) bool {
	_, id, _ := strings.Cut(l.ID, "/")
	return strings.HasPrefix(id, "lsm") || strings.HasPrefix(id, "selinux")
}

// TestLSMPlaces says between which rules the kernel calls each hook: SEMANTICS.md, LSM hooks.
func TestLSMPlaces(t *testing.T) {
	const afterCmd = "token-not-covering-cmd lsm-token-cmd token-not-covering-type"
	w := func(k *Kernel) *World { return &World{Kernel: k, Caller: Cred{Userns: child, Caps: uapi.AllCaps}} }
	for _, tt := range []struct {
		kernel *Kernel
		req    Request
		want   []string
	}{
		{k612, &TokenCreate{}, []string{"attr-unreadable lsm-bpf attr-tail", "nothing-delegated no-file lsm no-fd-late"}},
		{k73, &TokenCreate{}, []string{"nothing-delegated no-fd no-file lsm end"}},
		{k612, &MapCreate{Type: 1}, []string{"attr-unreadable lsm-bpf attr-tail", afterCmd,
			"btf-key-kind lsm lsm-map no-fd end"}},
		{k73, &MapCreate{Type: 1}, []string{"file-flags-late lsm lsm-map no-fd end"}},
		{k612, &ProgLoad{Type: 1}, []string{"attr-unreadable lsm-bpf attr-tail flags", afterCmd, "bad-name lsm log-late"}},
		{k73, &ProgLoad{Type: 1}, []string{"attr-unreadable lsm-bpf log", "bad-name bind-bad-fd",
			"signature-no-key signature-other lsm subprog"}},
		{k73, &BTFLoad{}, []string{"attr-unreadable lsm-bpf log", "token-not-covering lsm-token-cmd no-cap-bpf"}},
		{k612, &Call{Cmd: uapi.BPF_OBJ_PIN}, []string{"attr-unreadable lsm-bpf attr lsm-mknod"}},
		{k73, &Call{Cmd: uapi.BPF_BTF_GET_FD_BY_ID}, []string{"token-not-covering lsm-token-cmd no-cap-sys-admin"}},
	} {
		_, trace := Explain(w(tt.kernel), tt.req)
		var ids []string
		for _, l := range trace {
			id := l.ID[strings.Index(l.ID, "/")+1:]
			if id != "unknown" && id != "unprivileged-disabled" && !isCommon(l) {
				ids = append(ids, id)
			}
		}
		text := " " + strings.Join(ids, " ") + " end "
		for _, part := range tt.want {
			if !strings.Contains(text, " "+part+" ") {
				t.Errorf("%s %T: no %q in %s", tt.kernel.Release, tt.req, part, text)
			}
		}
	}
}

// lsmRequests are one request for each hook and class, with everything delegated.
var lsmRequests = map[string]Request{
	"create": &TokenCreate{BPFFS: FD{Kind: BPFFSRoot, BPFFS: &BPFFS{Userns: child, Delegate: allMasks}}},
	"stack":  &MapCreate{Type: uapi.BPF_MAP_TYPE_STACK_TRACE, Token: tokenOf(allMasks)},
	"hash":   &MapCreate{Type: uapi.BPF_MAP_TYPE_HASH, Token: tokenOf(allMasks)},
	"devmap": &MapCreate{Type: uapi.BPF_MAP_TYPE_DEVMAP, Token: tokenOf(allMasks)},
	"xdp":    &ProgLoad{Type: uapi.BPF_PROG_TYPE_XDP, Token: tokenOf(allMasks)},
	"skb":    &ProgLoad{Type: uapi.BPF_PROG_TYPE_CGROUP_SKB, Token: tokenOf(allMasks)},
	"kprobe": &ProgLoad{Type: uapi.BPF_PROG_TYPE_KPROBE, Token: tokenOf(allMasks)},
	"btf":    &BTFLoad{Token: tokenOf(allMasks)},
	"get":    &Call{Cmd: uapi.BPF_BTF_GET_FD_BY_ID, Token: tokenOf(allMasks)},
}

// TestLSM has a program that returns EACCES, and says which requests then fail,
// with which errno. All others succeed.
func TestLSM(t *testing.T) {
	cmd := func(n uapi.Cmd) *uapi.Cmd { return &n }
	capability := func(n uapi.Cap) *uapi.Cap { return &n }
	yes, no := true, false
	for _, tt := range []struct {
		lsm    LSM
		kernel *Kernel
		errno  uapi.Errno
		fails  string
	}{
		{LSM{Hook: uapi.HookTokenCreate}, k73, eACCES, "create"},
		{LSM{Hook: uapi.HookTokenCmd}, k73, ePERM, "stack hash devmap xdp skb kprobe btf get"},
		{LSM{Hook: uapi.HookTokenCmd, Cmd: cmd(0)}, k73, ePERM, "stack hash devmap"},
		{LSM{Hook: uapi.HookTokenCmd, Cmd: cmd(5)}, k73, ePERM, "xdp skb kprobe"},
		{LSM{Hook: uapi.HookTokenCmd, Cmd: cmd(36)}, k73, ePERM, ""},
		{LSM{Hook: uapi.HookTokenCapable}, k73, ePERM, "stack hash devmap xdp skb kprobe btf get"},
		{LSM{Hook: uapi.HookTokenCapable, Cap: capability(39)}, k73, ePERM, "stack hash devmap xdp skb kprobe btf"},
		{LSM{Hook: uapi.HookTokenCapable, Cap: capability(12)}, k73, ePERM, "devmap xdp"},
		{LSM{Hook: uapi.HookTokenCapable, Cap: capability(38)}, k73, ePERM, "kprobe"},
		{LSM{Hook: uapi.HookTokenCapable, Cap: capability(21)}, k73, ePERM, "get"},
		{LSM{Hook: uapi.HookMapCreate}, k73, eACCES, "stack hash devmap"},
		{LSM{Hook: uapi.HookMapCreate, Given: &yes}, k612, eACCES, "stack hash devmap"},
		{LSM{Hook: uapi.HookMapCreate, Given: &no}, k73, eACCES, ""},
		{LSM{Hook: uapi.HookMapCreate, Kernel: &yes}, k73, eACCES, ""},
		{LSM{Hook: uapi.HookMapCreate, Kernel: &no}, k73, eACCES, "stack hash devmap"},
		{LSM{Hook: uapi.HookProgLoad}, k612, eACCES, "xdp skb kprobe"},
		{LSM{Hook: uapi.HookProgLoad, Given: &yes}, k612, eACCES, ""},
		{LSM{Hook: uapi.HookProgLoad, Given: &yes}, k619, eACCES, ""},
		{LSM{Hook: uapi.HookProgLoad, Given: &yes}, k73, eACCES, "xdp skb kprobe"},
		{LSM{Hook: uapi.HookProgLoad, Given: &no}, k612, eACCES, "xdp skb kprobe"},
		{LSM{Hook: uapi.HookBPF, Cmd: cmd(36)}, k73, eACCES, "create"},
		{LSM{Hook: uapi.HookBPF, Cmd: cmd(0)}, k73, eACCES, "stack hash devmap"},
	} {
		tt.lsm.Errno = eACCES
		for name, req := range lsmRequests {
			want := uapi.OK
			if slices.Contains(strings.Fields(tt.fails), name) {
				want = tt.errno
			}
			if name == "get" && tt.kernel == k612 {
				continue // 6.12 takes no token
			}
			l := tt.lsm
			w := &World{
				Kernel:         tt.kernel,
				Caller:         Cred{Userns: child, Caps: uapi.AllCaps},
				UnprivDisabled: 2,
				LSM:            []*LSM{&l},
			}
			got, trace := Explain(w, req)
			if got.Errno != want || got != Decide(w, req) {
				t.Errorf("%s: %+v: %s: got %s by %s, want %s", tt.kernel.Release, tt.lsm, name, got.Errno, got.ID, want)
			}
			if !slices.ContainsFunc(trace, isLSM) {
				t.Errorf("%s: %s: no hook in its explanation", tt.kernel.Release, name)
			}
			if want != 0 && !l.Ran {
				t.Errorf("%s: %+v: %s: it refused, but Ran is false", tt.kernel.Release, tt.lsm, name)
			}
		}
	}
}

// A program that returns 0 grants nothing, and a hook does not run if a check
// before it refuses.
func TestLSMOnlyRefuses(t *testing.T) {
	ran := func(h uapi.Hook, caps uapi.CapSet, req Request) (bool, uapi.Errno) {
		l := &LSM{Hook: h}
		v := Decide(
			&World{Kernel: k73, Caller: Cred{Userns: child, Caps: caps}, UnprivDisabled: 2, LSM: []*LSM{l}},
			req,
		)
		return l.Ran, v.Errno
	}
	stack := lsmRequests["stack"]
	bare := &MapCreate{Type: uapi.BPF_MAP_TYPE_STACK_TRACE, Token: tokenOf(Masks{Maps: ^uint64(0)})}
	for _, tt := range []struct {
		h    uapi.Hook
		caps uapi.CapSet
		req  Request
		ran  bool
		want uapi.Errno
	}{
		{uapi.HookTokenCmd, uapi.AllCaps, stack, true, 0},
		{uapi.HookTokenCmd, uapi.AllCaps, bare, false, ePERM},
		{uapi.HookTokenCmd, 0, stack, true, ePERM},
		{uapi.HookTokenCapable, 0, stack, false, ePERM},
		{uapi.HookTokenCapable, uapi.AllCaps, bare, false, ePERM},
		{uapi.HookTokenCapable, uapi.AllCaps, lsmRequests["skb"], true, 0},
		{uapi.HookMapCreate, 0, stack, false, ePERM},
		{uapi.HookMapCreate, uapi.AllCaps, stack, true, 0},
		{uapi.HookProgLoad, uapi.AllCaps, stack, false, 0},
	} {
		if got, errno := ran(tt.h, tt.caps, tt.req); got != tt.ran || errno != tt.want {
			t.Errorf("hook %d, caps %s, %T: ran %v and got %s, want %v and %s",
				tt.h, tt.caps, tt.req, got, errno, tt.ran, tt.want)
		}
	}
}

// Of several programs on a hook, the last one attached that refuses decides. A
// program can compare masks.
func TestLSMOrder(t *testing.T) {
	older, younger := &LSM{Hook: uapi.HookMapCreate, Errno: eBADF}, &LSM{Hook: uapi.HookMapCreate, Errno: eNOENT}
	other := &LSM{Hook: uapi.HookProgLoad, Errno: eINVAL}
	w := &World{Kernel: k73, Caller: Cred{Userns: child, Caps: uapi.AllCaps}, UnprivDisabled: 2,
		LSM: []*LSM{older, younger, other}}
	if v := Decide(w, lsmRequests["hash"]); v.Errno != eNOENT || older.Ran || !younger.Ran {
		t.Errorf("got %s, ran %v %v", v.Errno, older.Ran, younger.Ran)
	}
	some := uint64(2)
	younger.Maps = &some
	if v := Decide(w, lsmRequests["hash"]); v.Errno != eBADF {
		t.Errorf("other masks: got %s", v.Errno)
	}
	few := &MapCreate{Type: uapi.BPF_MAP_TYPE_HASH, Token: tokenOf(Masks{Cmds: 1, Maps: 2})}
	if v := Decide(w, few); v.Errno != eNOENT {
		t.Errorf("the same masks: got %s", v.Errno)
	}
	if v := Decide(w, &LSMRan{Program: other}); v.Errno != eNODATA {
		t.Errorf("a program that did not run: got %s", v.Errno)
	}
	if v := Decide(w, &LSMRan{Program: older}); v.Errno != 0 {
		t.Errorf("a program that ran: got %s", v.Errno)
	}
	kernel := true
	for k, want := range map[*Kernel]uapi.Errno{k612: eACCES, k73: 0} {
		if v := Decide(&World{Kernel: k}, &LSMAttach{Program: LSM{Hook: uapi.HookBPF, Kernel: &kernel}}); v.Errno != want {
			t.Errorf("%s: a program that reads the argument kernel: got %s", k.Release, v.Errno)
		}
	}
}
