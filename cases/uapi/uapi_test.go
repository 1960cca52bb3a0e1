package uapi

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLookup(t *testing.T) {
	for _, tt := range []struct {
		enum *Enum
		name string
		want uint32
		ok   bool
	}{
		{&Cmds, "map_create", 0, true},
		{&Cmds, "MAP_CREATE", 0, true},
		{&Cmds, "token_create", 36, true},
		{&Cmds, "prog_run", 10, true},
		{&Cmds, "BPF_MAP_CREATE", 0, false},
		{&Cmds, "", 0, false},
		{&MapTypes, "hash", 1, true},
		{&MapTypes, "cgroup_storage", 19, true},
		{&MapTypes, "35", 35, true},
		{&MapTypes, "0x63", 99, true}, // a number that nobody has named yet
		{&MapTypes, "hsah", 0, false},
		{&MapTypes, "-1", 0, false},
		{&ProgTypes, "netfilter", 32, true},
		{&AttachTypes, "trace_fsession", 58, true},
		{&AttachTypes, "xdp", 37, true},
	} {
		m, ok := tt.enum.Lookup(tt.name)
		if ok != tt.ok || m.Value != tt.want {
			t.Errorf("%s.Lookup(%q) = %d, %v, want %d, %v", tt.enum.Tag, tt.name, m.Value, ok, tt.want, tt.ok)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{BPF_MAP_CREATE.String(), "map_create"},
		{BPF_PROG_RUN.String(), "prog_test_run"}, // the first name with the value, as the kernel shows it
		{BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED.String(), "cgroup_storage_deprecated"},
		{MapType(99).String(), "99"},
		{BPF_PROG_TYPE_XDP.String(), "xdp"},
		{BPF_XDP.String(), "xdp"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

// Every name finds its member again, and no number is skipped.
func TestEnumsAreWhole(t *testing.T) {
	for _, e := range []*Enum{&Cmds, &MapTypes, &ProgTypes, &AttachTypes} {
		next := uint32(0)
		for _, m := range e.Members {
			if got, ok := e.Lookup(m.Name); !ok || got != m {
				t.Errorf("%s.Lookup(%q) = %v, %v, want %v", e.Tag, m.Name, got, ok, m)
			}
			if m.Name != strings.ToLower(m.Name) || strings.HasPrefix(m.Name, "bpf_") {
				t.Errorf("%s: %q is not as a mount option spells it", e.Tag, m.Name)
			}
			switch {
			case m.Alias && m.Value >= next:
				t.Errorf("%s: the alias %s repeats no earlier value", e.Tag, m.Name)
			case !m.Alias && m.Value < 64 && m.Value != next:
				t.Errorf("%s: %s is %d, want %d", e.Tag, m.Name, m.Value, next)
			case !m.Alias:
				next = m.Value + 1
			}
		}
	}
}

// The table of oracle/SEMANTICS.md, Releases: __MAX_… in the BTF of released kernels.
func TestMax(t *testing.T) {
	for _, tt := range []struct {
		release                   string
		cmds, maps, progs, attach uint32
	}{
		{"6.9", 37, 34, 33, 56},
		{"6.12", 37, 34, 33, 57},
		{"6.18", 38, 34, 33, 58},
		{"6.19", 38, 35, 33, 58},
		{"7.3", 39, 36, 33, 62},
	} {
		r, err := ParseRelease(tt.release)
		if err != nil {
			t.Fatal(err)
		}
		got := [4]uint32{Cmds.Max(r), MapTypes.Max(r), ProgTypes.Max(r), AttachTypes.Max(r)}
		if want := [4]uint32{tt.cmds, tt.maps, tt.progs, tt.attach}; got != want {
			t.Errorf("%s: commands, maps, programs, attach types end at %d, want %d", tt.release, got, want)
		}
	}
}

func TestParseRelease(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Release
	}{
		{"6.12.117+deb13-cloud-amd64", Release{6, 12}},
		{"7.3-rc7", Release{7, 3}},
		{"6.9", Release{6, 9}},
		{"5.10.0-36-amd64", Release{5, 10}},
	} {
		if got, err := ParseRelease(tt.text); err != nil || got != tt.want {
			t.Errorf("ParseRelease(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "6", "v6.12", "-6.12", "six.twelve", "6.99999999999999999999"} {
		if got, err := ParseRelease(bad); err == nil || got != (Release{}) ||
			!strings.Contains(err.Error(), "read release") {
			t.Errorf("ParseRelease(%q) = %v, %v, want an error that names it", bad, got, err)
		}
	}
}

func TestReleaseLess(t *testing.T) {
	order := []Release{{5, 19}, {6, 0}, {6, 1}, {6, 9}, {6, 12}, {7, 0}, {7, 3}}
	for i, a := range order {
		for j, b := range order {
			if a.Less(b) != (i < j) {
				t.Errorf("%v.Less(%v) = %v", a, b, a.Less(b))
			}
		}
	}
}

func TestCaps(t *testing.T) {
	for _, tt := range []struct {
		text string
		want CapSet
	}{
		{"none", 0},
		{"all", AllCaps},
		{"CAP_BPF", 1 << 39},
		{"CAP_BPF+CAP_NET_ADMIN", 1<<39 | 1<<12},
		{"CAP_PERFMON+CAP_SYS_ADMIN", 1<<38 | 1<<21},
		{"all-CAP_BPF", AllCaps &^ (1 << 39)},
		{"all-CAP_BPF+CAP_SYS_ADMIN", AllCaps &^ (1<<39 | 1<<21)},
	} {
		got, err := ParseCaps(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("ParseCaps(%q) = %#x, %v, want %#x", tt.text, uint64(got), err, uint64(tt.want))
		}
		if got.String() != tt.text {
			t.Errorf("ParseCaps(%q).String() = %q", tt.text, got.String())
		}
	}
	for _, bad := range []string{"", "CAP_NOPE", "cap_bpf", "CAP_BPF+", "all-CAP_NOPE", "CAP_BPF,CAP_PERFMON"} {
		if _, err := ParseCaps(bad); err == nil || !strings.Contains(err.Error(), "unknown capability") {
			t.Errorf("ParseCaps(%q): error %v, want unknown capability", bad, err)
		}
	}
}

func TestCapNumbers(t *testing.T) {
	for cap, want := range map[Cap]uint{CAP_NET_ADMIN: unix.CAP_NET_ADMIN, CAP_SYS_ADMIN: unix.CAP_SYS_ADMIN,
		CAP_PERFMON: unix.CAP_PERFMON, CAP_BPF: unix.CAP_BPF,
		CAP_DAC_OVERRIDE: unix.CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: unix.CAP_DAC_READ_SEARCH, CAP_FOWNER: unix.CAP_FOWNER,
		CAP_SYS_PTRACE: unix.CAP_SYS_PTRACE} {
		if uint(cap) != want {
			t.Errorf("%s is %d, want %d", cap, uint(cap), want)
		}
		s := CapSet(1) << cap
		if !s.Has(cap) || (AllCaps &^ s).Has(cap) {
			t.Errorf("Has(%s) is wrong", cap)
		}
	}
	if got := Cap(5).String(); got != "capability 5" {
		t.Errorf("Cap(5) is %q", got)
	}
}

func TestErrno(t *testing.T) {
	for e, want := range map[Errno]string{0: "ok", 1: "EPERM", 2: "ENOENT", 22: "EINVAL", 77: "EBADFD", 95: "EOPNOTSUPP",
		524: "ENOTSUPP", 4000: "errno 4000"} {
		if e.String() != want {
			t.Errorf("errno %d is %q, want %q", uint(e), e, want)
		}
	}
	for e := OK; e <= maxErrno; e++ {
		if e > ENOTSUPP+1 && e < maxErrno {
			continue // none has a name
		}
		if got, err := ParseErrno(e.String()); err != nil || got != e {
			t.Errorf("ParseErrno(%q) = %d, %v, want %d", e, uint(got), err, uint(e))
		}
	}
	for _, bad := range []string{"", "eperm", "EPRM", "1", "ENOTSUP"} {
		if e, err := ParseErrno(bad); err == nil {
			t.Errorf("ParseErrno(%q) = %d, want an error", bad, uint(e))
		}
	}
}
