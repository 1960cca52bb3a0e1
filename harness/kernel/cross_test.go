package kernel

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/arch"
)

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
		{"src:6.12", target.Name, "src:6.12", ""},
		{"src:6.12", "s390x", "", "is built for"},
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
