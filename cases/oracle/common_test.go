package oracle

import (
	"strings"
	"testing"

	"tokentest/cases/uapi"
)

// isCommon reports whether a rule is about the common attributes, which have tests of their own.
func isCommon(l Line) bool {
	_, id, _ := strings.Cut(l.ID, "/")
	switch id {
	case "common", "common-too-long", "common-unreadable", "log-unwritable", "log-full", "log-size":
		return true
	}
	return l.ID == "map_create/log"
}

// The common attributes are looked at before the command, and their log is closed behind some of its checks.
func TestCommonAttributes(t *testing.T) {
	with := func(m Common) Fault { return Fault{Common: m} }
	hash := func(m Common, a MapAttr) *MapCreate {
		a.Key, a.Value, a.Max = 4, 4, max(a.Max, 1)
		return &MapCreate{Type: uapi.BPF_MAP_TYPE_HASH, Token: tokenOf(allMasks), Attr: &a, Fault: with(m)}
	}
	prog := func(m Common, a ProgAttr) *ProgLoad {
		a.Insns = 2
		return &ProgLoad{Type: uapi.BPF_PROG_TYPE_SOCKET_FILTER, Token: tokenOf(allMasks), Attr: &a, Fault: with(m)}
	}
	btf := func(m Common, l BTFLoad) *BTFLoad {
		l.Token, l.Fault.Common = tokenOf(allMasks), m
		return &l
	}
	empty := uint32(0)
	for _, tt := range []struct {
		r    Request
		caps uapi.CapSet
		want string
	}{
		{&TokenCreate{BPFFS: FD{Kind: Object}, Fault: Fault{TooLong: true, Common: CommonUnreadable}}, 0,
			"token_create/attr-too-long"},
		{&Call{Cmd: 200, Fault: with(CommonTail)}, 0, "call/common-too-long"},
		{&TokenCreate{BPFFS: FD{Kind: Object}, Fault: with(CommonReadOnly)}, 0, "token_create/not-root"},
		{hash(CommonBigSize, MapAttr{BadName: true}), 0, "map_create/log"},
		{&MapCreate{Type: 1, Fault: Fault{Tail: true, Common: CommonNoLevel}}, 0, "map_create/log"},
		{&MapCreate{Type: 1, Fault: Fault{Tail: true, Common: CommonShort}}, 0, "map_create/log-full"},
		{&MapCreate{Type: 0, Fault: with(CommonShort)}, 0, "map_create/bad-type"},
		{&MapCreate{Type: 1000, Fault: with(CommonShort)}, 0, "map_create/log-full"},
		{hash(CommonShort, MapAttr{BadName: true}), 0, "map_create/unprivileged-disabled"},
		{hash(CommonShort, MapAttr{BadName: true}), capsBPF, "map_create/log-full"},
		{hash(CommonBadBuffer, MapAttr{BadName: true}), capsBPF, "map_create/log-unwritable"},
		{hash(CommonReadOnly, MapAttr{}), 0, "map_create/log-size"},
		{hash(CommonReadOnly, MapAttr{Flags: fFile}), capsBPF, "map_create/log-size"},
		{hash(CommonShort, MapAttr{Flags: fFile}), capsBPF, "map_create/file-flags-late"},
		{hash(CommonShort, MapAttr{}), capsBPF, "map_create/allowed"},
		{prog(CommonOther, ProgAttr{}), 0, "prog_load/log"},
		{prog(CommonReadOnly, ProgAttr{}), 0, "prog_load/unprivileged-disabled"},
		{prog(CommonReadOnly, ProgAttr{}), capsBPF, "prog_load/log-size"},
		{prog(CommonShort, ProgAttr{}), capsBPF, "prog_load/log-full"},
		{prog(CommonBadBuffer, ProgAttr{Body: CallsKfunc}), capsBPF, "prog_load/log-unwritable"},
		{prog(CommonShort, ProgAttr{Sign: &empty}), capsBPF, "prog_load/signature-key"},
		{prog(CommonShort, ProgAttr{Sign: &empty, Ring: 7}), capsBPF, "prog_load/signature-key"},
		{prog(CommonReadOnly, ProgAttr{Sign: &empty}), capsBPF, "prog_load/log-size"},
		{prog(CommonShort, ProgAttr{Binds: &FD{}}), capsBPF, "prog_load/log-full"},
		{prog(CommonLength, ProgAttr{}), capsBPF, "prog_load/allowed"},
		{btf(CommonOther, BTFLoad{}), 0, "btf_load/log"},
		{btf(CommonShort, BTFLoad{}), 0, "btf_load/no-cap-bpf"},
		{btf(CommonShort, BTFLoad{Junk: true}), capsBPF, "btf_load/log-full"},
		{btf(CommonReadOnly, BTFLoad{NoFD: true}), capsBPF, "btf_load/log-size"},
		{btf(CommonSame, BTFLoad{NoFD: true}), capsBPF, "btf_load/no-fd"},
	} {
		w := &World{Kernel: k73, Caller: Cred{Userns: child, Caps: tt.caps}, UnprivDisabled: 2}
		v, trace := Explain(w, tt.r)
		if v.ID != tt.want || Decide(w, tt.r) != v {
			t.Errorf("%T %+v: decided by %s (Decide: %s), want %s", tt.r, tt.r, v.ID, Decide(w, tt.r).ID, tt.want)
		}
		decide := 0
		for _, l := range trace {
			if l.Decides {
				decide++
			}
		}
		if allowed := v.Errno == 0; allowed && decide != 0 || !allowed && decide != 1 {
			t.Errorf("%+v: %d rules decide", tt.r, decide)
		}
	}
}
