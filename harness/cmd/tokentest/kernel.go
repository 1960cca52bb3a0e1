package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tokentest/harness/arch"
	"tokentest/harness/kernel"
)

func (a *app) kernelCmd() *cobra.Command {
	return group(&cobra.Command{Use: "kernel", Short: "fetch, build, check and list kernels"}, a.kernelListCmd(),
		a.kernelFetchCmd(), a.kernelBuildCmd(), a.kernelCheckCmd(), a.kernelConfigCmd(), a.kernelHeaderCmd())
}

func (a *app) kernelOptions() kernel.Options {
	return kernel.Options{CacheDir: a.cacheDir, Log: a.noteOnce, Step: a.step}
}

func (a *app) kernelListCmd() *cobra.Command {
	var cached, refresh bool
	flavour := arch.Default.Flavour
	c := &cobra.Command{
		Use:   "list [oci:IMAGE]",
		Short: "list the kernels that can be fetched, newest first, and those that are cached",
		Long: `List the packaged kernels that can be fetched, the newest first, and those that are
cached. With oci:IMAGE it lists the tags of the image's repository that begin with a
release.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a.keep(c.Context())
			o := a.kernelOptions()
			o.Refresh = refresh
			var all []kernel.Available
			var err error
			switch {
			case len(args) > 0:
				all, err = kernel.Tags(c.Context(), args[0], o)
				flavour = kernel.AllFlavours
			case cached:
				all, err = kernel.Cached(o)
			default:
				all, err = kernel.List(c.Context(), o)
			}
			if err == nil {
				all, err = kernel.OfFlavour(all, flavour)
			}
			if err != nil {
				return err
			}
			return a.showKernels(all)
		},
	}
	c.Flags().BoolVar(&cached, "cached", false, "only what needs no network")
	c.Flags().BoolVar(&refresh, "refresh", false, "ask the mirror again, whatever is cached")
	c.Flags().StringVar(&flavour, "flavour", flavour, "only kernels of `FLAVOUR`; all for every one")
	return c
}

func (a *app) showKernels(all []kernel.Available) error {
	if len(all) == 0 {
		a.note("no kernel is cached")
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, k := range all {
		cached := ""
		if k.Cached {
			cached = "cached"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.Ref, k.Release, strings.Join(k.Suites, " "), cached)
	}
	return w.Flush()
}

func (a *app) kernelFetchCmd() *cobra.Command {
	o, asJSON := kernel.Options{}, false
	c := &cobra.Command{
		Use:     "fetch REF...",
		Short:   "fetch kernels into the cache and print where they are",
		Example: "  tokentest kernel fetch deb:6.12 deb:7.3",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, refs []string) error {
			a.keep(c.Context())
			o.CacheDir, o.Log = a.cacheDir, a.note
			for _, ref := range refs {
				k, err := kernel.Resolve(c.Context(), ref, o)
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
	jsonFlag(c.Flags(), &asJSON)
	c.Flags().BoolVar(&o.Refresh, "refresh", false, "ask the mirror again, whatever is cached")
	c.Flags().BoolVar(&o.Offline, "offline", false, "do not use the network")
	return c
}

// kernelHeaderCmd serves scripts/generate.sh.
func (a *app) kernelHeaderCmd() *cobra.Command {
	return &cobra.Command{
		Use:    "header RELEASE",
		Short:  "print include/uapi/linux/bpf.h of a packaged release",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a.keep(c.Context())
			text, err := kernel.Header(c.Context(), args[0], a.kernelOptions())
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
}
