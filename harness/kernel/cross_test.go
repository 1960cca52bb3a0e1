package kernel

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/arch"
)

// A source is built for the architecture that its reference or ARCH= names, with a compiler for that.
func TestTargetOf(t *testing.T) {
	other := arch.All[1]
	if host == other {
		other = arch.All[0]
	}
	for _, tt := range []struct {
		of     *arch.Arch
		vars   string
		want   *arch.Arch
		others string // variables
		made   string // what is added to them
		wrong  string
	}{
		{nil, "", host, "", "", ""},
		{nil, "W=1", host, "W=1", "", ""},
		{other, "W=1", other, "W=1", "CROSS_COMPILE=" + other.Image.Cross, ""},
		{nil, "ARCH=" + other.Linux, other, "", "CROSS_COMPILE=" + other.Image.Cross, ""},
		{other, "ARCH=" + other.Linux + " LLVM=1", other, "LLVM=1", "", ""},
		{other, "CROSS_COMPILE=x-", other, "CROSS_COMPILE=x-", "", ""},
		{other, "ARCH=" + host.Linux, nil, "", "", "--make ARCH=" + host.Linux},
		{nil, "ARCH=vax", nil, "", "", "there are "},
	} {
		got, vars, err := targetOf(&Built{Ref: "x", arch: tt.of}, strings.Fields(tt.vars))
		var mistake *UsageError
		if tt.wrong != "" {
			if !errors.As(err, &mistake) || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%+v: got %v", tt, err)
			}
			continue
		}
		if err != nil || got != tt.want || strings.Join(vars, " ") != tt.others {
			t.Errorf("%+v: got %v, %q, %v", tt, got, vars, err)
		}
		if made := strings.Join(cross(got, vars), " "); made != tt.made {
			t.Errorf("%+v: the compiler is %q", tt, made)
		}
	}
}

func TestCross(t *testing.T) {
	own, other := host.Name, arch.All[1].Name
	if host == arch.All[1] {
		other = arch.All[0].Name
	}
	for _, tt := range []struct {
		refs, on, want string
		wrong          string
	}{
		{"deb:6.12 x", "", "deb:6.12 x", ""},
		{"deb:6.12 deb:7.3", own + " " + other, "deb:6.12 deb:6.12/" + other + " deb:7.3 deb:7.3/" + other, ""},
		{"deb:6.12/s390x deb:6.12", "s390 " + other, "deb:6.12/s390x deb:6.12/" + other, ""},
		{"deb:6.12:rt", other, "deb:6.12/" + other + ":rt", ""},
		{"x oci:a/b", other, "x oci:a/b", ""},
		{"src:6.12", own + " " + other, "src:6.12 src:6.12/" + other, ""},
		{"src:6.12/s390x", other, "src:6.12/s390x", ""},
		{"src:6.12+cross_test.go", other, "src:6.12/" + other + "+cross_test.go", ""},
		{"git:.#v1", own, "git:.#v1", ""},
		{"git:.#v1", other, "", "--make ARCH="},
		{"deb:6.12:rt", own + " " + other, "", "names a flavour"},
		{"deb:6.12", "vax", "", "there are "},
	} {
		got, err := Cross(strings.Fields(tt.refs), strings.Fields(tt.on))
		want := strings.Fields(tt.want)
		if tt.refs == "deb:6.12/s390x deb:6.12" {
			want = []string{"deb:6.12/s390x", "deb:6.12/" + other}
		}
		var mistake *UsageError
		switch {
		case tt.wrong == "" && (err != nil || !slices.Equal(got, want)):
			t.Errorf("%+v: got %q, %v", tt, got, err)
		case tt.wrong != "" && (!errors.As(err, &mistake) || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("%+v: got %q, %v", tt, got, err)
		}
	}
}
