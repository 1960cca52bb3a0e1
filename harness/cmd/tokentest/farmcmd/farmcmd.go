// Package farmcmd has the commands of a farm: farm serve, farm status, farm slurm, farm k8s and worker.
//
// They are flags and calls, as those of the command are. Start with Commands.
package farmcmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tokentest/harness/farm"
	"tokentest/harness/farm/server"
	"tokentest/harness/farm/start"
	"tokentest/harness/farm/worker"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/signals"
	"tokentest/harness/usage"
)

// Command is what the commands have of the tool around them.
type Command struct {
	Stdout io.Writer
	Note   func(format string, args ...any)
	Cache  func() (string, error)                                            // makes the cache directory
	Group  func(c *cobra.Command, commands ...*cobra.Command) *cobra.Command // makes a command with subcommands
}

const defaultListen = "127.0.0.1:4223"

// Commands returns the commands farm and worker.
func Commands(c Command) []*cobra.Command {
	farm := c.Group(&cobra.Command{
		Use:   "farm",
		Short: "run the server of a farm, ask how it stands, or start its workers",
		Long: `A farm runs the parts of a run on many machines. "farm serve" is its server, workers
on any host take parts from it, and "run --on URL" hands it a run. See the topic farm.`,
	}, c.serve(), c.status(), c.slurm(), c.k8s())
	return []*cobra.Command{farm, c.worker()}
}

func (c Command) serve() *cobra.Command {
	o, gib, page, list := server.Options{}, 0, "", []string(nil)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the server of a farm until Ctrl-C",
		Long: `Run the server of a farm: a queue and a store, in this process. It prints the URL with its
token, and the line that starts a worker. It listens on this host alone; with another
address it speaks TLS. What it keeps is in a directory, so that it can be started again.`,
		Example: "  tokentest farm serve\n  tokentest farm serve --listen 0.0.0.0:4223 --store ~/farm",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if o.Store == "" {
				if o.Store, err = defaultStore(); err != nil {
					return err
				}
			}
			if gib < 1 {
				return usage.Errorf("--size %d: must be at least 1", gib)
			}
			o.Bytes = int64(gib) << 30
			for _, text := range list {
				t, err := server.ParseTeam(text)
				if err != nil {
					return err
				}
				o.Teams = append(o.Teams, t)
			}
			s, err := server.Start(o)
			if err != nil {
				return err
			}
			defer s.Stop()
			signals.Of(cmd.Context()).Keep(0)
			if page != "" {
				p, err := s.Page(page)
				if err != nil {
					return err
				}
				defer p.Close()
				c.Note("see how it stands: %s", p.URL)
			}
			for _, u := range s.URLs {
				fmt.Fprintf(c.Stdout, "%s\n", u)
				c.Note("start a worker: tokentest worker '%s'", u)
				c.Note("hand it a run:  tokentest run --on '%s'", u)
			}
			c.Note("who has the URL can boot kernels on the workers: keep it secret")
			<-cmd.Context().Done()
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Listen, "listen", defaultListen, "listen on `HOST:PORT`; port 0 takes a free one")
	cmd.Flags().StringVar(&o.Store, "store", "",
		"keep the queue and the results in `DIR` (default tokentest/farm in the user's state directory)")
	cmd.Flags().IntVar(&gib, "size", server.DefaultGiB, "keep at most `N` GiB there")
	cmd.Flags().StringVar(&page, "page", "",
		"show how the farm stands as a web page at `HOST:PORT`; beyond this host with TLS, and the token as the password")
	cmd.Flags().StringArrayVar(&list, "team", nil,
		"give a team a farm of its own on this server: `NAME:GIB[:PARTS]`, what it may keep and have at workers; repeat it")
	cmd.Flags().StringVar(&o.Name, "name", "", "be the server `NAME` of a cluster")
	cmd.Flags().StringArrayVar(&o.Routes, "route", nil,
		"a `HOST:PORT` at which servers of the cluster find each other, this server's own first; must be repeated")
	return cmd
}

// defaultStore is the directory of a server if the user names none.
func defaultStore() (string, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", usage.Errorf("find a place for the farm: %w; name one with --store", err)
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "tokentest", "farm"), nil
}

// open connects to the farm that the user names, or to that of the environment.
func (c Command) open(ctx context.Context, args []string, o farm.Options) (*farm.Queue, *farm.URL, error) {
	u, err := url(args)
	if err != nil {
		return nil, nil, err
	}
	q, err := farm.Open(ctx, u, o)
	return q, u, err
}

func url(args []string) (*farm.URL, error) {
	text := ""
	if len(args) > 0 {
		text = args[0]
	}
	return farm.ParseURL(text)
}

func (c Command) worker() *cobra.Command {
	w, do, can := &worker.Worker{}, &worker.Lab{Jobs: 1}, []string(nil)
	cmd := &cobra.Command{
		Use:   "worker [URL...]",
		Short: "take parts of runs from a farm and run them, until Ctrl-C",
		Long: `Take parts of runs from the farm at the URL, or at that of TOKENTEST_FARM, and run them on
this host, as an ordinary user. It needs QEMU, and neither Go nor the sources. It takes
parts of its own build of tokentest only. A worker that ends returns its unfinished parts.
The farms of several URLs have turns.

With --can build it builds kernels too, and needs a compiler. The makefiles of a source
run on this host: who has the URL then runs programs here as the worker's user.`,
		Example: "  tokentest worker nats://TOKEN@127.0.0.1:4223\n  tokentest worker --jobs 4 --drain\n" +
			"  tokentest worker --can tcg,build --mirror ~/linux",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if w.Can, err = abilities(cmd.Context(), can, w.Jobs); err != nil {
				return err
			}
			if do.CacheDir, err = c.Cache(); err != nil {
				return err
			}
			if w.Can.KVM || w.Can.TCG {
				err = (&lab.Lab{QEMU: do.QEMU}).CheckQEMU()
			}
			if err != nil {
				return err
			}
			signals.Of(cmd.Context()).Keep(3)
			w.Host, w.Do, w.Log, do.Log = lab.ThisHost(), do.Do, c.Note, c.Note
			return c.work(cmd.Context(), w, args)
		},
	}
	cmd.Flags().IntVarP(&w.Jobs, "jobs", "j", 1, "run `N` parts at a time, each with one machine")
	cmd.Flags().StringSliceVar(&can, "can", []string{"tcg"},
		"take parts that need `WHAT`: kvm, tcg, or build for kernels to build; other parts need one of the first two")
	cmd.Flags().IntVar(&do.Compiles, "build-jobs", 0, "compile `N` files at a time (default: as many as processors)")
	cmd.Flags().StringVar(&do.Mirror, "mirror", "", "use the objects of the git repository `DIR` for sources to build")
	cmd.Flags().BoolVar(&w.Drain, "drain", false, "end when no part waits, and none is at a worker that may lose it")
	cmd.Flags().StringVar(&do.QEMU, "qemu", "", "run `PROGRAM` as QEMU (default: that of the kernel's architecture)")
	return cmd
}

// work takes parts from each farm until ctx ends. The first error ends all.
func (c Command) work(ctx context.Context, like *worker.Worker, urls []string) error {
	if len(urls) == 0 {
		urls = strings.Fields(os.Getenv(farm.Variable))
	}
	switch len(urls) {
	case 0:
		urls = []string{""} // which is an error that says so
	case 1:
	default:
		like.Slots = make(chan struct{}, max(1, like.Jobs))
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, text := range urls {
		u, err := farm.ParseURL(text)
		if err != nil {
			return err
		}
		all.Go(func() error {
			q, err := farm.Open(ctx, u, farm.Options{Name: "tokentest worker", Forever: true})
			if err != nil {
				return err
			}
			defer q.Close()
			c.Note("worker of %s: build %s, %d at a time", farm.Redact(u.String()), like.Can.Build, max(1, like.Jobs))
			return like.Of(q).Run(ctx)
		})
	}
	return all.Wait()
}

// abilities is what a worker of this host has.
func abilities(ctx context.Context, list []string, jobs int) (farm.Can, error) {
	build, err := farm.Build()
	can := farm.Can{Build: build, Arch: farm.Arch, MiB: worker.FreeMiB(jobs)}
	for _, word := range list {
		switch word {
		case "kvm":
			can.KVM = true
		case "tcg":
			can.TCG = true
		case "build":
			tools, err := kernel.Tools(ctx)
			if err != nil {
				return can, fmt.Errorf("--can build: %w", err)
			}
			can.Tools = tools
		default:
			return can, usage.Errorf("--can %s: must be kvm, tcg or build", word)
		}
	}
	return can, err
}

func (c Command) status() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "status [URL]",
		Short:   "show the workers, the queue and the jobs of a farm, and which hosts fail",
		Example: "  tokentest farm status nats://TOKEN@127.0.0.1:4223\n  tokentest farm status --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, _, err := c.open(cmd.Context(), args, farm.Options{Name: "tokentest farm status"})
			if err != nil {
				return err
			}
			defer q.Close()
			s, err := q.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.Stdout).Encode(s)
			}
			return s.Write(c.Stdout, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}

func (c Command) slurm() *cobra.Command {
	o := start.Slurm{}
	cmd := &cobra.Command{
		Use:   "slurm [URL]",
		Short: "write a script for sbatch that starts workers",
		Long: `Write a script for sbatch that starts an array of workers. They end when no part waits, and
Slurm starts those again whose node died. The script holds the farm's token.`,
		Example: "  tokentest farm slurm --workers 20 tls://TOKEN@farm:4223 | sbatch",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			u, err := url(args)
			if err != nil {
				return err
			}
			return o.Write(c.Stdout, u.String())
		},
	}
	cmd.Flags().IntVar(&o.Workers, "workers", 1, "start `N` workers")
	cmd.Flags().StringVar(&o.Time, "time", "04:00:00", "ask Slurm for `TIME`")
	cmd.Flags().StringVar(&o.Partition, "partition", "", "ask for the partition `NAME`")
	cmd.Flags().StringVar(&o.Program, "program", "tokentest", "start `PROGRAM`, which each node must have")
	return cmd
}

func (c Command) k8s() *cobra.Command {
	o := start.K8s{}
	cmd := &cobra.Command{
		Use:   "k8s [URL]",
		Short: "write a Kubernetes manifest that starts workers",
		Long: `Write a manifest: a Secret with the farm's URL, and a Job whose workers end when no part
waits, or with --stay a Deployment whose workers stay. They run without privileges; with
--kvm a device plugin gives them /dev/kvm.`,
		Example: "  tokentest farm k8s --workers 20 tls://TOKEN@farm:4223 | kubectl apply -f -",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			u, err := url(args)
			if err != nil {
				return err
			}
			return o.Write(c.Stdout, u.String())
		},
	}
	cmd.Flags().IntVar(&o.Workers, "workers", 1, "start `N` workers")
	cmd.Flags().StringVar(&o.Image, "image", "tokentest", "run the container image `IMAGE`, as make image makes it")
	cmd.Flags().StringVar(&o.KVM, "kvm", "",
		"ask for the `RESOURCE` of a device plugin for /dev/kvm, such as devices.kubevirt.io/kvm")
	cmd.Flags().BoolVar(&o.Stay, "stay", false, "start workers that stay when no part waits")
	return cmd
}
