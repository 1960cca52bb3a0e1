package lab

import (
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/kernel"
	"tokentest/kconfig"
)

func TestFit(t *testing.T) {
	whole := kconfig.Config{"BLK_DEV_INITRD": "y", "BINFMT_ELF": "y", "TTY": "y", "BPF_SYSCALL": "y", "NAMESPACES": "y",
		"USER_NS": "y", "UNIX": "y"}
	for name, want := range map[string]string{
		"":               "",
		"BLK_DEV_INITRD": "CONFIG_BLK_DEV_INITRD is not set (kconfig/base.config:",
		"BPF_SYSCALL":    "CONFIG_BPF_SYSCALL is not set (kconfig/token.config:",
		"USER_NS":        "every case needs it",
	} {
		c := kconfig.Config{}
		for k, v := range whole {
			if k != name {
				c[k] = v
			}
		}
		err := fit(&kernel.Kernel{Ref: "x", Release: "6.12", Config: c}, false)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("without %s: got %v, want %q", name, err, want)
		}
		err = fit(&kernel.Kernel{Ref: "x", Release: "6.12", Config: c}, true)
		if boots := vital[name] == ""; boots != (err == nil) {
			t.Errorf("without %s, and nothing need be decided: got %v", name, err)
		}
	}
	if err := fit(&kernel.Kernel{Ref: "x"}, false); err != nil {
		t.Errorf("an unknown configuration: %v", err)
	}
}

// TestFitIsProbed: the guest probes for the options without which fit refuses a kernel.
func TestFitIsProbed(t *testing.T) {
	token, err := kconfig.Builtin("token")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range token[0].Options {
		vital := slices.Contains(o.Cases, "*") && o.Name != "NAMESPACES" // which USER_NS depends on
		always := slices.ContainsFunc(cases.Always, func(n cases.Need) bool {
			return n.Name == o.Name &&
				step.OptionOf(n.Name) != nil
		})
		if vital != always {
			t.Errorf("CONFIG_%s: every case needs it: %v; the guest looks for it: %v", o.Name, vital, always)
		}
	}
}
