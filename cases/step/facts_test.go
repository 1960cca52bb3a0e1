package step

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/uapi"
)

// A release is two numbers, and a third one in a stable series.
func TestFactsRelease(t *testing.T) {
	for _, tt := range []struct {
		release string
		want    uapi.Release
		patch   int
	}{
		{"6.12.117+deb13-cloud-amd64", uapi.Release{Major: 6, Minor: 12}, 117}, {"7.3-rc7", uapi.Release{Major: 7, Minor: 3},
			0},
		{"7.3.0", uapi.Release{Major: 7, Minor: 3}, 0}, {"6.1.0-56-cloud-amd64", uapi.Release{Major: 6, Minor: 1}, 0},
		{"5.10.259", uapi.Release{Major: 5, Minor: 10}, 259}, {"6.12.", uapi.Release{Major: 6, Minor: 12}, 0},
		{"6.12.99999999999999999999", uapi.Release{Major: 6, Minor: 12}, 99999}, {"", uapi.Release{}, 0}, {"next",
			uapi.Release{}, 0},
	} {
		f := &Facts{Release: tt.release}
		if got := f.Version(); got != tt.want {
			t.Errorf("%q is release %s, want %s", tt.release, got, tt.want)
		}
		patch := f.Patch()
		if tt.patch == 99999 {
			if patch < 1<<16 || patch > 1<<24 {
				t.Errorf("%q has patch level %d: it is not bounded", tt.release, patch)
			}
			continue
		}
		if patch != tt.patch {
			t.Errorf("%q has patch level %d, want %d", tt.release, patch, tt.patch)
		}
	}
}

// The arguments of a step are found by their keys, numbers and zeros alike.
func TestStepNum(t *testing.T) {
	s := &Step{Args: []Arg{{Key: KeyUID, Num: 7}, {Key: KeyFlags}, {Key: KeyUID, Num: 8}}}
	for k, want := range map[Key]struct {
		n  uint64
		ok bool
	}{KeyUID: {7, true}, KeyFlags: {0, true}, KeyGID: {0, false}} {
		if n, ok := s.Num(k); n != want.n || ok != want.ok {
			t.Errorf("key %d: %d, %v, want %+v", k, n, ok, want)
		}
	}
}

// A proof fails if the object does not work, and if a descriptor survives execve(2).
func TestProof(t *testing.T) {
	for p, want := range map[Proof]struct {
		fails bool
		fault string
	}{
		NoProof: {false, "an object that does not work"}, Works: {false, "an object that does not work"},
		DoesNotWork: {true, "an object that does not work"}, SurvivesExec: {true, "a descriptor that survives execve(2)"},
	} {
		if p.Fails() != want.fails || p.Fails() && p.Fault() != want.fault {
			t.Errorf("proof %d: fails %v, %q", p, p.Fails(), p.Fault())
		}
	}
}

// Stored records keep their fields: an observation, a fixture and a change.
func TestStoredForm(t *testing.T) {
	for want, v := range map[string]any{
		`{"errno":1}`: Observation{Errno: 1},
		`{"errno":0,"proof":1,"values":[3],"text":"t"}`: Observation{Proof: Works, Values: []uint64{3},
			Text: "t"},
		`{"name":"hash map","errno":22}`:         Fixture{"hash map", 22},
		`{"kind":"setting","name":"n","to":"0"}`: Change{Kind: ChangeSetting, Name: "n", To: "0"},
		`{"kind":"mount","name":"/proc","to":"proc","errno":16}`: Change{Kind: ChangeMount, Name: "/proc", To: "proc",
			Errno: 16},
		`{"booted":1,"running":2}`: Reading{1, 2},
		`{"release":"6.12","token":true,"btf":false,"struct_ops_index":0,"config_off":["NET"]}`: Facts{Release: "6.12",
			Token: true, ConfigOff: []string{"NET"}, Config: map[string]string{"NET": "y"}},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != want {
			t.Errorf("%T: %s, want %s", v, text, want)
		}
	}
}

// An unknown list of security modules and an empty one are stored differently.
func TestStoredLSM(t *testing.T) {
	for _, lsm := range [][]string{nil, {}, {"bpf"}} {
		text, err := json.Marshal(Facts{LSM: lsm})
		if err != nil {
			t.Fatal(err)
		}
		var back Facts
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if (back.LSM == nil) != (lsm == nil) || !slices.Equal(back.LSM, lsm) {
			t.Errorf("%#v is stored as %s and read as %#v", lsm, text, back.LSM)
		}
	}
}

// States are the settings that were read, in the table's order, with what the guest changed.
func TestStates(t *testing.T) {
	f := &Facts{Settings: map[string]Reading{
		UnprivDisabled: {Booted: 0, Running: 2}, Lockdown: {Booted: 1, Running: 1}, "nonsense": {},
	}}
	states := f.States()
	if len(states) != 2 || states[0].Name != Lockdown || states[1].Name != UnprivDisabled {
		t.Fatalf("got %+v", states)
	}
	if v, c := states[0].Value(), states[0].Changed(); v != "integrity" || c != "" {
		t.Errorf("lockdown is %q, changed %q", v, c)
	}
	if v, c := states[1].Value(), states[1].Changed(); v != "2" || c != "booted with 0" {
		t.Errorf("the sysctl is %q, changed %q", v, c)
	}
	if (*Facts)(nil).States() != nil {
		t.Error("a kernel that is not known has settings")
	}
	if v, ok := f.Running(UnprivDisabled); v != 2 || !ok {
		t.Errorf("running %d, %v", v, ok)
	}
	if _, ok := f.Running(PtraceScope); ok {
		t.Error("a setting that was not read has a value")
	}
}

// A value is read as it is written, and nothing else is.
func TestSettingWords(t *testing.T) {
	lockdown, unpriv, lsm := SettingNamed(Lockdown), SettingNamed(UnprivDisabled), SettingNamed(LSMArgument)
	for _, tt := range []struct {
		s    *Setting
		word string
		want int64
		ok   bool
	}{
		{lockdown, "none", 0, true}, {lockdown, "confidentiality", 2, true}, {lockdown, "2", 2, false}, {lockdown, "strict",
			0, false},
		{unpriv, "2", 2, true}, {unpriv, "-1", -1, true}, {unpriv, "two", 0, false}, {unpriv, "", 0, false},
		{lsm, "without_bpf", 2, true}, {lsm, "without bpf", 2, true},
	} {
		if got, ok := tt.s.Read(tt.word); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: %q is %d, %v", tt.s.Name, tt.word, got, ok)
		}
	}
	if got := lsm.Choices(); got != "one of not_given, with_bpf, without_bpf" {
		t.Errorf("choices of words: %q", got)
	}
	if got := unpriv.Choices(); got != "a number" {
		t.Errorf("choices of numbers: %q", got)
	}
	if got := lockdown.Spell(7) + lockdown.Spell(-1); got != "7-1" {
		t.Errorf("values without a word: %q", got)
	}
	if SettingNamed("nonsense") != nil {
		t.Error("a setting that does not exist has a row")
	}
}

// The file of a sysctl, and of each setting that is one.
func TestSysctlFiles(t *testing.T) {
	for name, want := range map[string]string{
		UnprivDisabled: "/proc/sys/kernel/unprivileged_bpf_disabled", JITEnable: "/proc/sys/net/core/bpf_jit_enable",
		PtraceScope: "/proc/sys/kernel/yama/ptrace_scope", Mitigations: "/proc/cmdline",
		Lockdown: "/sys/kernel/security/lockdown",
	} {
		if got := SettingNamed(name).File; got != want {
			t.Errorf("%s is read from %s, want %s", name, got, want)
		}
	}
}

// What the guest sets before the first case, and to what.
func TestChanges(t *testing.T) {
	var got []string
	for i := range Settings {
		s := &Settings[i]
		if s.Change == nil {
			continue
		}
		word := s.Name + "=" + s.Spell(s.Change.Value)
		if s.Change.AtLeast {
			word += "+"
		}
		if s.Change.Worlds {
			word += " worlds"
		}
		got = append(got, word)
	}
	for _, want := range []string{UnprivDisabled + "=2 worlds", PtraceScope + "=0", "fs.protected_hardlinks=0"} {
		if !slices.Contains(got, want) {
			t.Errorf("no change %s among %q", want, got)
		}
	}
}

// The sources in the build are this package's.
func TestSources(t *testing.T) {
	text, err := Sources.ReadFile("ops.go")
	if err != nil || !strings.HasPrefix(string(text), "package step\n") {
		t.Errorf("ops.go: %v", err)
	}
}

// Parameters of two operations are the same argument if a step may give them differently.
func TestParamSame(t *testing.T) {
	p := Param{Key: KeyAt, Name: "at", Kind: KindPlace, Doc: "d"}
	if !p.Same(p.as(Required)) || !p.Same(p.point()) {
		t.Error("how a step gives an argument makes it another one")
	}
	for name, q := range map[string]Param{
		"key": {Key: KeyIn, Name: "at", Kind: KindPlace, Doc: "d"}, "name": {Key: KeyAt, Name: "in", Kind: KindPlace,
			Doc: "d"},
		"kind": {Key: KeyAt, Name: "at", Kind: KindNum, Doc: "d"}, "doc": {Key: KeyAt, Name: "at", Kind: KindPlace},
	} {
		if p.Same(q) {
			t.Errorf("another %s is the same argument", name)
		}
	}
}

// Each file system that the guest mounts has a reason, and devices and programs only where they must be.
func TestMounts(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Mounts {
		if m.FS == "" || !strings.HasPrefix(m.Dir, "/") || m.Why == "" || seen[m.Dir] {
			t.Errorf("%+v is not whole, or there twice", m)
		}
		seen[m.Dir] = true
		if m.Devices != (m.Dir == "/dev") || m.Programs != (m.Dir == "/dev" || m.Dir == "/tmp") {
			t.Errorf("%s: devices %v, programs %v", m.Dir, m.Devices, m.Programs)
		}
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/sys/fs/bpf", "/sys/fs/cgroup", "/tmp"} {
		if !seen[dir] {
			t.Errorf("nothing is mounted on %s", dir)
		}
	}
}

// Settings that only cases with JIT need are named by the option that makes them impossible to switch off.
func TestNever(t *testing.T) {
	for i := range Settings {
		s := &Settings[i]
		if want := map[string]string{JITEnable: "BPF_JIT_ALWAYS_ON"}[s.Name]; s.Never != want {
			t.Errorf("%s: the option %q makes 0 impossible, want %q", s.Name, s.Never, want)
		}
	}
}

// Of the parameters of an operation, Used returns those of one use, in order.
func TestUsed(t *testing.T) {
	for _, tt := range []struct {
		o    Op
		u    Use
		want string
	}{
		{OpSend, Positional, "handle to"}, {OpChurn, Required, "bpffs times slack"}, {OpOpen, OneOf, "of at"},
		{OpFsopen, Required, ""}, {OpMkdir, Positional, ""},
	} {
		var names []string
		for _, p := range tt.o.Row().Used(tt.u) {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%s, use %d: %q, want %q", tt.o, tt.u, got, tt.want)
		}
	}
}

// An enumerator of 64 and more is no bit, and __MAX counts where the kernel has it.
func TestEndOfEnumerations(t *testing.T) {
	for i, tt := range []struct {
		list []Enumerator
		want uint32
	}{
		{[]Enumerator{{"BPF_MAP_TYPE_UNSPEC", 0}, {"__MAX_BPF_MAP_TYPE", 36}}, 36},
		{[]Enumerator{{"BPF_XDP", 37}, {"MAX_OTHER", 50}}, 51}, {[]Enumerator{{"BPF_COMMON_ATTRS", 65536}}, 0},
	} {
		if got := End(tt.list); got != tt.want {
			t.Errorf("%d: %d, want %d", i, got, tt.want)
		}
	}
}
