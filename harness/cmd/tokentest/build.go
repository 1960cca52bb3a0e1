package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/harness/choose"
	"tokentest/harness/kernel"
)

// buildFlags say how kernels are built from source.
type buildFlags struct{ choose.Build }

var buildNames = []string{"config", "fragment", "without", "make", "objects", "build-jobs"}

func (f *buildFlags) register(fl *pflag.FlagSet) {
	fl.StringVar(&f.Config, "config", "",
		"build with the .config `FILE` to begin with, or :PATH+PATH of the source (default: everything off)")
	fl.StringArrayVar(&f.Fragments, "fragment", nil,
		"merge `FRAGMENT` into it: base, token, debug or a file; may be repeated (default base and token)")
	fl.StringArrayVar(&f.Without, "without", nil, "switch `OPTION` off, and what depends on it; may be repeated")
	fl.StringVar(&f.Objects, "objects", "",
		"keep objects under `NAME`, so that a build with another configuration compiles only what differs")
	fl.StringArrayVar(&f.Vars, "make", nil, "give make `VAR=VALUE`, such as LLVM=1; may be repeated")
	fl.IntVar(&f.Jobs, "build-jobs", 0, "compile `N` files at a time (default: as many as processors)")
}

// unused says which flag has no effect, because no kernel of a plan is built.
func (a *app) unused(given []string, kernels []string) {
	if len(given) > 0 && !slices.ContainsFunc(kernels, kernel.IsBuilt) {
		a.note("%s has no effect: no kernel of the run is built, as src: and git: are", given[0])
	}
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
			if o.Build, err = f.Options(); err != nil {
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
