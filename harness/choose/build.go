package choose

import (
	"os"
	"regexp"
	"strings"

	"tokentest/harness/kernel"
	"tokentest/harness/usage"
	"tokentest/kconfig"
)

// Build is how kernels are built from source, as a user says it.
type Build struct {
	Config    string
	Fragments []string
	Vars      []string
	Jobs      int
	Without   []string
	Objects   string
}

// Options returns the options of a build, or a *usage.Error.
func (b *Build) Options() (kernel.BuildOptions, error) {
	o := kernel.BuildOptions{Config: b.Config, Make: b.Vars, Jobs: b.Jobs, Objects: b.Objects}
	if b.Objects != "" && !objectsName.MatchString(b.Objects) {
		return o, usage.Errorf("--objects %q: use letters, digits, dots and dashes", b.Objects)
	}
	if b.Config != "" && !strings.HasPrefix(b.Config, ":") {
		if stat, err := os.Stat(b.Config); err != nil || stat.IsDir() {
			return o, usage.Errorf("--config %s: no such file", b.Config)
		}
	}
	for _, v := range b.Vars {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" || strings.ContainsAny(name, " \t-") {
			return o, usage.Errorf("--make %q: must be VAR=VALUE", v)
		}
	}
	for _, name := range b.Fragments {
		list, err := kconfig.ReadFragment(name)
		if err != nil {
			return o, usage.Errorf("--fragment: %w", err)
		}
		o.Fragments = append(o.Fragments, list...)
	}
	err := b.switchOff(&o)
	return o, err
}

var objectsName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*$`)

// switchOff adds the options of --without to the fragments.
func (b *Build) switchOff(o *kernel.BuildOptions) error {
	if len(b.Without) == 0 {
		return nil
	}
	off, err := kconfig.Without(b.Without...)
	if err != nil {
		return usage.Errorf("--without: %w", err)
	}
	if o.Fragments == nil {
		if o.Fragments, err = kconfig.Builtin("base", "token"); err != nil {
			return err
		}
	}
	o.Fragments = append(o.Fragments, off)
	return nil
}
