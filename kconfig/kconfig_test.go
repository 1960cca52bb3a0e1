package kconfig

import (
	"strings"
	"testing"
)

const sample = `#
# Automatically generated file; DO NOT EDIT.
# Linux/x86 6.12.117 Kernel Configuration
#
CONFIG_CC_VERSION_TEXT="gcc \"quoted\" 14 \\ end"
CONFIG_BPF_SYSCALL=y
# CONFIG_BPF_PRELOAD is not set
CONFIG_VIRTIO_CONSOLE=m
CONFIG_NR_CPUS=64
CONFIG_PHYSICAL_START=0x1000000
CONFIG_EMPTY=""
CONFIG_TWICE=y
# CONFIG_TWICE is not set
# CONFIG_not really a symbol is not set
`

func TestLookup(t *testing.T) {
	config, err := Parse(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		sym, value   string
		has, builtIn bool
	}{
		{"CONFIG_BPF_SYSCALL", "y", true, true},
		{"BPF_SYSCALL", "y", true, true},
		{"VIRTIO_CONSOLE", "m", true, false},
		{"BPF_PRELOAD", "n", false, false},
		{"ABSENT", "", false, false},
		{"NR_CPUS", "64", false, false},
		{"PHYSICAL_START", "0x1000000", false, false},
		{"CC_VERSION_TEXT", `gcc "quoted" 14 \ end`, false, false},
		{"EMPTY", "", false, false},
		{"TWICE", "n", false, false},
	}
	for _, tt := range tests {
		if got := config.Value(tt.sym); got != tt.value {
			t.Errorf("Value(%s) = %q, want %q", tt.sym, got, tt.value)
		}
		if config.Has(tt.sym) != tt.has || config.BuiltIn(tt.sym) != tt.builtIn {
			t.Errorf("%s: Has %t BuiltIn %t, want %t %t", tt.sym, config.Has(tt.sym), config.BuiltIn(tt.sym), tt.has, tt.builtIn)
		}
	}
	if len(config) != 8 {
		t.Errorf("got %d symbols, want 8: %v", len(config), config)
	}
}

// kconfig looks at the first letter of y, m and n, and at a string up to its closing quote.
func TestTrailingText(t *testing.T) {
	text := "CONFIG_A=y # a\nCONFIG_B=m\t# b\r\nCONFIG_C=n#\nCONFIG_D=\"x \\\" y\" # d\nCONFIG_E=64\n"
	config, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for sym, want := range map[string]string{"A": "y", "B": "m", "C": "n", "D": `x " y`, "E": "64"} {
		if got := config.Value(sym); got != want {
			t.Errorf("%s: got %q, want %q", sym, got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ in, want string }{
		{"CONFIG_A=y\nnonsense\n", `line 2: want CONFIG_NAME=value`},
		{"CONFIG_A=", "line 1: CONFIG_A: no value"},
		{"\n\nCONFIG_A=\"open\n", "line 3: CONFIG_A: string without closing quote"},
		{"CONFIG_A B=y\n", "line 1: want"},
		{"\x7fELF\x02\x01\x01\x00", "line 1: want"},
		{"BPF=y\n", "line 1: want"},
		{"CONFIG_A=y\n" + strings.Repeat("x", maxLine+1), "line 2: "},
	}
	for _, tt := range tests {
		_, err := Parse(strings.NewReader(tt.in))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("Parse(%.20q) = %v, want %q", tt.in, err, tt.want)
		}
	}
}

func TestUnknownIsNotOff(t *testing.T) {
	var unknown Config
	if unknown.Has("BPF") || unknown.Value("BPF") != "" {
		t.Error("a nil Config answers")
	}
	empty, err := Parse(strings.NewReader("# nothing\n"))
	if err != nil || empty == nil {
		t.Errorf("Parse of an empty file = %v, %v, want a Config that is not nil", empty, err)
	}
}
