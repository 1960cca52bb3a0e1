package step

import (
	"encoding/binary"
	"strings"
	"testing"
)

// Each file is read as kernels write it. A text that is not a value gives no setting.
func TestSettingParse(t *testing.T) {
	status := func(policyload uint32) string {
		var b []byte
		for _, word := range []uint32{1, 2, 1, policyload, 0} {
			b = binary.NativeEndian.AppendUint32(b, word)
		}
		return string(b)
	}
	const boot = "panic=-1 console=ttyS0 "
	for _, tt := range []struct {
		name, text string
		want       int64
		ok         bool
	}{
		{Lockdown, "[none] integrity confidentiality\n", 0, true},
		{Lockdown, "none [integrity] confidentiality\n", LockdownIntegrity, true},
		{Lockdown, "none integrity [confidentiality]\n", LockdownConfidentiality, true},
		{Lockdown, "none integrity\n", 0, false},
		{Lockdown, "none [strict]\n", 0, false},
		{Mitigations, boot + "\n", off, true},
		{Mitigations, boot + "mitigations=off\n", on, true},
		{Mitigations, boot + "mitigations=off mitigations=auto,nosmt\n", off, true},
		{Mitigations, boot + "xmitigations=off\n", off, true},
		{Mitigations, boot + "-- mitigations=off\n", off, true},
		{LSMArgument, boot, 0, true},
		{LSMArgument, boot + "lsm=yama,bpf", 1, true},
		{LSMArgument, boot + "lsm=yama,bpf lsm=capability", LSMWithoutBPF, true},
		{LSMArgument, boot + "lsm=", LSMWithoutBPF, true},
		{CgroupDisable, boot + "cgroup_disable=pids,memory", on, true},
		{CgroupDisable, boot + "cgroup_disable=pids", off, true},
		{CgroupMemory, boot + "cgroup.memory=nosocket cgroup.memory=nokmem", on, true},
		{CgroupMemory, boot + "cgroup.memory=nobpf cgroup.memory=nosocket", on, true},
		{CgroupMemory, boot + "cgroup.memory=nosocket", off, true},
		{SELinuxEnforces, "1", 1, true},
		{SELinuxPolicy, status(0), 0, true},
		{SELinuxPolicy, status(3), 3, true},
		{SELinuxPolicy, "short", 0, false},
		{"apparmor", "Y\n", on, true},
		{"apparmor", "N\n", off, true},
		{"apparmor", "\n", 0, false},
		{PerfParanoid, "-1\n", -1, true},
		{PerfParanoid, "", 0, false},
		{"net.core.bpf_jit_limit", "528482304\n", 528482304, true},
	} {
		got, ok := SettingNamed(tt.name).Parse(tt.text)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s of %q: got %d, %t, want %d, %t", tt.name, tt.text, got, ok, tt.want, tt.ok)
		}
	}
}

// The table is complete: every setting says what it decides and which function
// reads it, every change why, and a value is read as it is spelled.
func TestSettings(t *testing.T) {
	seen := map[string]bool{}
	for i := range Settings {
		s := &Settings[i]
		if seen[s.Name] || s.Decides == "" || s.Func == "" || !strings.HasPrefix(s.File, "/") ||
			strings.Contains(s.Name, " ") {
			t.Errorf("%+v is not whole, or there twice", s)
		}
		seen[s.Name] = true
		if s.Change != nil && s.Change.Why == "" {
			t.Errorf("%s is changed, and nothing says why", s.Name)
		}
		for v := range int64(3) {
			got, ok := s.Read(strings.ReplaceAll(s.Spell(v), " ", "_"))
			if known := s.Words == nil || v < int64(len(s.Words)); ok != known || ok && got != v {
				t.Errorf("%s: %d is spelled %s and read as %d, %t", s.Name, v, s.Spell(v), got, ok)
			}
		}
	}
	for _, name := range []string{Lockdown, Mitigations, LSMArgument, CgroupDisable, CgroupMemory, JITEnable, JITHarden,
		JITKallsyms, KptrRestrict, PerfParanoid, PtraceScope, UnprivDisabled} {
		if !seen[name] {
			t.Errorf("no row of %s", name)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, tt := range []struct {
		to   Target
		v    int64
		want bool
	}{
		{Target{Value: 0}, 0, true}, {Target{Value: 0}, 1, false}, {Target{Value: 0}, -1, false},
		{Target{Value: 10, AtLeast: true}, 9, false}, {Target{Value: 10, AtLeast: true}, 10, true}, {Target{Value: 10,
			AtLeast: true}, 11, true},
	} {
		if got := tt.to.Holds(tt.v); got != tt.want {
			t.Errorf("%+v holds at %d: %t", tt.to, tt.v, got)
		}
	}
}
