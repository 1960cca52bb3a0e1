package arch

import (
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "rewrite scripts/packages.txt")

// scripts/setup.sh reads the table of packages as a file.
func TestLines(t *testing.T) {
	const name = "../../scripts/packages.txt"
	if *update {
		if err := os.WriteFile(name, []byte(Lines()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != Lines() {
		t.Errorf("%s is not what the table says (%v): go test ./harness/arch -update", name, err)
	}
}

// Each name is that of one architecture.
func TestFind(t *testing.T) {
	for _, a := range All {
		for _, name := range append([]string{a.Name, a.GOARCH, a.Machine}, a.Aliases...) {
			if Find(name) != a {
				t.Errorf("%s: got %v, want %v", name, Find(name), a)
			}
		}
		if OfELF(a.ELF) != a || OfConfig(a.Config) != a {
			t.Errorf("%s: its ELF machine or the name of its configuration is another's", a)
		}
	}
	if Find("vax") != nil || Find("") != nil || OfELF(0) != nil {
		t.Error("found what is not there")
	}
}

// A release may have the program in another package.
func TestPackage(t *testing.T) {
	for _, tt := range []struct{ of, id, version, want string }{
		{"s390x", "debian", "12", "qemu-system-misc"},
		{"s390x", "debian", "13", "qemu-system-s390x"},
		{"s390x", "debian", "", "qemu-system-s390x"},
		{"arm64", "debian", "12", "qemu-system-arm"},
		{"arm64", "plan9", "4", ""},
	} {
		if got := Find(tt.of).QEMU.Package(tt.id, tt.version); got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}

// An extension is a whole word of the line.
func TestExchanges128(t *testing.T) {
	for _, tt := range []struct {
		of, isa string
		want    bool
	}{
		{"amd64", "", true}, {"ppc64el", "", false}, {"ppc64el", "zacas", false}, {"riscv64", "", false},
		{"riscv64", "rv64imafdch_zicsr_zifencei", false}, {"riscv64", "rv64imafdch_zacas_zba", true},
		{"riscv64", "rv64imafdch_xzacas", false},
	} {
		if got := Find(tt.of).Exchanges128(tt.isa); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}
