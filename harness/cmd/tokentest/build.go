package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/harness/kernel"
	"tokentest/harness/usage"
	"tokentest/kconfig"
)

// buildFlags say how kernels are built from source.
type buildFlags struct {
	config    string
	fragments []string
	vars      []string
	jobs      int
	without   []string
	objects   string
}

var buildNames = []string{"config", "fragment", "without", "make", "objects", "build-jobs"}

func (f *buildFlags) register(fl *pflag.FlagSet) {
	fl.StringVar(&f.config, "config", "",
		"build with the .config `FILE` to begin with, or :PATH+PATH of the source (default: everything off)")
	fl.StringArrayVar(&f.fragments, "fragment", nil,
		"merge `FRAGMENT` into it: base, token, debug or a file; may be repeated (default base and token)")
	fl.StringArrayVar(&f.without, "without", nil, "switch `OPTION` off, and what depends on it; may be repeated")
	fl.StringVar(&f.objects, "objects", "",
		"keep objects under `NAME`, so that a build with another configuration compiles only what differs")
	fl.StringArrayVar(&f.vars, "make", nil, "give make `VAR=VALUE`, such as LLVM=1; may be repeated")
	fl.IntVar(&f.jobs, "build-jobs", 0, "compile `N` files at a time (default: as many as processors)")
}

func (f *buildFlags) options() (kernel.BuildOptions, error) {
	o := kernel.BuildOptions{Config: f.config, Make: f.vars, Jobs: f.jobs, Objects: f.objects}
	if f.objects != "" && !objectsName.MatchString(f.objects) {
		return o, usage.Errorf("--objects %q: use letters, digits, dots and dashes", f.objects)
	}
	if f.config != "" && !strings.HasPrefix(f.config, ":") {
		if stat, err := os.Stat(f.config); err != nil || stat.IsDir() {
			return o, usage.Errorf("--config %s: no such file", f.config)
		}
	}
	for _, v := range f.vars {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" || strings.ContainsAny(name, " \t-") {
			return o, usage.Errorf("--make %q: must be VAR=VALUE", v)
		}
	}
	for _, name := range f.fragments {
		list, err := kconfig.ReadFragment(name)
		if err != nil {
			return o, usage.Errorf("--fragment: %w", err)
		}
		o.Fragments = append(o.Fragments, list...)
	}
	err := f.switchOff(&o)
	return o, err
}

// unused says which flag has no effect, because no kernel of a plan is built.
func (a *app) unused(given []string, kernels []string) {
	if len(given) > 0 && !slices.ContainsFunc(kernels, kernel.IsBuilt) {
		a.note("%s has no effect: no kernel of the run is built, as src: and git: are", given[0])
	}
}

var objectsName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*$`)

// switchOff adds the options of --without to the fragments.
func (f *buildFlags) switchOff(o *kernel.BuildOptions) error {
	if len(f.without) == 0 {
		return nil
	}
	off, err := kconfig.Without(f.without...)
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

func (a *app) kernelBuildCmd() *cobra.Command {
	f := &buildFlags{}
	o, asJSON := kernel.Options{}, false
	c := &cobra.Command{
		Use:   "build REF...",
		Short: "build kernels from source, out of tree, and print where they are",
		Long: `Build a kernel from src:VERSION (a distribution's source package), git:DIR#REV
or tree:DIR (with the changes of its tracked files), with patches after it:
+series.mbox, as b4 writes it, or +dir/ of format-patch files. Patches are applied
with git am in a work tree of its own; yours is only read. The same sources,
patches, configuration and tools are built once.`,
		Example: "  tokentest kernel build src:6.12+fix.mbox\n  tokentest kernel build --fragment base --fragment token " +
			"--fragment debug git:~/linux#v6.12",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, refs []string) error {
			var err error
			if o.Build, err = f.options(); err != nil {
				return err
			}
			a.keep(c.Context())
			o.CacheDir, o.Log = a.cacheDir, a.note
			for _, ref := range refs {
				b, err := kernel.Source(c.Context(), ref, o)
				if err != nil {
					return err
				}
				k, err := b.Build(c.Context(), o.Build, o)
				if err != nil {
					return err
				}
				if err := a.showKernel(k, asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.register(c.Flags())
	jsonFlag(c.Flags(), &asJSON)
	c.Flags().BoolVar(&o.Offline, "offline", false, "do not use the network")
	return c
}

func jsonFlag(fl *pflag.FlagSet, to *bool) { fl.BoolVar(to, "json", false, jsonHelp) }

const jsonHelp = "print each kernel as a line of JSON: ref, release, source, image, config"

func (a *app) showKernel(k *kernel.Kernel, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(a.stdout).Encode(struct {
			Ref     string `json:"ref"`
			Release string `json:"release"`
			Source  string `json:"source"`
			Image   string `json:"image"`
			Config  string `json:"config,omitempty"`
		}{k.Ref, k.Release, k.Source, k.Image, k.ConfigPath})
	}
	fmt.Fprintf(a.stdout, "%s: %s (%s)\n  image %s\n", k.Ref, k.Release, k.Source, k.Image)
	if k.ConfigPath != "" {
		fmt.Fprintf(a.stdout, "  config %s\n", k.ConfigPath)
	}
	return nil
}
