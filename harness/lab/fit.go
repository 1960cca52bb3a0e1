package lab

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/harness/arch"
	"tokentest/harness/kernel"
	"tokentest/kconfig"
)

// unfitError means that a kernel's configuration lacks what every case needs, so that a boot
// would only time out or skip everything.
type unfitError struct {
	ref  string
	lost []string
}

func (e *unfitError) Error() string {
	return fmt.Sprintf("it cannot be tested: %s; tokentest kernel check %s lists everything that is missing",
		strings.Join(e.lost, "; "), e.ref)
}

// vital are the options without which no guest can run an agent, besides those that every
// case needs.
var vital = map[string]string{
	"BLK_DEV_INITRD": "it takes no initramfs",
	"BINFMT_ELF":     "it runs no program",
	"TTY":            "it has no console",
}

// fit returns an error for a kernel whose configuration is known and lacks a vital option. A run that may decide
// nothing takes a kernel on which every case is skipped, as it takes one whose configuration is hidden.
func fit(k *kernel.Kernel, allowEmpty bool) error {
	if k.Config == nil {
		return nil
	}
	fragments, err := kconfig.Builtin("base", "token")
	if err != nil {
		return err
	}
	e := &unfitError{ref: k.Ref}
	for _, u := range kconfig.Check(k.Config, k.Release, kconfig.For(arch.Or(k.Arch), fragments...)...) {
		why := vital[u.Name]
		if slices.Contains(u.Cases, "*") && !allowEmpty {
			why = "every case needs it"
		}
		if why != "" {
			e.lost = append(e.lost, fmt.Sprintf("CONFIG_%s is not set (%s:%d): %s", u.Name, u.Fragment, u.Line, why))
		}
	}
	if len(e.lost) > 0 {
		return e
	}
	return nil
}
