package lab

import (
	"strings"
	"testing"

	"tokentest/harness/kernel"
	"tokentest/kconfig"
)

func TestFit(t *testing.T) {
	whole := kconfig.Config{"BLK_DEV_INITRD": "y", "BINFMT_ELF": "y", "TTY": "y", "BPF_SYSCALL": "y", "NAMESPACES": "y", "USER_NS": "y"}
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
		err := fit(&kernel.Kernel{Ref: "x", Release: "6.12", Config: c})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("without %s: got %v, want %q", name, err, want)
		}
	}
	if err := fit(&kernel.Kernel{Ref: "x"}); err != nil {
		t.Errorf("an unknown configuration: %v", err)
	}
}
